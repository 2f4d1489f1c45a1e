"""Hand a time to a network."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LONGEST_PERIOD = 10_000


def embed_time(time: Tensor, width: int) -> Tensor:
    """Return sines and cosines of the time at periods from 2 pi to 2 pi 10,000: (B,) to (B, width), float32."""
    half = width // 2
    exponents = torch.arange(half, dtype=torch.float32, device=time.device) / max(1, half - 1)
    angles = time.float()[:, None] * torch.exp(-math.log(LONGEST_PERIOD) * exponents)
    return torch.cat([angles.sin(), angles.cos()], dim=1)
