"""How much noise diffusion learns to take away, and in which words the network is told.

A level is sigma, the deviation of the noise over the scale of the data: alpha x + alpha sigma epsilon. Whatever alpha
is, a model sees the same; so a schedule is the levels that training draws and a time for each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal, Protocol, TypeAlias

import torch
from annotated_types import Gt
from torch import Tensor, nn

from aigc_cli.samplers.levels import MOST_NOISE

Timesteps: TypeAlias = Annotated[int, Gt(1)]
Times = Literal["uniform", "logit_normal"]
LEAST_NOISE = 0.002  # arXiv:2206.00364, Table 1: below, a stored level hides it
CLOSEST = 1e-3  # that a flow's time comes to data and to noise, where its equations divide by nothing
TABLED = 1000  # levels of a bound where the time is continuous
TICKS = 1000  # of a flow's time, and 100 of a doubling of sigma or so: networks tell whole numbers apart


class NoiseSchedule(Protocol):
    """The levels that training draws, and those that sampling may pass (samplers.levels.Levels)."""

    @property
    def most_steps(self) -> int | None: ...

    def at(self, shares: Sequence[float]) -> list[float]: ...

    def ends(self) -> tuple[float, float]: ...

    def draw(self, n: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Draw n levels to train on, and their times: (n,) each."""
        ...

    def time_of(self, sigmas: Tensor) -> Tensor:
        """Return the times of levels: (B,) to (B,)."""
        ...

    def table(self) -> Tensor:
        """Return the rising levels of the chain whose likelihood is bounded: (T,) float64 on the CPU."""
        ...


class Discrete(nn.Module):
    """Number the levels: the time is a timestep, drawn evenly."""

    def __init__(self, betas: Tensor) -> None:
        super().__init__()
        # No beta exceeds 0.999, so that some data remain.
        alpha_bars = (1 - betas.clamp(max=0.999)).cumprod(0)
        self.sigmas: Tensor
        self.register_buffer("sigmas", ((1 - alpha_bars) / alpha_bars).sqrt().float(), persistent=False)

    @property
    def most_steps(self) -> int | None:
        """Count the timesteps."""
        return len(self.sigmas)

    def draw(self, n: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Draw timesteps evenly: arXiv:2006.11239, Algorithm 1."""
        time = torch.randint(len(self.sigmas), (n,), device=device)
        return self.sigmas[time], time

    def time_of(self, sigmas: Tensor) -> Tensor:
        """Return timesteps, and parts of them between two levels, in proportion to the level's logarithm."""
        known, asked = self.sigmas.log(), sigmas.log()
        above = torch.searchsorted(known, asked).clamp(1, len(known) - 1)
        lower, upper = known[above - 1], known[above]
        return above - 1 + ((asked - lower) / (upper - lower)).clamp(0, 1)

    def at(self, shares: Sequence[float]) -> list[float]:
        """Return the levels of different timesteps at shares of them all."""
        known = self.table().tolist()
        return [known[max(i, round(len(known) * share) - 1)] for i, share in enumerate(shares)]

    def ends(self) -> tuple[float, float]:
        """Return the first timestep's level, and the last one's as far as something of the data is left."""
        known = self.table()
        return float(known[0]), max(float(known[0]), min(float(known[-1]), MOST_NOISE))

    def table(self) -> Tensor:
        """Return each timestep's level."""
        return self.sigmas.cpu().double()  # of which not every device knows


def linear(*, timesteps: Timesteps) -> Discrete:
    """Let beta rise linearly, from 0.0001 to 0.02 over 1000 steps: arXiv:2006.11239, Section 4.

    With another number of steps the betas grow in proportion, so that as little of the data is left at the end.
    """
    scale = 1000 / timesteps
    return Discrete(torch.linspace(1e-4 * scale, 0.02 * scale, timesteps, dtype=torch.float64))


def cosine(*, timesteps: Timesteps) -> Discrete:
    """Let what is left of the data fall like a squared cosine: arXiv:2102.09672, Eq. 17."""
    angles = (torch.arange(timesteps + 1, dtype=torch.float64) / timesteps + 0.008) / 1.008 * math.pi / 2
    return Discrete(betas_of(angles.cos().square()))


def sigmoid(*, timesteps: Timesteps) -> Discrete:
    """Let what is left of the data fall like a sigmoid from -3 to 3: arXiv:2212.11972, Algorithm 1."""
    levels = torch.sigmoid(torch.linspace(3, -3, timesteps + 1, dtype=torch.float64))
    return Discrete(betas_of((levels - levels[-1]) / (levels[0] - levels[-1])))


def betas_of(levels: Tensor) -> Tensor:
    """Return 1 - alpha_bar_t / alpha_bar_{t-1} of T + 1 alpha bars: (T,)."""
    return 1 - levels[1:] / levels[:-1]


class LogNormal(nn.Module):
    """Draw the logarithm of sigma from a normal distribution: EDM, arXiv:2206.00364, Table 1.

    The network is told 100 ln(sigma), where the paper says ln(sigma) / 4: our networks tell whole numbers apart.
    """

    most_steps = None

    def __init__(self, *, mean: float, deviation: Annotated[float, Gt(0)]) -> None:
        super().__init__()
        self.mean, self.deviation = mean, deviation

    def draw(self, n: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Draw levels."""
        sigmas = (self.mean + self.deviation * torch.randn(n, device=device)).exp()
        return sigmas, self.time_of(sigmas)

    def time_of(self, sigmas: Tensor) -> Tensor:
        """Return 100 ln(sigma)."""
        return TICKS / 10 * sigmas.log()

    def at(self, shares: Sequence[float]) -> list[float]:
        """Return levels at shares of the way in the logarithm."""
        return [LEAST_NOISE * math.pow(MOST_NOISE / LEAST_NOISE, share) for share in shares]

    def ends(self) -> tuple[float, float]:
        """Return the paper's."""
        return LEAST_NOISE, MOST_NOISE

    def table(self) -> Tensor:
        """Return levels even in the logarithm."""
        return log_table()


class Flow(nn.Module):
    """Mix (1 - t) data with t noise, so that sigma = t / (1 - t): rectified flow, arXiv:2209.03003, Eq. 1.

    Its times are drawn evenly or, so that the middle is seen more often, as the sigmoid of a normal variable:
    arXiv:2403.03206, Section 3.1.
    """

    most_steps = None

    def __init__(self, *, times: Times) -> None:
        super().__init__()
        self.times: Times = times

    def draw(self, n: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Draw times, and their levels."""
        even = self.times == "uniform"
        time = torch.rand(n, device=device) if even else torch.randn(n, device=device).sigmoid()
        time = time.clamp(CLOSEST, 1 - CLOSEST)
        return time / (1 - time), TICKS * time

    def time_of(self, sigmas: Tensor) -> Tensor:
        """Return a thousand times t."""
        return TICKS * sigmas / (1 + sigmas)

    def at(self, shares: Sequence[float]) -> list[float]:
        """Return levels at shares of the time up to where nothing of the data is left to see."""
        times = [share * MOST_NOISE / (1 + MOST_NOISE) for share in shares]
        return [time / (1 - time) for time in times]

    def ends(self) -> tuple[float, float]:
        """Return the levels that sampling may pass."""
        return LEAST_NOISE, MOST_NOISE

    def table(self) -> Tensor:
        """Return levels even in the logarithm."""
        return log_table()


def log_table() -> Tensor:
    """Return levels for a bound: (TABLED,), float64."""
    return torch.logspace(math.log10(LEAST_NOISE), math.log10(MOST_NOISE), TABLED, dtype=torch.float64)
