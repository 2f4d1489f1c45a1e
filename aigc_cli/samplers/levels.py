"""Choose the noise levels that sampling passes on its way to data."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Literal, Protocol, TypeAlias

from annotated_types import Gt
from torch import Tensor

from aigc_cli.errors import ConfigError

Steps: TypeAlias = Annotated[int, Gt(0)] | None
Spacing: TypeAlias = Literal["time", "quadratic", "log", "karras"]
Denoise: TypeAlias = Callable[[Tensor, float], Tensor]
Start: TypeAlias = Callable[[Steps, Spacing], tuple[Tensor, list[float]]]

RHO = 7  # arXiv:2206.00364, Eq. 5 and Table 1
MOST_NOISE = 80.0  # beyond, nothing of the data is left to see (arXiv:2206.00364, Table 1)


class Levels(Protocol):
    """The noise levels that a model knows."""

    @property
    def most_steps(self) -> int | None:
        """Return how many levels there are; None: any number."""
        ...

    def at(self, shares: Sequence[float]) -> list[float]:
        """Return the levels at rising shares of the model's time, the last of them 1: the noisiest."""
        ...

    def ends(self) -> tuple[float, float]:
        """Return the least and the largest level worth passing."""
        ...


def begin(latent: Tensor, known: Levels, steps: Steps, spacing: Spacing) -> tuple[Tensor, list[float]]:
    """Return where sampling begins, data of unit variance under the most noise, and the levels to pass."""
    sigmas = spaced(known, steps, spacing)
    return latent * math.sqrt(1 + sigmas[0] ** 2), sigmas


def spaced(known: Levels, steps: Steps, spacing: Spacing) -> list[float]:
    """Return steps + 1 falling levels, the last one 0.

    time: even in the model's time. quadratic: as squares of it, closer together where little noise is left
    (arXiv:2010.02502, appendix D.2); the first is always the noisiest, where sampling begins (arXiv:2305.08891,
    Section 3.3). log: even in the logarithm (arXiv:2206.00927, Section 3.3). karras: even in the 7th root
    (arXiv:2206.00364, Eq. 5).
    """
    steps = count_steps(known, steps)
    shares = [(i + 1) / steps for i in range(steps)]
    if spacing == "time":
        levels = known.at(shares)
    elif spacing == "quadratic":
        levels = known.at([share**2 for share in shares])
    else:
        least, largest = known.ends()
        parts = [i / max(1, steps - 1) for i in range(steps)] if steps > 1 else [1.0]
        levels = [between(least, largest, part, spacing) for part in parts]
    return [*reversed(levels), 0.0]


def between(least: float, largest: float, part: float, spacing: Spacing) -> float:
    """Return the level so far up from the least to the largest."""
    if spacing == "log":
        return least * math.pow(largest / least, part)
    low, high = least ** (1 / RHO), largest ** (1 / RHO)
    return (low + part * (high - low)) ** RHO


def count_steps(known: Levels, steps: Steps) -> int:
    """Return the number of steps; null is every timestep, where the model has such."""
    most = known.most_steps
    if steps is None and most is None:
        raise ConfigError("steps: null means every timestep, but this model's time has none. Type steps=50.")
    if steps is not None and most is not None and steps > most:
        raise ConfigError(
            f"steps: given {steps}, allowed: 1 to {most}, the model's timesteps. Type steps={most} or fewer."
        )
    steps = most if steps is None else steps
    assert steps is not None
    return steps
