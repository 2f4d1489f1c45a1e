"""Stored sounds as waves, as networks of pictures see them, and as files."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from aigc_cli.files import atomic_write
from aigc_cli.interfaces import DataSpec
from aigc_cli.sounds.companding import amplitudes, bent
from aigc_cli.sounds.spectrogram import from_log_mel, log_mel


def waves(stored: Tensor, spec: DataSpec) -> Tensor:
    """Return stored sounds as waves in [-1, 1], (N, channels, T), float32, on the CPU."""
    assert spec.sound, "only sounds have waves"
    stored = stored.cpu()
    if spec.sound.bands:
        return from_log_mel(spec.encode(stored), spec.sound.sample_rate, spec.sound.samples)
    return as_waves(stored, spec)


def as_stored(wave: Tensor, spec: DataSpec) -> Tensor:
    """Return waves of any shape as stored samples of audio, clamped: the inverse of as_waves."""
    if spec.sound and spec.sound.mu_law:
        return spec.decode(bent(wave, torch))
    return spec.decode(wave)


def perceived(stored: Tensor, spec: DataSpec) -> Tensor:
    """Return data as maps (B, C, H, W) in [-1, 1] to compare them by: pictures as they are, sounds as log-mel."""
    if spec.sound is None or spec.sound.bands:
        return spec.encode(stored)
    return log_mel(as_waves(stored, spec), spec.sound.sample_rate)


def write_waves(
    heard: Tensor, sample_rate: int, folder: Path, *, names: Sequence[str] | None = None, format: str = "wav",
    first: int = 0,
) -> None:  # fmt: skip
    """Write waves (N, channels, T) into a folder, a file each: 00000-NAME.wav; names: of classes, first: a number."""
    for index, wave in enumerate(heard):
        name = "" if names is None else "-" + re.sub(r"[^\w#.+-]+", "_", names[index])
        write_sound(wave, sample_rate, folder / f"{first + index:05d}{name}.{format}", format)


def as_waves(stored: Tensor, spec: DataSpec) -> Tensor:
    """Return stored samples of audio as waves in [-1, 1], of the same shape, where they are."""
    if spec.sound and spec.sound.mu_law:
        return torch.from_numpy(amplitudes()).to(stored.device)[stored.long()]
    return spec.encode(stored)


def write_sound(wave: Tensor, sample_rate: int, path: Path, format: str = "wav") -> None:
    """Write a wave (channels, T) as 16-bit WAV or FLAC, beside its place, and rename it."""
    import soundfile

    encoded = io.BytesIO()
    soundfile.write(encoded, wave.T.numpy(), sample_rate, format=format.upper(), subtype="PCM_16")
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, encoded.getvalue(), durable=False)
