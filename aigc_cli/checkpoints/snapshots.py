"""Copy a state of one moment onto the CPU, to be written while training changes the original."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

Value = TypeVar("Value")


def snapshot(value: Value) -> tuple[Value, Callable[[], object]]:
    """Return a copy of a nested state, and what to call before it is read: it waits for the device.

    What shares memory shares it in the copy, so that the same bytes are written. From CUDA a stream of its own copies
    into pinned memory, from a second copy on the device: training's stream waits for neither.
    """
    storages: dict[tuple[torch.device, int], Tensor] = {}
    memo: dict[int, Any] = {}
    on_cuda = [tensor.device for _, tensor in tensors_in(value) if tensor.is_cuda]
    stream = torch.cuda.Stream(on_cuda[0]) if on_cuda else None
    for _, tensor in tensors_in(value):
        if id(tensor) not in memo:
            memo[id(tensor)] = _copied(tensor, storages, stream)
    return copy.deepcopy(value, memo), (stream.record_event().synchronize if stream else lambda: None)


def tensors_in(value: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a nested state with their paths."""
    if isinstance(value, Tensor):
        yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from tensors_in(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from tensors_in(inner, f"{path}.{index}")


def _copied(
    tensor: Tensor, storages: dict[tuple[torch.device, int], Tensor], stream: torch.cuda.Stream | None
) -> Tensor:
    storage = tensor.untyped_storage()
    key = (tensor.device, storage.data_ptr() or id(tensor))  # empty ones lie nowhere
    if key not in storages:
        whole = torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(storage)
        storages[key] = _to_host(whole, stream) if tensor.is_cuda and stream else whole.to("cpu", copy=True)
    whole = storages[key].untyped_storage()
    return torch.empty(0, dtype=tensor.dtype).set_(whole, tensor.storage_offset(), tensor.size(), tensor.stride())


def _to_host(whole: Tensor, stream: torch.cuda.Stream) -> Tensor:
    """Copy bytes into pinned memory on a stream of its own."""
    training, host = torch.cuda.current_stream(whole.device), torch.empty_like(whole, device="cpu", pin_memory=True)
    try:
        source = whole.clone()  # on training's stream, before it changes them
    except torch.OutOfMemoryError:  # then training waits for the bus
        return host.copy_(whole)
    stream.wait_stream(training)
    with torch.cuda.stream(stream):
        host.copy_(source, non_blocking=True)
    source.record_stream(stream)
    return host
