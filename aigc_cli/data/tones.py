"""Plucked notes of known pitch: needs no file, and its samples can be graded by their spectrum."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from aigc_cli.data.sound import Bands, Clips, SampleRate, Seconds, View
from aigc_cli.data.source import Contents, Reader, Split, digest
from aigc_cli.sounds.notes import frequency_of

NOTES = ("C4", "C#4", "D4", "D#4", "E4", "F4", "F#4", "G4", "G#4", "A4", "A#4", "B4")
PLUCKING = 1  # raised when the sound changes, so that old packs are not taken for new ones
TEST_SHARE = 10  # the test split has a tenth of the training samples
ATTACK = 0.002  # seconds
QUIETEST = -20.0  # decibels below the loudest


class Tones:
    """The twelve notes from C4 to B4, plucked; sample i of a split is always the same clip."""

    name: ClassVar[str] = "tones"
    parallel: ClassVar[bool] = True

    def __init__(
        self,
        *,
        seconds: Seconds,
        sample_rate: SampleRate,
        count: Annotated[int, Ge(12), Le(10_000_000)],
        features: View,
        bands: Bands,
        mu_law: bool,
        normalise: bool,
    ) -> None:
        self.count = count
        self.clips = Clips(seconds, sample_rate, features, bands, mu_law, normalise)

    def fingerprint(self) -> str:
        """Return a digest of the settings and the version of the sound."""
        return digest(self.name, {**self.clips.settings, "count": self.count, "plucking": PLUCKING})

    def spec(self) -> dict[str, Any]:
        """Describe a clip."""
        return self.clips.spec(NOTES)

    def contents(self) -> Contents:
        """List the clips; notes take turns, so that every split is balanced."""
        counts = {"train": self.count, "test": max(self.count // TEST_SHARE, len(NOTES))}
        return Contents({
            split: Split(range(count), np.arange(count, dtype=np.int64) % len(NOTES)) for split, count in counts.items()
        })  # fmt: skip

    def reader(self, split: str) -> Reader:
        """Return the function that plucks a note."""
        stream = 0 if split == "train" else 1

        def read(index: int) -> NDArray:
            random = np.random.default_rng((stream, index))
            pitch = frequency_of(NOTES[index % len(NOTES)])
            wave = pluck(pitch, self.clips.samples, self.clips.sample_rate, random)
            return self.clips.stored(wave[None])

        return read


def pluck(pitch: float, samples: int, sample_rate: int, random: np.random.Generator) -> NDArray[np.float32]:
    """Return a plucked string's wave (samples,): harmonics of which the higher fade sooner.

    pitch: Hz. Drawn at random: loudness -20 to 0 dB, brightness, the place that is plucked, how long it sounds, phases,
    and when it begins, up to a twentieth of the clip late.
    """
    loudness = 10 ** (random.uniform(QUIETEST, 0) / 20)
    brightness, place = random.uniform(0.8, 2.0), random.uniform(0.1, 0.5)
    decay = random.uniform(0.3, 1.2)  # seconds in which the fundamental falls to 1 / e
    late = int(random.uniform(0, samples / 20))
    time = np.arange(samples - late) / sample_rate
    wave = np.zeros(samples - late)
    for harmonic in range(1, max(2, int(0.45 * sample_rate / pitch) + 1)):
        strength = abs(math.sin(math.pi * harmonic * place)) / harmonic**brightness
        fading = np.exp(-time / decay * (1 + 0.3 * (harmonic - 1)))
        wave += strength * fading * np.sin(2 * math.pi * harmonic * pitch * time + random.uniform(0, 2 * math.pi))
    wave *= np.minimum(1, time / ATTACK) * (0.9 * loudness / np.abs(wave).max())
    return np.concatenate([np.zeros(late), wave]).astype(np.float32)
