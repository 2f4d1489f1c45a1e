"""Serve the samples of shards that memory does not hold: a window of each slot, and the next read meanwhile."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from aigc_cli.data.shards import Shards
from aigc_cli.data.windows import Window, WindowedOrder
from aigc_cli.errors import DataError

Made = TypeVar("Made")


class Ahead(Generic[Made]):
    """Make something in a thread; the process may end without waiting for it."""

    def __init__(self, key: tuple[int, int], make: Callable[[], Made]) -> None:
        self.key, self._make, self._made = key, make, list[Made]()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError, DataError):  # it is tried again where the error can be told
            self._made.append(self._make())

    def wait(self) -> None:
        """Wait until it is made, or has failed."""
        self._thread.join()

    def result(self) -> Made:
        """Return what was made; what failed is tried once more."""
        self.wait()
        return self._made[0] if self._made else self._make()


class Loaded(NamedTuple):
    """A window and its rows of each array, as `reads` lists them; no arrays where memory holds all of them."""

    window: Window
    arrays: Sequence[Tensor]  # (n, width) each


class Slot:
    """Draw one slot's samples, window after window."""

    def __init__(
        self, order: WindowedOrder, number: int, arrays: Sequence[Shards], phase: Callable[[int], int]
    ) -> None:
        self.order, self.number, self.arrays, self.phase = order, number, arrays, phase
        length = min(order.window, order.line)
        self._buffers = [
            [torch.from_numpy(np.empty((length, math.prod(shards.row.shape)), shards.dtype)) for shards in arrays]
            for _ in range(2)
        ]
        self._turn, self._key = 0, (-1, -1)
        self._ahead: Ahead[Loaded] | None = None

    def draw(self, epoch: int, number: int) -> Iterator[tuple[Loaded, Tensor]]:
        """Yield the windows that a micro-batch is in, and which places of each: gather them before asking for more."""
        place, end = number * self.order.share, (number + 1) * self.order.share
        while place < end:
            which, offset = divmod(place, self.order.window)
            loaded = self._at(epoch, which)
            places = loaded.window.order[offset : offset + end - place]
            yield loaded, places
            place += len(places)

    def _at(self, epoch: int, which: int) -> Loaded:
        """Return a window; from now on the one after it is read, into the other buffer."""
        if self._key != (epoch, which):
            ahead = self._ahead
            if ahead is None or ahead.key != (epoch, which):
                if ahead:
                    ahead.wait()  # it writes into the buffer
                ahead = self._load((epoch, which))
            self._loaded, self._key = ahead.result(), (epoch, which)
            following = (epoch, which + 1) if which + 1 < self.order.windows else (epoch + 1, 0)
            self._ahead = self._load(following)
        return self._loaded

    def _load(self, key: tuple[int, int]) -> Ahead[Loaded]:
        self._turn ^= 1
        return Ahead(key, partial(self._read, *key, self._buffers[self._turn]))

    def _read(self, epoch: int, which: int, buffers: Sequence[Tensor]) -> Loaded:
        window, phase = self.order.window_of(epoch, self.number, which), self.phase(epoch)
        following = self.order.following(epoch, self.number, which)
        for shards, buffer in zip(self.arrays, buffers, strict=True):
            place = 0
            for shard, start, count in window.reads:
                shards.read(shard, start, buffer[place : place + count].numpy(), phase)
                place += count
            shards.want(following)
        return Loaded(window, buffers)


class Slots:
    """Draw the micro-batches of a rank."""

    def __init__(
        self, order: WindowedOrder, numbers: range, arrays: Sequence[Shards], phase: Callable[[int], int]
    ) -> None:
        """numbers: of this rank's slots; arrays: read from shards, none where memory holds them; phase: of an epoch."""
        self.order = order
        self._slots = [Slot(order, number, arrays, phase) for number in numbers]

    def draw(self, epoch: int, number: int, index: Tensor, rows: Sequence[Tensor]) -> None:
        """Write which samples (n,) the micro-batches are of, and the rows (n, width) of each array."""
        at = 0
        for slot in self._slots:
            for loaded, places in slot.draw(epoch, number):
                part = slice(at, at + len(places))
                torch.index_select(loaded.window.rows, 0, places, out=index[part])
                for array, out in zip(loaded.arrays, rows, strict=True):
                    torch.index_select(array, 0, places, out=out[part])
                at = part.stop
