"""What critics and generators of a GAN descend, and what keeps critics smooth.

A loss is a pair of methods on logits; a penalty is a function of the critic, real and generated signals.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Protocol

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor
from torch.nn import functional as F


class AdversarialLoss(Protocol):
    """Judge logits (B,): what to descend for the critic, and for the generator."""

    def critic(self, real: Tensor, fake: Tensor) -> Tensor: ...

    def generator(self, fake: Tensor) -> Tensor: ...


class CrossEntropy:
    """Tell real from fake by logistic regression, with the non-saturating generator's loss: arXiv:1406.2661, Section 3.

    smoothing lowers the target of real data from 1 to 1 - smoothing (one-sided: arXiv:1606.03498, Section 3.4).
    """

    def __init__(self, *, smoothing: Annotated[float, Ge(0), Lt(0.5)]) -> None:
        self.smoothing = smoothing

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return -(1 - s) log D(real) - s log(1 - D(real)) - log(1 - D(fake)), on average."""
        real, fake = real.float(), fake.float()
        # softplus(a) - (1 - s) a is the cross entropy of the logit a against the target 1 - s.
        return (F.softplus(real) - (1 - self.smoothing) * real).mean() + F.softplus(fake).mean()

    def generator(self, fake: Tensor) -> Tensor:
        """Return -log D(fake), on average."""
        return F.softplus(-fake.float()).mean()


class Hinge:
    """Push real logits above 1 and fake ones below -1, and no further: arXiv:1705.02894."""

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the two hinges' means, added."""
        return F.relu(1 - real.float()).mean() + F.relu(1 + fake.float()).mean()

    def generator(self, fake: Tensor) -> Tensor:
        """Return the negative mean logit."""
        return -fake.float().mean()


class LeastSquares:
    """Regress real logits onto 1 and fake ones onto 0, the generator's onto 1: arXiv:1611.04076, Eq. 9."""

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return half the two mean squares, added."""
        return ((real.float() - 1).square().mean() + fake.float().square().mean()) / 2

    def generator(self, fake: Tensor) -> Tensor:
        """Return half the mean square."""
        return (fake.float() - 1).square().mean() / 2


def none(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """Leave the critic free."""
    return real.new_zeros(())


def r1(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, *, weight: Annotated[float, Gt(0)]) -> Tensor:
    """Return weight / 2 times the mean squared norm of the critic's gradient at real data: arXiv:1801.04406, Eq. 9."""
    with torch.autocast(real.device.type, enabled=False):  # squares of gradients underflow in half precision
        real = real.detach().float().requires_grad_()
        (gradient,) = torch.autograd.grad(critic(real).sum(), real, create_graph=True)
    return weight / 2 * gradient.square().flatten(1).sum(1).mean()
