"""What keeps the critic of a GAN smooth, so that it still teaches a generator that it can tell from the data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Protocol, TypeAlias

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn

Critic: TypeAlias = Callable[[Tensor], Tensor]  # signals (B, ...) to logits (B,), or of patches (B, 1, h, w)


class Penalty(Protocol):
    """Add to the critic's loss every so many steps (0: never), and put its weights right after each update."""

    every: int
    constrain: Callable[[nn.Module], None] | None

    def loss(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor: ...


class NoPenalty:
    """Leave the critic free."""

    every, constrain = 0, None

    def loss(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        """Return zero."""
        return real.new_zeros(())


class R1:
    """Keep the critic flat at real data: arXiv:1801.04406, Eq. 9.

    Taken every few steps only, it weighs as many times more (arXiv:1912.04958, appendix B).
    """

    constrain = None

    def __init__(self, *, weight: Annotated[float, Gt(0)], every: Annotated[int, Ge(1)]) -> None:
        self.weight, self.every = weight, every

    def loss(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        """Return weight / 2 times the mean squared norm of the critic's gradient at real data."""
        squares = gradient_at(real, critic).square().flatten(1).sum(1)
        return self.weight / 2 * self.every * squares.mean()


class GradientPenalty:
    """Hold the norm of the critic's gradient near 1 between real and generated data: arXiv:1704.00028, Eq. 3."""

    every, constrain = 1, None

    def __init__(self, *, weight: Annotated[float, Gt(0)]) -> None:
        self.weight = weight

    def loss(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        """Return weight times the mean squared distance of the norm from 1, at random points between pairs."""
        share = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device)
        between = torch.lerp(fake.detach().float(), real.float(), share)
        squares = gradient_at(between, critic).square().flatten(1).sum(1)
        norm = (squares + 1e-12).sqrt()  # the root has no slope at 0
        return self.weight * (norm - 1).square().mean()


class Clip:
    """Clip every weight of the critic after each of its updates: arXiv:1701.07875, Algorithm 1."""

    every = 0

    def __init__(self, *, limit: Annotated[float, Gt(0)]) -> None:
        self.limit = limit

    def loss(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        """Return zero."""
        return real.new_zeros(())

    def constrain(self, critic: nn.Module) -> None:
        """Clip the parameters to [-limit, limit]."""
        torch._foreach_clamp_min_(list(critic.parameters()), -self.limit)
        torch._foreach_clamp_max_(list(critic.parameters()), self.limit)


def gradient_at(x: Tensor, critic: Critic) -> Tensor:
    """Return the gradient of each logit for its own input, float32, itself differentiable: (B, ...).

    Of patches it is that of their mean: their sum would weigh as many times squared.
    """
    with torch.autocast(x.device.type, enabled=False):  # squares of gradients underflow in half precision
        x = x.detach().float().requires_grad_()
        logits = critic(x).reshape(len(x), -1).mean(1)
        (gradient,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    return gradient
