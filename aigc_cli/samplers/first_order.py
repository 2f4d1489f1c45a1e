"""Samplers that look at each noise level once and go on straight: twice as many steps halve their error."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor

from aigc_cli.samplers.levels import Denoise, Spacing, Start, Steps


def euler(denoise: Denoise, start: Start, generator: torch.Generator, *, steps: Steps, spacing: Spacing) -> Tensor:
    """Follow the tangent from level to level: arXiv:2206.00364, Algorithm 1 without its correction."""
    x, sigmas = start(steps, spacing)
    for now, then in pairwise(sigmas):
        x = torch.lerp(denoise(x, now), x, then / now)
    return x


def ddim(
    denoise: Denoise,
    start: Start,
    generator: torch.Generator,
    *,
    steps: Steps,
    spacing: Spacing,
    eta: Annotated[float, Ge(0), Le(1)],
) -> Tensor:
    """Step towards the predicted data with eta times the ancestral deviation: arXiv:2010.02502, Eq. 12 and 16.

    Without eta it is Euler's method (arXiv:2010.02502, Eq. 14).
    """
    x, sigmas = start(steps, spacing)
    for now, then in pairwise(sigmas):
        fresh = eta * then * math.sqrt(1 - (then / now) ** 2)
        x = torch.lerp(denoise(x, now), x, math.sqrt(then**2 - fresh**2) / now)
        if eta:
            x = x + fresh * draw_like(x, generator)
    return x


def ancestral(denoise: Denoise, start: Start, generator: torch.Generator, *, steps: Steps, spacing: Spacing) -> Tensor:
    """Draw each x from q(x_s | x_t, predicted data): arXiv:2006.11239, Eq. 7, with the variance of that posterior."""
    x, sigmas = start(steps, spacing)
    for now, then in pairwise(sigmas):
        fresh = then * math.sqrt(1 - (then / now) ** 2)  # nothing at the last step
        x = torch.lerp(denoise(x, now), x, (then / now) ** 2) + fresh * draw_like(x, generator)
    return x


def draw_like(x: Tensor, generator: torch.Generator) -> Tensor:
    """Draw standard normal noise of x's shape."""
    return torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
