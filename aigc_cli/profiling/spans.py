"""Name the parts of a training step, and add up their time where somebody asks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeAlias

import torch

Span: TypeAlias = Callable[[str], AbstractContextManager[object]]
STEP, DATA, FORWARD, BACKWARD, OPTIMIZER = "step", "data", "forward", "backward", "optimiser"
GRADIENT = "gradient"  # forward and backward, where they are replayed as one
EXCHANGE = "exchange"  # the wait for other ranks' gradients
UNMEASURED = nullcontext()


def unmeasured(name: str) -> AbstractContextManager[object]:
    """Do nothing, in a tenth of a microsecond."""
    return UNMEASURED


class Stopwatch:
    """Add up the seconds of each part; on GPUs between two marks in the stream, so that nobody waits for the device."""

    def __init__(self, device: torch.device) -> None:
        self._marks = device.type == "cuda"
        self._passed: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []
        self._seconds: dict[str, float] = {}

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Measure what is done within."""
        if self._marks:
            began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            began.record()
            yield
            ended.record()
            self._passed.append((name, began, ended))
            return
        start = time.perf_counter()
        yield
        self._add(name, time.perf_counter() - start)

    def seconds(self) -> dict[str, float]:
        """Return the sums by name; waits for the device."""
        passed, self._passed = self._passed, []
        for name, began, ended in passed:
            ended.synchronize()
            self._add(name, began.elapsed_time(ended) / 1000)
        return dict(self._seconds)

    def _add(self, name: str, seconds: float) -> None:
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds
