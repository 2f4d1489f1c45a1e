"""Sort the operations of traced steps by the time that they take themselves."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from torch.autograd import DeviceType
from torch.profiler import profile

from aigc_cli.profiling.spans import STEP

SHOWN = 10


@dataclass(frozen=True)
class Operation:
    """Say what one kind of operation costs by itself, without those that it calls."""

    name: str
    share: float  # of the time of all operations
    milliseconds: float  # a step
    calls: float  # a step


@dataclass(frozen=True)
class Operations:
    """Hold the dearest operations, and the time of all."""

    dearest: tuple[Operation, ...]
    milliseconds: float  # a step: on a GPU what its kernels take, so that it idles for the rest

    def told(self) -> list[dict[str, Any]]:
        """Return plain values for JSON."""
        return [asdict(operation) for operation in self.dearest]


def operations_of(profiler: profile, steps: int, *, on_gpu: bool) -> Operations:
    """Read what the profiler saw within so many steps, by the clock of the device."""
    taken: dict[str, list[float]] = {}
    for event in _within(profiler):
        taken.setdefault(event.name, []).append(event.self_device_time_total if on_gpu else event.self_cpu_time_total)
    whole = sum(map(sum, taken.values())) or 1.0
    dearest = sorted(taken, key=lambda name: -sum(taken[name]))[:SHOWN]
    listed = [(name, sum(taken[name]), len(taken[name])) for name in dearest]
    found = [
        Operation(name, round(time / whole, 4), round(time / steps / 1000, 4), round(calls / steps, 2))
        for name, time, calls in listed
    ]
    return Operations(tuple(found), whole / steps / 1000)


def _within(profiler: profile) -> Iterator[Any]:
    """Yield the operations of steps; what lies between them, such as a preview, belongs to none."""
    events = [event for event in profiler.events() or () if event.device_type == DeviceType.CPU]
    ranges = sorted((e.time_range.start, e.time_range.end) for e in events if e.is_user_annotation and e.name == STEP)
    for event in events:
        place = bisect(ranges, (event.time_range.start, float("inf"))) - 1
        if not event.is_user_annotation and place >= 0 and event.time_range.start <= ranges[place][1]:
            yield event
