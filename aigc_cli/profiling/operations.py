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
    """Read what the profiler saw within so many steps: of a GPU its kernels, which a replay starts without operations.

    Those of a step must have ended before the step does.
    """
    taken: dict[str, list[float]] = {}
    for event in _within(profiler, DeviceType.CUDA if on_gpu else DeviceType.CPU):
        microseconds = event.time_range.elapsed_us() if on_gpu else event.self_cpu_time_total
        taken.setdefault(event.name, []).append(microseconds)
    whole = sum(map(sum, taken.values())) or 1.0
    dearest = sorted(taken, key=lambda name: -sum(taken[name]))[:SHOWN]
    listed = [(name, sum(taken[name]), len(taken[name])) for name in dearest]
    found = [
        Operation(name, round(time / whole, 4), round(time / steps / 1000, 4), round(calls / steps, 2))
        for name, time, calls in listed
    ]
    return Operations(tuple(found), whole / steps / 1000)


def _within(profiler: profile, kind: DeviceType) -> Iterator[Any]:
    """Yield what a kind of device did in steps; what lies between them, such as a preview, belongs to none."""
    events = list(profiler.events() or ())
    marks = [e for e in events if e.is_user_annotation and e.device_type == DeviceType.CPU and e.name == STEP]
    ranges = sorted((mark.time_range.start, mark.time_range.end) for mark in marks)
    for event in events:
        place = bisect(ranges, (event.time_range.start, float("inf"))) - 1
        ours = event.device_type == kind and not event.is_user_annotation
        if ours and place >= 0 and event.time_range.start <= ranges[place][1]:
            yield event
