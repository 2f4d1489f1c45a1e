"""How long a spectrogram's windows are, and how far apart. No torch: data sets ask before any sample is read."""

from __future__ import annotations

import math

SECONDS = 0.032  # of a window, to the nearest power of two samples
HOPS = 4  # a window


def window_of(sample_rate: int) -> int:
    """Return the samples of a window."""
    return 2 ** round(math.log2(SECONDS * sample_rate))


def hop_of(sample_rate: int) -> int:
    """Return the samples from one window to the next."""
    return window_of(sample_rate) // HOPS
