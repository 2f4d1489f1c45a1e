"""Keep an array as files of bounded size, and read it by rows as though it were one. No torch, as in packing."""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from aigc_cli.data.source import Rows
from aigc_cli.errors import DataError
from aigc_cli.files import sync

LARGE = 4 * 2**30  # bytes of a pack, above which it is cut into shards; smaller ones are one file for each array
SHARD_BYTES = 256 * 2**20  # of a file at the most
OPEN = 64  # shards of an array that are mapped at a time


def rows_a_shard(rows: Iterable[Rows], count: int) -> int | None:
    """Return how many of so many records a file holds, as many of every array; None: a small pack is not cut."""
    sizes = [row.nbytes for row in rows]
    return max(1, SHARD_BYTES // max(sizes)) if count * sum(sizes) > LARGE else None


def shard_names(split: str, array: str, count: int, per_shard: int | None) -> list[str]:
    """Return the names of the files of so many records; per_shard: records in each but the last, None: all in one."""
    if per_shard is None or count <= per_shard:
        return [f"{split}.{array}"]
    return [f"{split}-{number:05d}.{array}" for number in range(math.ceil(count / per_shard))]


class Recorded:
    """Write a file and know its size and checksum; it is on the disk when it is closed."""

    def __init__(self, path: Path) -> None:
        self.path, self.size, self.hasher = path, 0, hashlib.sha256()

    def __enter__(self) -> Recorded:
        self.file: BinaryIO = self.path.open("wb")
        return self

    def write(self, array: NDArray) -> None:
        """Append an array's bytes."""
        data = np.ascontiguousarray(array).data.cast("B") if array.size else b""
        self.file.write(data)
        self.hasher.update(data)
        self.size += len(data)

    def __exit__(self, *exception: object) -> None:
        with self.file:
            sync(self.file)

    def about(self) -> dict[str, int | str]:
        """Return size and checksum for the pack's meta."""
        return {"bytes": self.size, "sha256": self.hasher.hexdigest()}


class ShardWriter:
    """Write rows into one file, or where there are more than `per_shard`, into numbered ones."""

    def __init__(self, folder: Path, split: str, array: str, per_shard: int | None) -> None:
        self.folder, self.split, self.array, self.per_shard = folder, split, array, per_shard
        self._files: list[Recorded] = []
        self._room = per_shard  # for rows, in the file that is open

    def __enter__(self) -> ShardWriter:
        self._files.append(Recorded(self.folder / f"{self.split}.{self.array}").__enter__())
        return self

    def write(self, rows: NDArray) -> None:
        """Append rows (n, ...)."""
        while len(rows):
            if self._room == 0:
                self._next()
            now = rows[: self._room]
            self._files[-1].write(now)
            rows = rows[len(now) :]
            self._room = None if self._room is None else self._room - len(now)

    def _next(self) -> None:
        self._files[-1].__exit__()
        if len(self._files) == 1:  # there will be several
            self._files[0].path = self._files[0].path.rename(self._named(0))
        self._files.append(Recorded(self._named(len(self._files))).__enter__())
        self._room = self.per_shard

    def _named(self, number: int) -> Path:
        return self.folder / f"{self.split}-{number:05d}.{self.array}"

    def __exit__(self, *exception: object) -> None:
        self._files[-1].__exit__(*exception)

    def about(self) -> dict[str, dict[str, int | str]]:
        """Return what the pack's meta says of the files: name -> size and checksum."""
        return {file.path.name: file.about() for file in self._files}


class Place(Protocol):
    """Know where the files of a pack lie on this machine."""

    def __call__(self, name: str) -> Path:
        """Return the path of a file, which is there from now on."""
        ...

    def want(self, names: Sequence[str]) -> None:
        """Expect to be asked for these files next."""
        ...


@dataclass(frozen=True)
class Folder:
    """A folder that holds all files."""

    path: Path

    def __call__(self, name: str) -> Path:
        """Return the path of a file."""
        return self.path / name

    def want(self, names: Sequence[str]) -> None:
        """Do nothing: they are there."""


class Shards:
    """Read the rows of shard files as an array (N, *row.shape) would be; a file is mapped when it is first needed."""

    def __init__(self, names: Sequence[str], row: Rows, count: int, per_shard: int, place: Place) -> None:
        self.row, self.per_shard = row, per_shard
        self.shape, self.dtype, self.ndim = (count, *row.shape), row.dtype, 1 + len(row.shape)
        self.size, self.nbytes = math.prod(self.shape), count * row.nbytes
        self.lengths = [min(per_shard, count - start) for start in range(0, count, per_shard)]  # rows of each
        self._names, self._place = names, place
        self._mapped: OrderedDict[int, NDArray] = OrderedDict()

    def __len__(self) -> int:
        return self.shape[0]

    def path(self, shard: int) -> Path:
        """Return where a shard lies on this machine."""
        return self._place(self._names[shard])

    def want(self, shards: Iterable[int]) -> None:
        """Expect to be asked for these shards next."""
        self._place.want([self._names[shard] for shard in shards])

    def part(self, shard: int) -> NDArray:
        """Map the rows of a shard, copy on write: torch warns of arrays that cannot be written."""
        if shard not in self._mapped:
            while len(self._mapped) >= OPEN:
                self._mapped.popitem(last=False)
            shape = (self.lengths[shard], *self.row.shape)
            self._mapped[shard] = np.memmap(self.path(shard), self.dtype, "c", shape=shape)
        self._mapped.move_to_end(shard)
        return self._mapped[shard]

    def parts(self) -> Iterator[tuple[int, NDArray]]:
        """Yield the place of every shard's first row, and its rows."""
        for shard in range(len(self.lengths)):
            yield shard * self.per_shard, self.part(shard)

    def read(self, shard: int, start: int, out: NDArray, phase: int = 0) -> None:
        """Read rows of a shard into `out`, past the maps; phase: values by which all of them begin later."""
        begin = start * self.row.nbytes + phase * self.dtype.itemsize
        with self.path(shard).open("rb", buffering=0) as file:
            file.seek(begin)
            view = out.data.cast("B")
            while view:
                if not (done := file.readinto(view)):
                    raise DataError(f"data.cache: '{self._names[shard]}' was cut off while it was read.")
                view = view[done:]

    def __getitem__(self, index: int | slice | NDArray) -> NDArray:
        """Return a copy of the rows of an index, as of an array's first dimension."""
        if isinstance(index, slice):
            index = np.arange(*index.indices(len(self)))
        chosen = np.asarray(index)
        if chosen.dtype == bool:
            chosen = np.flatnonzero(chosen)
        chosen = np.where(chosen < 0, chosen + len(self), chosen)
        if chosen.size and not (chosen.min() >= 0 and chosen.max() < len(self)):
            raise IndexError(f"rows {chosen.min()} to {chosen.max()} of {len(self)}")
        shards, out = chosen // self.per_shard, np.empty((*chosen.shape, *self.row.shape), self.dtype)
        for shard in np.unique(shards):
            mine = shards == shard
            out[mine] = self.part(int(shard))[chosen[mine] - shard * self.per_shard]
        return out

    def __iter__(self) -> Iterator[NDArray]:
        for _, part in self.parts():
            yield from part
