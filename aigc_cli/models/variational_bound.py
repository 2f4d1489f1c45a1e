"""Bound the likelihood of data under a chain of denoising steps: arXiv:2006.11239, Eq. 5."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from aigc_cli.interfaces import DataSpec

Predict = Callable[[Tensor, Tensor], Tensor]  # noisy data (B, ...) and their levels (B,) to the data seen in them


def variational_bound(predict: Predict, clean: Tensor, sigmas: Tensor, spec: DataSpec, draws: int) -> Tensor:
    """Return the bound in nats, the sum over levels estimated at `draws` of them: (B,) float64 on the CPU.

    sigmas: rising levels (T,), float64. Reverse steps have the posterior's variance, the last one that of the least
    noise and whole levels of the data (Eq. 13).
    """
    squares = clean.square().flatten(1).sum(1).cpu().double()
    bar = 1 / (1 + sigmas[-1].square())  # what is left of the data's variance where sampling begins with N(0, I)
    prior = (bar * squares - (bar + (-bar).log1p()) * clean[0].numel()) / 2
    ratios = sigmas.pow(-2)
    # Levels by the fall of the signal's log ratio, over which the terms are even; one from each part of it.
    shares = (ratios[:-1] / ratios[1:]).log()
    shares = shares / shares.sum()
    ends, total = shares.cumsum(0), torch.zeros(len(clean), dtype=torch.float64)
    for draw in range(draws):
        where = (draw + torch.rand(len(clean), dtype=torch.float64)) / draws
        step = torch.searchsorted(ends, where).clamp(max=len(shares) - 1)
        error = _guess(predict, clean, sigmas[step + 1]) - clean
        errors = error.square().flatten(1).sum(1).cpu().double()
        total += (ratios[step] - ratios[step + 1]) / 2 * errors / (draws * shares[step])
    return -(prior + total + _nats_of_last_step(predict, clean, sigmas[0], spec))


def _guess(predict: Predict, clean: Tensor, sigmas: Tensor) -> Tensor:
    """Return what is seen in data that are noised to levels (B,)."""
    sigmas = sigmas.to(clean.device, torch.float32)
    noisy = clean + sigmas.reshape(-1, *[1] * (clean.ndim - 1)) * torch.randn_like(clean)
    return predict(noisy, sigmas)


def _nats_of_last_step(predict: Predict, clean: Tensor, least: Tensor, spec: DataSpec) -> Tensor:
    """Return -log p(x_0 | x_1) of whole levels, whose outermost reach to infinity: arXiv:2006.11239, Eq. 13."""
    mean = _guess(predict, clean, least.expand(len(clean)))
    normal = torch.distributions.Normal(mean.cpu().double(), least * (1 + least.square()).rsqrt())
    clean, half = clean.cpu().double(), 1 / (spec.levels - 1)
    upper = torch.where(clean >= 1 - half, 1.0, normal.cdf(clean + half))
    lower = torch.where(clean <= half - 1, 0.0, normal.cdf(clean - half))
    return -(upper - lower).clamp(min=1e-12).log().flatten(1).sum(1)
