"""Stand for CUDA graphs on a CPU: record every operation of a piece with its tensors, and do them again without Python.

As on a GPU nothing happens in a capture, a replay writes the very tensors that the capture returned, and what would
make the device wait, or copy from the host's memory, cannot be captured.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

Value = TypeVar("Value")
READ_BACK = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "unique", "_unique2")
FROM_HOST = ("lift_fresh", "lift_fresh_copy")  # what torch.tensor([...]) does


class EmulatedGraphs:
    """Record and replay; `captures` and `replays` count."""

    def __init__(self) -> None:
        self.captures = self.replays = 0

    @contextmanager
    def active(self) -> Iterator[None]:
        yield

    def capture(self, work: Callable[[], Value]) -> tuple[Callable[[], None], Value]:
        """Record work, and undo what it did."""
        recording, state = Recording(), torch.get_rng_state()
        try:
            with recording:
                value = work()
        finally:
            recording.undo()
            torch.set_rng_state(state)
        self.captures += 1

        def replay() -> None:
            self.replays += 1
            recording.replay()

        return replay, value


class Recording(TorchDispatchMode):
    """Keep the calls of a piece, and what the memory that was there before held."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, bool]] = []
        self.before: dict[int, tuple[Tensor, Tensor]] = {}  # by storage: its bytes, and a copy of them
        self.made: dict[int, Tensor] = {}  # bytes of storages that a call made; kept, so that no address comes again

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        given, name = (args, kwargs or {}), func._schema.name.removeprefix("aten::")
        if name in READ_BACK:
            raise RuntimeError(f"operation not permitted when stream is capturing: {name} reads a value back")
        if name in FROM_HOST and "torch/optim" not in "".join(traceback.format_stack()):  # of steps kept on the CPU
            raise RuntimeError(f"operation not permitted when stream is capturing: {name} copies from the host")
        for tensor in tensors_of(given):
            key = tensor.untyped_storage().data_ptr()
            if key not in self.made and key not in self.before:
                self.before[key] = (bytes_of(tensor), bytes_of(tensor).clone())
        places = tree_map_only(Tensor, Place, given)  # before the call, which may turn them
        result = func(*given[0], **given[1])
        for tensor in tensors_of(result):
            key = tensor.untyped_storage().data_ptr()
            if key not in self.before:
                self.made[key] = bytes_of(tensor)
        self.calls.append((func, places, tree_map_only(Tensor, Place, result), torch.is_grad_enabled()))
        return result

    def undo(self) -> None:
        """Put back what the memory held, and spoil what was made: only a replay may give it values."""
        for whole, copy in self.before.values():
            whole.copy_(copy)
        for whole in self.made.values():
            whole.fill_(255)  # NaN, as floats

    def replay(self) -> None:
        """Do the calls again; what they return goes where it was returned first."""
        for func, places, made, grad in self.calls:
            args, kwargs = tree_map_only(Place, Place.tensor, places)
            with torch._C._AutoDispatchBelowAutograd(), torch.set_grad_enabled(grad):
                again = func(*args, **kwargs)
            for place, value in zip(tree_leaves(made), tree_leaves(again), strict=True):
                if isinstance(place, Place) and (target := place.tensor()).data_ptr() != value.data_ptr():
                    target.copy_(value)


class Place:
    """Remember where a tensor's values lie, whatever becomes of the tensor."""

    def __init__(self, tensor: Tensor) -> None:
        self.storage, self.dtype = tensor.untyped_storage(), tensor.dtype
        self.layout = (tensor.storage_offset(), tensor.size(), tensor.stride())
        self.conjugate = tensor.is_conj()

    def tensor(self) -> Tensor:
        placed = torch.empty(0, dtype=self.dtype).set_(self.storage, *self.layout)
        return torch._conj(placed) if self.conjugate else placed


def bytes_of(tensor: Tensor) -> Tensor:
    return torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage())


def tensors_of(values: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]
