"""What a data set must be able to say of itself. Torch is not imported here: sources run in worker processes."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pathlib import Path

    from aigc_cli.data.folders import Listing
    from aigc_cli.data.pack import Pack

DECODING = 2  # raised when decoded samples change, so that old packs are not taken for new ones

# Names a sample within its split: a path, an index, a pair's two paths, a path and where to begin in it.
Key: TypeAlias = str | int | tuple[str, str] | tuple[str, int]
Stored: TypeAlias = NDArray | tuple[NDArray, NDArray]  # of pairs: sample and source
Reader: TypeAlias = Callable[[Any], Stored]  # key -> stored integers of the spec's shape, and of its source's


OUTSIDE = "lies in no class's sub-folder"  # why a picture has no label


class Rejected(Exception):  # noqa: N818 (it is an answer of a reader, not a fault of the program)
    """Say why one sample cannot be used; the sample is counted, listed and skipped."""


@dataclass(frozen=True)
class Split:
    """List the samples of a split; labels are parallel to keys."""

    keys: Sequence[Key]
    labels: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Contents:
    """Say what is to be packed: the samples of each split."""

    splits: dict[str, Split]
    ignored: int = 0  # files that are no pictures by name and content: counted, never an error
    rejected: list[tuple[str, str]] = field(default_factory=list)  # (path, reason), known before any decoding
    notes: list[str] = field(default_factory=list)  # what the user should know of how they are packed
    files: int | None = None  # that the keys are in, the rejected not among them; None: as many as keys


@dataclass(frozen=True)
class Part:
    """Carry some samples of a stream: rows of each array that `arrays_of` its spec names."""

    split: str
    rows: Mapping[str, NDArray]  # (n, ...), integers; they are stored in the type that the spec says
    labels: NDArray[np.int64] | None = None  # (n,)
    rejected: Sequence[tuple[str, str]] = ()  # (path, reason) of what was met on the way


@runtime_checkable
class Stream(Protocol):
    """A data set whose samples are found only in reading it through, in order: text.

    Its constructor is as cheap as a Source's. Nothing is held that grows with the files, since they may be larger than
    memory.
    """

    name: ClassVar[str]

    def fingerprint(self) -> str:
        """Return a digest of the settings and of the files' names, sizes and times."""
        ...

    def spec(self) -> dict[str, Any]:
        """Say what a sample is, in DataSpec.to_dict's form; the files may be read through once, for a vocabulary."""
        ...

    def parts(self, count: Callable[[int], object]) -> Iterator[Part]:
        """Yield the samples of "train" and "test", in order within each; count is told the bytes that were read."""
        ...

    def size(self) -> int:
        """Return how many bytes parts will read, for a progress bar."""
        ...

    def expected(self) -> int:
        """Return about how many samples parts will yield, for which there must be room on the disk."""
        ...

    def remarks(self) -> tuple[int, list[str]]:
        """Return, after parts, how many files were ignored, and what the user should know of the rest."""
        ...


class Source(Protocol):
    """A data set. Its constructor takes keyword-only settings and is cheap: nothing is opened yet."""

    name: ClassVar[str]
    parallel: ClassVar[bool]  # whether decoding costs enough to be worth worker processes

    def fingerprint(self) -> str:
        """Return a digest of the settings and of the files' names, sizes and times, without opening a sample."""
        ...

    def spec(self) -> dict[str, Any]:
        """Say what a sample is, in DataSpec.to_dict's form, from the settings alone where that is possible."""
        ...

    def contents(self) -> Contents:
        """List the samples."""
        ...

    def reader(self, split: str) -> Reader:
        """Return the function that decodes a key; called once per split in each process. It raises Rejected."""
        ...


@runtime_checkable
class Made(Protocol):
    """Data that were packed before, here or elsewhere."""

    def pack(self, cache: Path) -> Pack:
        """Open the pack; what lies elsewhere is fetched into the cache."""
        ...


@runtime_checkable
class Watched(Protocol):
    """A data set that is all files below one folder, which may be too many to look at each at every start."""

    root: str

    def listing(self) -> Listing:
        """Return the files."""
        ...


def image_spec(channels: int, size: int, classes: Iterable[str] | None) -> dict[str, Any]:
    """Describe square pictures of 256 levels."""
    names = list(classes) if classes is not None else None
    return {"kind": "image", "shape": [channels, size, size], "levels": 256, "classes": names}


def pair_spec(channels: int, source_channels: int, size: int) -> dict[str, Any]:
    """Describe square pictures that come with pictures they were made from."""
    return {**image_spec(channels, size, None), "source": image_spec(source_channels, size, None)}


class Rows(NamedTuple):
    """Say what a row of an array is."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def nbytes(self) -> int:
        """Count the bytes of a row."""
        return math.prod(self.shape) * self.dtype.itemsize


def arrays_of(spec: Mapping[str, Any]) -> dict[str, Rows]:
    """Name the arrays that a pack holds of each split: samples, and the sources of pairs."""
    source = spec.get("source")
    return {"samples": _rows(spec)} | ({"sources": _rows(source)} if source else {})


def _rows(spec: Mapping[str, Any]) -> Rows:
    wide = np.int16 if spec["kind"] == "audio" else np.int32
    return Rows(tuple(spec["shape"]), np.dtype(np.uint8 if spec["levels"] <= 256 else wide))


def digest(name: str, settings: Mapping[str, Any], files: Iterable[tuple[str, int, int]] = ()) -> str:
    """Hash a source's name, settings and (path, size, time) of its files."""
    hasher = hashlib.sha256(json.dumps([name, DECODING, dict(settings)], sort_keys=True).encode())
    for path, size, stamp in files:
        hasher.update(f"{path}\0{size}\0{stamp}\n".encode("utf-8", "surrogateescape"))
    return hasher.hexdigest()
