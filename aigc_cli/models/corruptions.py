"""Spoil signals in [-1, 1] so that a model learns to mend them: Vincent et al., ICML 2008.

A corruption is a function of signals (B, C, ...) and a generator (None: torch's default one) that returns signals of
the same shape and range; what is spoilt is a place with all its channels.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import torch
from annotated_types import Gt, Lt
from torch import Tensor

Share: TypeAlias = Annotated[float, Gt(0), Lt(1)]


def gaussian(x: Tensor, generator: torch.Generator | None, *, deviation: Annotated[float, Gt(0)]) -> Tensor:
    """Add normal noise; what leaves the range is cut off, as in any file of such a picture."""
    noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    return (x + deviation * noise).clamp(-1, 1)


def masking(x: Tensor, generator: torch.Generator | None, *, share: Share) -> Tensor:
    """Blacken a share of the places."""
    return torch.where(_per_place(x, generator) < share, -1.0, x)


def salt_and_pepper(x: Tensor, generator: torch.Generator | None, *, share: Share) -> Tensor:
    """Blacken half of a share of the places and whiten the other half."""
    chance = _per_place(x, generator)
    return torch.where(chance < share / 2, -1.0, torch.where(chance < share, 1.0, x))


def _per_place(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draw a number in [0, 1) for each place: (B, 1, ...)."""
    return torch.rand(x[:, :1].shape, generator=generator, device=x.device, dtype=x.dtype)
