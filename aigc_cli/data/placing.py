"""Put arrays where gathering from them is fastest, and gather rows into buffers that are used again."""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aigc_cli.data.shards import Shards
from aigc_cli.distributed import Ranks

SHARE_OF_MEMORY = 0.25  # of the machine's, which a data set may fill; larger ones stay on the disk
COPIED = 256 * 2**20  # bytes that are copied into memory at a start; the system's cache holds more without a wait
SHARE_OF_GPU = 0.5  # of its free memory; larger ones are gathered on the host and copied
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


class Buffers:
    """Gather rows into two buffers in turn: fresh memory for each batch would cost more than the copy."""

    def __init__(self, samples: Tensor, batch_size: int, device: torch.device) -> None:
        self.samples, self.device, self.turn = samples, device, 0
        self.copied = samples.device.type != device.type
        pinned = self.copied and device.type == "cuda"
        shape = (batch_size, samples.shape[1])
        self.rows = [
            torch.empty(shape, dtype=samples.dtype, device=samples.device, pin_memory=pinned) for _ in range(2)
        ]
        self.events = [torch.cuda.Event() for _ in range(2)] if pinned else None

    def gather(self, index: Tensor) -> Tensor:
        """Return the rows of an index (B,), on the device."""
        rows = self.next()
        torch.index_select(self.samples, 0, index, out=rows)
        return self.sent(rows)

    def next(self) -> Tensor:
        """Return the buffer (B, width) whose turn it is, to be filled and sent."""
        self.turn ^= 1
        if self.events:
            self.events[self.turn].synchronize()  # the copy before the last may still read this buffer
        return self.rows[self.turn]

    def sent(self, rows: Tensor) -> Tensor:
        """Return the buffer's rows on the device."""
        if not self.copied:
            return rows
        there = rows.to(self.device, non_blocking=self.events is not None)
        if self.events:
            self.events[self.turn].record()
        return there


def placed(arrays: Sequence[NDArray | Shards], device: torch.device, ranks: Ranks) -> list[Tensor] | None:
    """Put arrays on the GPU or into memory, as (N, width), or leave them mapped; None: shards stay on the disk."""
    if any(isinstance(array, Shards) for array in arrays):  # all or none: they are read together
        where = _room(sum(array.nbytes for array in arrays), device, ranks)
        return [_filled(array, where) for array in arrays] if where else None
    return [_placed(array, _room(array.nbytes, device, ranks)) for array in arrays]


def _room(size: int, device: torch.device, ranks: Ranks) -> torch.device | None:
    """Return where so many bytes may stay; None: on the disk."""
    if device.type == "cuda" and size < SHARE_OF_GPU * torch.cuda.mem_get_info(device)[0]:
        return device
    return torch.device("cpu") if size < min(COPIED, SHARE_OF_MEMORY * memory() / ranks.local_world) else None


def _placed(array: NDArray | Shards, where: torch.device | None) -> Tensor:
    if where:
        return _filled(array, where)
    assert isinstance(array, np.ndarray)
    if isinstance(array, np.memmap) and array.filename and array.nbytes < SHARE_OF_MEMORY * memory():
        threading.Thread(target=_cached, args=[array.filename], daemon=True).start()
    return torch.from_numpy(array).flatten(1)


def _cached(path: str | Path) -> None:
    """Read a file through, so that the system's cache holds it: mapped rows are then as quick as a copy."""
    block = bytearray(2**20)
    with contextlib.suppress(OSError), open(path, "rb", buffering=0) as file:
        while file.readinto(block):
            pass


def _filled(array: NDArray | Shards, device: torch.device) -> Tensor:
    """Copy an array, shard by shard."""
    parts = array.parts() if isinstance(array, Shards) else [(0, array)]
    kind = torch.from_numpy(array[:0]).dtype
    made = torch.empty((len(array), math.prod(array.shape[1:])), dtype=kind, device=device)
    for first, part in parts:
        made[first : first + len(part)] = torch.from_numpy(part).flatten(1)
    return made


def memory() -> int:
    """Return the bytes of memory that this process may use at most."""
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 8 * 2**30  # a system that does not say: a laptop's
    try:
        return min(whole, int(CGROUP_LIMIT.read_text()))
    except (OSError, ValueError):  # no such limit
        return whole
