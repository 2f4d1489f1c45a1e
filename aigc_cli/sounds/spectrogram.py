"""Log-mel spectrograms: what a sound looks like to a network and to a person, and the way back by Griffin and Lim."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from aigc_cli.sounds.windows import hop_of, window_of

FINER = 4  # frequencies a window has by itself are too coarse for narrow bands: it is padded with silence
FLOOR = -80.0  # decibels below a sine of full scale, which is 0
BANDS = 64
ITERATIONS = 60  # of Griffin and Lim


def in_full_precision(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Let a function work in fp32 where the networks about it do not."""

    @functools.wraps(function)
    def within(signal: Tensor, *settings: Any, **more: Any) -> Tensor:
        with torch.autocast(signal.device.type, enabled=False):
            return function(signal, *settings, **more)

    return within


@in_full_precision
def log_mel(wave: Tensor, sample_rate: int, bands: int = BANDS) -> Tensor:
    """Map waves (..., T) to their log-mel spectrograms (..., bands, T / hop), -80 dB at -1 and full scale at 1."""
    window, hop = window_of(sample_rate), hop_of(sample_rate)
    rows = wave.reshape(-1, wave.shape[-1]).float()
    rows = torch.nn.functional.pad(rows, (0, max(0, window - rows.shape[-1])))  # reflection wants half a window
    taper = _taper(window, wave.device)
    spectrum = torch.stft(
        rows, FINER * window, hop, window, taper, center=True, pad_mode="constant", return_complex=True
    )
    frames = max(1, wave.shape[-1] // hop)
    loudness = spectrum.abs()[..., :frames] * (2 / taper.sum())
    mel = _filters(sample_rate, bands).to(wave.device).T @ loudness
    decibels = 20 * mel.clamp_min(10 ** (FLOOR / 20)).log10()
    return (1 - 2 * decibels / FLOOR).clamp(-1, 1).reshape(*wave.shape[:-1], bands, frames)


@in_full_precision
def from_log_mel(picture: Tensor, sample_rate: int, samples: int) -> Tensor:
    """Return waves (..., samples) whose spectrograms are like these (..., bands, frames); phases are guessed."""
    from torchaudio.functional import griffinlim

    window, hop = window_of(sample_rate), hop_of(sample_rate)
    length = max(samples, FINER * window)  # its reflections want as much
    mel = 10 ** ((1 - picture.float()) / 2 * FLOOR / 20)
    mel = torch.where(picture <= -1, 0.0, mel).reshape(-1, *picture.shape[-2:])
    taper = _taper(window, picture.device)
    spectrum = _inverse(sample_rate, mel.shape[-2]).to(mel) @ mel * (taper.sum() / 2)
    more = length // hop + 1 - spectrum.shape[-1]  # the frame that log_mel drops, and of short clips silence
    spectrum = torch.nn.functional.pad(spectrum.clamp_min(0), (0, 1), mode="replicate")
    spectrum = torch.nn.functional.pad(spectrum, (0, more - 1))
    waves = griffinlim(
        spectrum, taper, FINER * window, hop, window, power=1.0, n_iter=ITERATIONS, momentum=0.99, length=length,
        rand_init=False,
    )  # fmt: skip
    return waves[:, :samples].clamp(-1, 1).reshape(*picture.shape[:-2], samples)


@functools.cache
def _taper(window: int, device: torch.device) -> Tensor:
    return torch.hann_window(window, device=device)


@functools.cache
def _filters(sample_rate: int, bands: int) -> Tensor:
    """Return triangles on the mel scale: (frequencies, bands)."""
    from torchaudio.functional import melscale_fbanks

    return melscale_fbanks(FINER * window_of(sample_rate) // 2 + 1, 0.0, sample_rate / 2, bands, sample_rate)


@functools.cache
def _inverse(sample_rate: int, bands: int) -> Tensor:
    return torch.linalg.pinv(_filters(sample_rate, bands).T)
