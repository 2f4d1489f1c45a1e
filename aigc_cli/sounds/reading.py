"""Read sound files of any rate as clips of one. Runs in worker processes: torch is imported only to resample."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aigc_cli.data.source import Rejected

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff")
KINDS = "WAV, FLAC, OGG, Opus, MP3, AIFF"
RATES = range(1_000, 768_001)  # Hz that a file may claim
SILENCE = 0.01  # of the loudest: 40 dB below it
CONTEXT = 64  # samples of a file beside a window
MOST_PHASES = 1000  # of a resampling filter, whose size they are times as large


@dataclass(frozen=True)
class Head:
    """Say what a file's head says of it."""

    frames: int
    sample_rate: int  # Hz

    def samples_at(self, sample_rate: int) -> int:
        """Count the samples that the file has at another rate."""
        return round(self.frames * sample_rate / self.sample_rate)


def read_head(file: Path) -> Head:
    """Read a file's head only; Rejected says why not."""
    about = _opened("info", file)
    if about.samplerate not in RATES:
        raise Rejected(f"a rate of {about.samplerate} Hz")
    if about.frames <= 0:
        raise Rejected("a sound file without any sound")
    return Head(about.frames, about.samplerate)


def read_clip(
    file: Path, sample_rate: int, samples: int, channels: int, *, begin: int = 0, trim: bool = False
) -> NDArray[np.float32]:
    """Return (channels, samples) from sample `begin` of the new rate on, silence at the end; Rejected says why not.

    trim: leave out what is 40 dB below the loudest before the first and after the last that is louder.
    """
    head = read_head(file)
    # Samples of the file to one of the clip; a ratio that is not a simple one is taken for the nearest that is.
    share = 1 / Fraction(sample_rate, head.sample_rate).limit_denominator(MOST_PHASES)
    context = 0 if share == 1 else CONTEXT  # that the filter sees on either side, as in a recording resampled whole
    first = max(0, math.floor(begin * share) - context) // share.numerator * share.numerator  # in phase with that
    wanted = -1 if trim else math.ceil((begin + samples) * share) + context - first
    wave, _ = _opened("read", file, start=min(first, head.frames), frames=wanted, dtype="float32", always_2d=True)
    expected = head.frames - first if trim else min(wanted, head.frames - first)
    if len(wave) < expected:
        raise Rejected(f"cut off: {first + len(wave):,} of {head.frames:,} samples are there")
    if not np.isfinite(wave).all():
        raise Rejected("values that are not finite")
    wave = _with_channels(wave, channels)
    if share != 1 and wave.shape[1]:
        wave = _resampled(wave, share)[:, begin - int(first / share) :]
    if trim:
        loud = np.flatnonzero(np.abs(wave).max(0, initial=0) > SILENCE * np.abs(wave).max(initial=0))
        wave = wave[:, loud[0] : loud[-1] + 1] if len(loud) else wave[:, :0]
    wave = wave[:, :samples]
    return np.pad(wave, ((0, 0), (0, samples - wave.shape[1])))


def _opened(function: str, file: Path, **settings: Any) -> Any:
    import soundfile

    try:
        with _quietly(file):
            return getattr(soundfile, function)(str(file), **settings)
    except (soundfile.LibsndfileError, RuntimeError, OSError, ValueError, TypeError) as error:
        if not file.stat().st_size:
            raise Rejected("an empty file") from None
        reason = str(error).rpartition(": ")[2].rstrip(".") or type(error).__name__
        why = "" if "File does not exist" in reason else f" ({reason[:120]})"  # said of files that are no MP3s too
        raise Rejected(f"no sound that can be read{why}") from None


@contextmanager
def _quietly(file: Path) -> Iterator[None]:
    """Keep off standard error what the library for MP3s writes there by itself of damaged ones."""
    if file.suffix.lower() != ".mp3":
        yield
        return
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _with_channels(wave: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """Return (channels, T) of (T, C): mixed down to one, or the first two; one is repeated."""
    if channels == 1:
        return wave.mean(1, dtype=np.float32)[None]
    return np.repeat(wave, channels, axis=1).T if wave.shape[1] == 1 else wave[:, :channels].T


def _resampled(wave: NDArray[np.float32], share: Fraction) -> NDArray[np.float32]:
    import torch

    return _resampler(share)(torch.from_numpy(np.ascontiguousarray(wave))).numpy()


@functools.cache
def _resampler(share: Fraction) -> Any:
    from torchaudio.transforms import Resample

    return Resample(share.numerator, share.denominator)
