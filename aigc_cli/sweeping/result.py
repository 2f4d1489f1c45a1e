"""What came of one job of a sweep."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """Hold what came of one job."""

    overrides: list[str]
    run: str
    status: str  # finished, failed, stopped or waiting
    objective: float | None = None
    step: int = 0
    minutes: float = 0.0
    error: str | None = None
    grid: str | None = None  # relative to the run's folder
