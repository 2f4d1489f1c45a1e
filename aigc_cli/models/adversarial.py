"""What the critic and the generator of a GAN descend: a pair of methods on logits."""

from __future__ import annotations

from typing import Annotated, Protocol

from annotated_types import Ge, Lt
from torch import Tensor
from torch.nn import functional as F

from aigc_cli.interfaces import Logs


class AdversarialLoss(Protocol):
    """Judge logits (B,): what to descend for the critic, and for the generator.

    threshold: the logit of a critic that cannot tell; None where it has none.
    """

    threshold: float | None

    def critic(self, real: Tensor, fake: Tensor) -> Tensor: ...

    def generator(self, fake: Tensor) -> Tensor: ...


class CrossEntropy:
    """Tell real from fake by logistic regression, with the non-saturating generator's loss: arXiv:1406.2661, Section 3.

    smoothing lowers the target of real data from 1 to 1 - smoothing (one-sided: arXiv:1606.03498, Section 3.4).
    """

    threshold = 0.0

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

    threshold = 0.0

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the two hinges' means, added."""
        return F.relu(1 - real.float()).mean() + F.relu(1 + fake.float()).mean()

    def generator(self, fake: Tensor) -> Tensor:
        """Return the negative mean logit."""
        return -fake.float().mean()


class LeastSquares:
    """Regress real logits onto 1 and fake ones onto 0, the generator's onto 1: arXiv:1611.04076, Eq. 9."""

    threshold = 0.5

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return half the two mean squares, added."""
        return ((real.float() - 1).square().mean() + fake.float().square().mean()) / 2

    def generator(self, fake: Tensor) -> Tensor:
        """Return half the mean square."""
        return (fake.float() - 1).square().mean() / 2


class Wasserstein:
    """Estimate the earth mover's distance by the difference of mean scores: arXiv:1701.07875, Algorithm 1."""

    threshold = None

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the mean score of fakes less that of real data."""
        return fake.float().mean() - real.float().mean()

    def generator(self, fake: Tensor) -> Tensor:
        """Return the negative mean score."""
        return -fake.float().mean()


def verdicts(real: Tensor, fake: Tensor) -> Logs:
    """Return what a critic says, for the log: mean probabilities of being real, and its accuracy.

    accuracy: share of pairs whose real one is judged the likelier.
    """
    accuracy = (real.detach() > fake.detach()).float().mean()
    return {"real": chance(real), "fake": chance(fake), "accuracy": accuracy}


def chance(logits: Tensor) -> Tensor:
    """Return the mean probability of being real, for the log."""
    return logits.detach().float().sigmoid().mean()
