"""What a diffusion network is shown and what its output means: data = skip x + output network(input x).

x = data + sigma epsilon. What the network should answer follows: the equation, solved for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

DEVIATION = 0.5  # of data in [-1, 1], about: sigma_data of arXiv:2206.00364, Table 1
MOST_RATIO = 5.0  # gamma of arXiv:2303.09556, Section 3.4


class Coefficients(NamedTuple):
    """Scale what goes in, what bypasses the network, and what comes out: (B, ...) each."""

    input: Tensor
    skip: Tensor
    output: Tensor

    def clean(self, x: Tensor, output: Tensor) -> Tensor:
        """Return the data that an output means, float32."""
        return self.skip * x + self.output * output.float()

    def answer(self, clean: Tensor, epsilon: Tensor, sigma: Tensor) -> Tensor:
        """Return what the network should answer to clean + sigma epsilon."""
        return (1 - self.skip) / self.output * clean - self.skip * sigma / self.output * epsilon


def epsilon(sigma: Tensor) -> Coefficients:
    """Predict the noise: arXiv:2006.11239, Eq. 15."""
    return Coefficients(unit(sigma), torch.ones_like(sigma), -sigma)


def data(sigma: Tensor) -> Coefficients:
    """Predict the data."""
    return Coefficients(unit(sigma), torch.zeros_like(sigma), torch.ones_like(sigma))


def velocity(sigma: Tensor) -> Coefficients:
    """Predict v = alpha epsilon - alpha sigma data, where alpha keeps the variance: arXiv:2202.00512, Appendix D."""
    alpha = unit(sigma)
    return Coefficients(alpha, alpha.square(), -alpha * sigma)


def flow(sigma: Tensor) -> Coefficients:
    """Predict epsilon - data, the velocity of a straight line from data to noise: arXiv:2210.02747, Eq. 23."""
    alpha = 1 / (1 + sigma)
    return Coefficients(alpha, alpha, -alpha * sigma)


def edm(sigma: Tensor) -> Coefficients:
    """Keep what goes in and what should come out at unit variance: arXiv:2206.00364, Table 1."""
    total = sigma.square() + DEVIATION**2
    return Coefficients(total.rsqrt(), DEVIATION**2 / total, sigma * DEVIATION * total.rsqrt())


def unit(sigma: Tensor) -> Tensor:
    """Return what brings data of unit variance and their noise to unit variance."""
    return (1 + sigma.square()).rsqrt()


def even(sigma: Tensor, output: Tensor) -> Tensor:
    """Weigh the errors of all answers alike; with `edm` these are the paper's weights."""
    return torch.ones_like(sigma)


def min_snr(sigma: Tensor, output: Tensor) -> Tensor:
    """Weigh errors of the data by their signal to noise ratio, cut off: arXiv:2303.09556, Eq. 7."""
    return sigma.pow(-2).clamp(max=MOST_RATIO) * output.square()


PARAMETRISATIONS: dict[str, Callable[[Tensor], Coefficients]]
PARAMETRISATIONS = {"epsilon": epsilon, "x0": data, "v": velocity, "flow": flow, "edm": edm}
WEIGHTINGS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"even": even, "min_snr": min_snr}
