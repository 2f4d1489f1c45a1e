"""How a decoder's output says which data are likely: p(x | output), for signals x in [-1, 1]."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aigc_cli.interfaces import DataSpec


class Bernoulli(nn.Module):
    """Read the output as logits; a grey value counts as the probability of white, as in arXiv:1312.6114, appendix C."""

    def __init__(self, spec: DataSpec) -> None:
        super().__init__()

    def nats(self, output: Tensor, x: Tensor) -> Tensor:
        """Return -log p(x | output), summed over dimensions: (B,), float32."""
        nats = F.binary_cross_entropy_with_logits(output.float(), (x + 1) / 2, reduction="none")
        return nats.flatten(1).sum(1)

    def nats_of_levels(self, output: Tensor, x: Tensor) -> Tensor:
        """Return the same: greys are no levels of a Bernoulli variable, so its nats compare with its own kind only."""
        return self.nats(output, x)

    def mean(self, output: Tensor) -> Tensor:
        """Return the expected signal, in [-1, 1]."""
        return torch.tanh(output / 2)  # 2 sigmoid(output) - 1


class Gaussian(nn.Module):
    """Read the output as means; all dimensions share one learnt standard deviation (arXiv:2006.13202, Section 3.1).

    It never falls below one stored level, beyond which a density would reward rounding, not modelling.
    """

    def __init__(self, spec: DataSpec) -> None:
        super().__init__()
        self.log_deviation = nn.Parameter(torch.tensor(-1.0))  # a third of the way from black to grey
        self.floor = 2 / (spec.levels - 1)

    def nats(self, output: Tensor, x: Tensor) -> Tensor:
        """Return -log p(x | output), summed over dimensions: (B,), float32."""
        deviation = self.log_deviation.float().exp() + self.floor
        nats = ((x - output.float()) / deviation).square() / 2 + deviation.log() + math.log(2 * math.pi) / 2
        return nats.flatten(1).sum(1)

    def nats_of_levels(self, output: Tensor, x: Tensor) -> Tensor:
        """Return -log P(stored levels | output): the density, taken as even over a level's width: (B,), float32."""
        return self.nats(output, x) - x[0].numel() * math.log(self.floor)

    def mean(self, output: Tensor) -> Tensor:
        """Return the expected signal; decoding clamps it."""
        return output


class Squares(nn.Module):
    """Read the output as the signal itself; what is off counts by its square, as for a Gaussian of fixed deviation."""

    def __init__(self, spec: DataSpec) -> None:
        super().__init__()

    def nats(self, output: Tensor, x: Tensor) -> Tensor:
        """Return the squared differences, summed over dimensions: (B,), float32."""
        return (x - output.float()).square().flatten(1).sum(1)

    def mean(self, output: Tensor) -> Tensor:
        """Return the signal; decoding clamps it."""
        return output


LIKELIHOODS = {"bernoulli": Bernoulli, "gaussian": Gaussian}
RECONSTRUCTIONS = {"mse": Squares, **LIKELIHOODS}  # of autoencoders, which need no density
