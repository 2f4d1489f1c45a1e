"""Samplers that allow for how the path bends: twice as many steps quarter their error."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from aigc_cli.samplers.first_order import draw_like
from aigc_cli.samplers.levels import MOST_NOISE, Denoise, Spacing, Start, Steps

MOST_CHURN = math.sqrt(2) - 1  # never more fresh noise than there is already: arXiv:2206.00364, Algorithm 2


def heun(denoise: Denoise, start: Start, generator: torch.Generator, *, steps: Steps, spacing: Spacing) -> Tensor:
    """Average the slopes at both ends of each step: arXiv:2206.00364, Algorithm 1."""
    x, sigmas = start(steps, spacing)
    for now, then in pairwise(sigmas):
        x = corrected(denoise, x, now, then)
    return x


def stochastic_heun(
    denoise: Denoise,
    start: Start,
    generator: torch.Generator,
    *,
    steps: Steps,
    spacing: Spacing,
    churn: Annotated[float, Ge(0)],
    churn_least: Annotated[float, Ge(0)],
    churn_most: Annotated[float, Ge(0)],
    churn_noise: Annotated[float, Gt(0)],
) -> Tensor:
    """Add fresh noise before each of Heun's steps, within a range of levels: arXiv:2206.00364, Algorithm 2."""
    x, sigmas = start(steps, spacing)
    for now, then in pairwise(sigmas):
        within = churn_least <= now <= churn_most
        noisier = now * (1 + (min(churn / (len(sigmas) - 1), MOST_CHURN) if within else 0.0))
        if noisier > now:
            x = x + math.sqrt(noisier**2 - now**2) * churn_noise * draw_like(x, generator)
        x = corrected(denoise, x, noisier, then)
    return x


def dpm_solver(denoise: Denoise, start: Start, generator: torch.Generator, *, steps: Steps, spacing: Spacing) -> Tensor:
    """Extrapolate the predicted data from the last two levels: DPM-Solver++ (2M), arXiv:2211.01095, Algorithm 2.

    The first step, and the last one, onto no noise at all, take the prediction as it is.
    """
    x, sigmas = start(steps, spacing)
    earlier, length = None, 0.0  # of the step before, in the logarithm of the noise level
    for now, then in pairwise(sigmas):
        clean = aim = denoise(x, now)
        if earlier is not None and then > 0:
            aim = torch.lerp(earlier, clean, 1 + math.log(now / then) / (2 * length))
        x = torch.lerp(aim, x, then / now)
        earlier, length = clean, math.log(now / then) if then > 0 else 0.0
    return x


def corrected(denoise: Denoise, x: Tensor, now: float, then: float) -> Tensor:
    """Take one step of Heun's method; the one onto no noise has no slope at its end.

    Nor is one taken from more noise than shows anything of the data: a cosine schedule begins at 20,000, where half of
    the difference between the slopes, times the step, would make nonsense.
    """
    slope = (x - denoise(x, now)) / now
    end = x + (then - now) * slope
    if then == 0 or now > MOST_NOISE:
        return end
    return x + (then - now) * (slope + (end - denoise(end, then)) / then) / 2
