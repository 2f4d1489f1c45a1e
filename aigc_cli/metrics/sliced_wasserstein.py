"""Sliced Wasserstein distance: how far samples lie from data, with no learnt features."""

from __future__ import annotations

import torch
from torch import Tensor

PROJECTIONS = 512


def sliced_wasserstein(samples: Tensor, data: Tensor, *, seed: int = 0) -> float:
    """Return the distance between two sets of equal size, over random directions (Bonneel et al. 2015, section 3).

    samples, data: (N, ...) stored integers. Unit: root mean squared difference of sorted projections, in grey levels.
    """
    first, second = (x.flatten(1).float() for x in (samples, data))
    generator = torch.Generator(first.device).manual_seed(seed)
    directions = torch.randn(first.shape[1], PROJECTIONS, generator=generator, device=first.device)
    directions /= directions.norm(dim=0)
    difference = (first @ directions).sort(0).values - (second @ directions).sort(0).values
    return float(difference.square().mean().sqrt())
