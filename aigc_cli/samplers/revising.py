"""Begin with a picture instead of noise: keep a part of it, or all of it more or less."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from aigc_cli.errors import ConfigError
from aigc_cli.samplers.first_order import draw_like
from aigc_cli.samplers.levels import Denoise, Start

WHOLE = ("stochastic_heun", "dpm_solver")  # their steps depend on how many there are, or on the one before


def keeping(denoise: Denoise, known: Tensor, anew: Tensor) -> Denoise:
    """Predict the known data but where they are to be made anew (1; 0: kept).

    Whatever sampler follows these predictions moves the known part as noise being taken from the known data, which
    arXiv:2201.09865, Eq. 8, draws afresh at each step, and ends exactly there.
    """
    return lambda x, sigma: torch.where(anew > 0, denoise(x, sigma), known)


def from_level(sigmas: list[float], strength: float) -> list[float]:
    """Return the levels from where noise has that share of a mixture with data: arXiv:2108.01073, Algorithm 1.

    The share says the same of every model: sigma = strength / (1 - strength).
    """
    if strength >= 1:
        return sigmas
    first = min(strength / (1 - strength), sigmas[0])
    return [first, *(sigma for sigma in sigmas if sigma < first)]


def repeated(
    draw: Callable[[Denoise, Start, torch.Generator], Tensor],
    denoise: Denoise,
    x: Tensor,
    sigmas: list[float],
    generator: torch.Generator,
    times: int,
) -> Tensor:
    """Take each step several times, adding between them the noise that it took: arXiv:2201.09865, Algorithm 1.

    So what is made anew comes to agree with what is kept.
    """
    if times == 1:
        return draw(denoise, lambda *_: (x, sigmas), generator)
    for now, then in pairwise(sigmas):
        for again in range(times):
            if again:
                x = x + math.sqrt(now**2 - then**2) * draw_like(x, generator)
            begin = x, [now, then]
            x = draw(denoise, lambda *_, begin=begin: begin, generator)
    return x


def refuse_resampling(name: str, times: int) -> None:
    """Refuse samplers that need to see all their steps at once, where each is taken several times."""
    if times > 1 and name in WHOLE:
        raise ConfigError(f"resample: not with {name}, whose steps hang together. Type sampler=ddim or sampler=heun.")
