"""Learning-rate schedules: pure functions of the step that scale every phase's rate."""

from __future__ import annotations

import math
from typing import Annotated, TypeAlias

from annotated_types import Ge, Le

SCHEDULES = {
    "constant": "aigc_cli.schedules:constant",
    "cosine": "aigc_cli.schedules:cosine",
}

Steps: TypeAlias = Annotated[int, Ge(0)]


def constant(step: int, total: int, *, warmup: Steps) -> float:
    """Rise linearly over `warmup` steps, then stay at 1."""
    return min(1.0, (step + 1) / (warmup + 1))


def cosine(step: int, total: int, *, warmup: Steps, floor: Annotated[float, Ge(0), Le(1)]) -> float:
    """Rise linearly over `warmup` steps, then fall to `floor` by half a cosine (arXiv:1608.03983, Eq. 5)."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))
