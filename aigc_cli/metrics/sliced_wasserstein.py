"""Sliced Wasserstein distance: how far samples lie from data, with no learnt features."""

from __future__ import annotations

import torch
from torch import Tensor

PROJECTIONS = 512
BLOCK = 1024  # samples that are floats at once


def sliced_wasserstein(samples: Tensor, data: Tensor, *, seed: int = 0) -> float:
    """Return the distance between two sets of equal size, over random directions (Bonneel et al. 2015, section 3).

    samples, data: (N, ...) stored integers. Unit: root mean squared difference of sorted projections, in grey levels.
    """
    generator = torch.Generator(samples.device).manual_seed(seed)
    directions = torch.randn(samples[0].numel(), PROJECTIONS, generator=generator, device=samples.device)
    directions /= directions.norm(dim=0)
    first, second = (
        torch.cat([part.flatten(1).float() @ directions for part in each.split(BLOCK)]) for each in (samples, data)
    )
    difference = first.sort(0).values - second.sort(0).values
    return float(difference.square().mean().sqrt())
