"""Measure the pitch of notes from their spectrum."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

FINEST = 4.0  # cents between candidates, which a parabola refines
WIDTH = 25.0  # cents about a harmonic that belong to it
CLEAR = 0.6  # share of a clip's energy in its harmonics, from which on it has a pitch; white noise has about 0.2
LONGEST = 1 << 16  # frequencies
CHUNK = 64  # clips at once
HARMONICS = 10  # those above lie so close that anything would lie near one
SEMITONE = 2 ** (1 / 12)


def pitches(waves: Tensor, sample_rate: int, low: float, high: float) -> tuple[Tensor, Tensor]:
    """Return each wave's pitch in Hz, of those from low to high, and the share of its energy in that one's harmonics.

    waves: (N, T). By the weighted sum of the spectrum's magnitudes at a candidate's harmonics (Hermes 1988): (N,) each.
    """
    found = [_pitches(part, sample_rate, low, high) for part in waves.split(CHUNK)]
    return torch.cat([pitch for pitch, _ in found]), torch.cat([share for _, share in found])


def _pitches(waves: Tensor, sample_rate: int, low: float, high: float) -> tuple[Tensor, Tensor]:
    spectrum = torch.fft.rfft(waves * torch.hann_window(waves.shape[1], periodic=False), LONGEST).abs()
    count = max(3, math.ceil(1200 * math.log2(high / low) / FINEST) + 1)
    candidates = low * (high / low) ** torch.linspace(0, 1, count, dtype=torch.float64)
    strength = torch.zeros(len(waves), count)
    for harmonic in range(1, int(sample_rate / 2 / high) + 1):
        place = (candidates * harmonic * LONGEST / sample_rate).round().long().clamp_max(spectrum.shape[1] - 1)
        strength += spectrum[:, place] / harmonic  # or half the pitch, whose harmonics hold these, would be as strong
    best = strength.argmax(1).clamp(1, count - 2)
    before, at, after = (strength.gather(1, (best + offset)[:, None])[:, 0] for offset in (-1, 0, 1))
    curve = before - 2 * at + after
    aside = torch.where(curve < 0, 0.5 * (before - after) / curve, 0.0).clamp(-1, 1)
    pitch = candidates[0] * (candidates[1] / candidates[0]) ** (best + aside).double()
    return pitch, _share(spectrum.square(), pitch, sample_rate)


def _share(energy: Tensor, pitch: Tensor, sample_rate: int) -> Tensor:
    """Return the share of energy (N, F), up to the tenth harmonic, that lies within 25 cents of a harmonic."""
    frequency = torch.arange(1, energy.shape[1], dtype=torch.float64) * sample_rate / LONGEST
    most = max(1, int(float(pitch.max()) * (HARMONICS + 0.5) * LONGEST / sample_rate))
    frequency, energy = frequency[:most], energy[:, : most + 1]
    ratio = frequency / pitch[:, None]
    nearest = ratio.round().clamp_min(1)
    inside = (1200 * (ratio / nearest).log2().abs()) < WIDTH
    whole = energy[:, 1:].sum(1)
    return torch.where(whole > 0, (energy[:, 1:] * inside).sum(1) / whole.clamp_min(1e-30), 0.0)


def lowest_rate(notes: Sequence[float]) -> int:
    """Return the lowest sample rate in Hz at which every pitch that is looked for lies below half of it."""
    return math.ceil(2 * max(notes) * SEMITONE)


def accuracy_of_notes(
    waves: Tensor, sample_rate: int, notes: Sequence[float], asked: Tensor | None
) -> tuple[float, float]:
    """Return the median distance in cents from the note asked for, or from the nearest, and the share of clear pitches.

    waves: (N, T); notes: the classes' frequencies in Hz, a semitone beyond which pitches are looked for; asked: labels
    (N,). The rate is lowest_rate's or higher.
    """
    pitch, share = pitches(waves, sample_rate, min(notes) / SEMITONE, max(notes) * SEMITONE)
    apart = 1200 * (pitch[:, None] / torch.tensor(notes, dtype=torch.float64)).log2().abs()
    cents = apart.amin(1) if asked is None else apart.gather(1, asked[:, None])[:, 0]
    return float(cents.median()), float((share > CLEAR).double().mean())
