"""Mu-law: 256 levels that lie closer where it is quiet (ITU-T G.711, in the smooth form of arXiv:1609.03499)."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVELS = 256
MU = LEVELS - 1


def bent(wave: Any, library: ModuleType = np) -> Any:
    """Map amplitudes in [-1, 1] onto [-1, 1], in which levels lie evenly; library: numpy or torch, as wave is."""
    return library.sign(wave) * library.log1p(MU * abs(wave)) / math.log1p(MU)


def compress(wave: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Map amplitudes in [-1, 1] to levels 0 to 255."""
    return np.round((bent(wave) + 1) * (MU / 2)).astype(np.uint8)


def amplitudes() -> NDArray[np.float32]:
    """Return the amplitude of each level: (256,), in [-1, 1]."""
    evenly = np.arange(LEVELS, dtype=np.float64) * (2 / MU) - 1
    return (np.sign(evenly) * np.expm1(np.abs(evenly) * math.log1p(MU)) / MU).astype(np.float32)
