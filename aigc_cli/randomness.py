"""Randomness as a function of what it is for: the seed, the step, the phase; never of what was drawn before."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

MASK = (1 << 64) - 1


def mix(*keys: int) -> int:
    """Hash integers into one 63-bit seed, order and count included (SplitMix64's finaliser, chained)."""
    state = 0x9E3779B97F4A7C15
    for key in keys:
        state = (state ^ (key & MASK)) * 0xBF58476D1CE4E5B9 & MASK
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB & MASK
        state ^= state >> 31
    return state >> 1


def seed_default_generators(device: torch.device, seed: int) -> None:
    """Seed the CPU's and the device's default generators; torch.manual_seed takes 200 times as long."""
    import torch

    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
