"""Replay a training step from CUDA graphs: a few launches in place of hundreds.

A step is made of pieces: of each phase that is due the gradient of each micro-batch, then the descent (clipping, the
optimiser, the average, what comes after). A piece is called as Python a few times, then captured, then replayed: each
has a graph of its own, in one pool of memory, and cadences are a pattern of which are replayed. One graph of a whole
step cannot be: randomness is keyed by step, phase and micro-batch, and a generator cannot be seeded within a capture
(PyTorch's CUDAGeneratorImpl.cpp, set_current_seed). A replay reads the default generator's seed and offset as they then
are (ibid., replay_prologue), so that it is seeded before each, and pieces draw what they draw as Python.

So the Python of a loss runs in its first steps only. What changes from step to step must come from tensors: the batch,
its step, the model's buffers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

from aigc_cli.devices import Device
from aigc_cli.errors import ConfigError, TrainingError
from aigc_cli.interfaces import Batch, Logs

WARM_UP = 3  # calls of a piece before its capture: libraries choose kernels, optimisers make their state
Wanted: TypeAlias = bool | Literal["auto"]
Value = TypeVar("Value")


class Graphs(Protocol):
    """Record work on fixed memory, and do it again without its Python."""

    def active(self) -> AbstractContextManager[None]:
        """Enter where a step's work must run."""
        ...

    def capture(self, work: Callable[[], Value]) -> tuple[Callable[[], None], Value]:
        """Record work without doing it: what replays it, and what it returned, whose memory each replay writes."""
        ...


class CudaGraphs:
    """Record on one stream, on which the steps before ran too: no kernel waits for another stream in a capture."""

    def __init__(self, device: torch.device) -> None:
        self.stream, self.pool = torch.cuda.Stream(device), torch.cuda.graph_pool_handle()

    @contextmanager
    def active(self) -> Iterator[None]:
        outside = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(outside)
        with torch.cuda.stream(self.stream):
            yield
        outside.wait_stream(self.stream)

    def capture(self, work: Callable[[], Value]) -> tuple[Callable[[], None], Value]:
        graph = torch.cuda.CUDAGraph()
        # thread_local: the thread that writes checkpoints may go on meanwhile
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"):
            value = work()
        return graph.replay, value


def graphs_for(wanted: Wanted, device: Device) -> Graphs | None:
    """Return what records on this device, None where steps run as Python."""
    if not wanted:
        return None
    reason = "it needs a CUDA device" if device.torch.type != "cuda" else ""
    reason = reason or ("loss scaling (fp16) reads values back" if device.precision == "fp16" else "")
    if reason and wanted is True:
        raise ConfigError(f"trainer.cuda_graph: given true, but {reason}. Type trainer.cuda_graph=auto.")
    return None if reason else CudaGraphs(device.torch)


class Pieces:
    """Run the pieces of steps: as Python, or from graphs once they are captured."""

    def __init__(self, graphs: Graphs | None) -> None:
        self.graphs = graphs
        self.fixed = graphs is not None  # numbers that change from step to step live in tensors
        self.forget()

    def forget(self) -> None:
        """Drop what was captured: tensors that it reads are others from now on."""
        self._calls: Counter[Hashable] = Counter()
        self._captured: dict[Hashable, tuple[Callable[[], None], Any]] = {}
        self._batch: Batch | None = None

    @contextmanager
    def step(self, batch: Batch) -> Iterator[Batch]:
        """Lend the batch of a step, in the same memory each time where pieces are replayed."""
        if self.graphs is None:
            yield batch
            return
        with self.graphs.active():
            yield self._placed(batch)

    def run(self, key: Hashable, work: Callable[[], Value]) -> Value:
        """Do a piece of work; `key` names it among those of all steps."""
        if self.graphs is None or _get_current_dispatch_mode() is not None:  # who counts operations would see none
            return work()
        if key not in self._captured:
            self._calls[key] += 1
            if self._calls[key] <= WARM_UP:
                return work()
            try:
                self._captured[key] = self.graphs.capture(work)
            except RuntimeError as error:  # no going on: the default generator may still be in its state of capturing
                said = f"trainer.cuda_graph: this model's step cannot be captured ({str(error).splitlines()[0]})"
                raise TrainingError(f"{said}. Type trainer.cuda_graph=false.") from error
        replay, value = self._captured[key]
        replay()
        return value

    def report(self, key: Hashable, work: Callable[[], tuple[Logs, Value]]) -> tuple[Logs, Value]:
        """Do a piece of work that returns logs; from a graph they are copied, since the next replay overwrites them."""
        if not self.fixed:
            return work()
        names, values, more = self.run(key, lambda: _stacked(*work()))
        return dict(zip(names, values.clone().unbind(), strict=True)), more

    def _placed(self, batch: Batch) -> Batch:
        """Copy a batch to where the pieces read it."""
        if self._batch is not None and self._batch.x.shape != batch.x.shape:
            self.forget()
        if self._batch is None:
            condition = None if batch.condition is None else batch.condition.clone()
            self._batch = Batch(batch.x.clone(), condition, batch.step.clone())
        else:
            for place, part in zip(self._batch, batch, strict=True):
                if place is not None and part is not None:
                    place.copy_(part)
        return self._batch


def _stacked(logs: Logs, more: Value) -> tuple[tuple[str, ...], Tensor, Value]:
    return tuple(logs), torch.stack([value.float() for value in logs.values()]), more
