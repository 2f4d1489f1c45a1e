"""What keeps a style-based generator smooth: equal steps in its styles are equal steps in its pictures."""

from __future__ import annotations

import math
from typing import Annotated, Protocol, runtime_checkable

import torch
from annotated_types import Gt, Le
from torch import Tensor, nn

from aigc_cli.distributed import summed


@runtime_checkable
class Styled(Protocol):
    """Generate in two parts: latents to styles (B, layers, D), styles to pictures."""

    def styles(self, latent: Tensor, condition: Tensor | None, truncation: float) -> Tensor: ...

    def synthesise(self, styles: Tensor) -> Tensor: ...


class NoRegulariser(nn.Module):
    """Leave the generator free."""

    every = 0


class PathLength(nn.Module):
    """Hold the length of the pictures' change by the styles near its own mean: arXiv:1912.04958, Eq. 4.

    Taken every few of the generator's updates, on a part of the batch, and weighing as many times more (appendix B).
    Departure: the moving mean is corrected for its start at 0, which would at first take all variety from the pictures.
    """

    def __init__(
        self,
        *,
        weight: Annotated[float, Gt(0)],
        every: Annotated[int, Gt(0)],
        decay: Annotated[float, Gt(0), Le(1)],
        share: Annotated[float, Gt(0), Le(1)],
    ) -> None:
        super().__init__()
        self.weight, self.every, self.decay, self.share = weight, every, decay, share
        self.sum: Tensor
        self.weight_of_sum: Tensor
        self.register_buffer("sum", torch.zeros(()))  # of lengths, the older the less
        self.register_buffer("weight_of_sum", torch.zeros(()))
        self.met: Tensor
        self.register_buffer("met", torch.zeros(2), persistent=False)  # sum and count of an update's mean lengths

    def advance(self) -> None:
        """Forget what the update before met."""
        self.met.zero_()

    def loss(self, generator: nn.Module, latent: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the weighted mean squared distance of path lengths from their moving mean, and that mean.

        The mean is what it was after the last update and these lengths: micro-batches do not depend on each other.
        """
        assert isinstance(generator, Styled), "the model has checked it"
        count = max(1, round(len(latent) * self.share))
        with torch.autocast(latent.device.type, enabled=False):
            styles = generator.styles(latent[:count], None if condition is None else condition[:count], 1.0)
            pictures = generator.synthesise(styles)
            noise = torch.randn_like(pictures) / math.sqrt(math.prod(pictures.shape[2:]))
            (slope,) = torch.autograd.grad((pictures * noise).sum(), styles, create_graph=True)
        lengths = (slope.square().sum(2).mean(1) + 1e-12).sqrt()
        with torch.no_grad():
            here, one = lengths.mean(), torch.ones_like(self.sum)
            self.met.add_(torch.stack([here, one]))
            mean = self.sum.lerp(here, self.decay) / self.weight_of_sum.lerp(one, self.decay)
        return self.weight * self.every * (lengths - mean).square().mean(), mean

    def settle(self) -> None:
        """Move the mean by the lengths that all micro-batches of the update met."""
        total, count = summed(self.met)
        self.sum.lerp_(total / count, self.decay)
        self.weight_of_sum.lerp_(torch.ones_like(count), self.decay)
