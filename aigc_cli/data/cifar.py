"""CIFAR-10: the python batches, read by an unpickler that knows arrays and nothing else, or the binary ones."""

from __future__ import annotations

import functools
import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from aigc_cli.data.downloads import download
from aigc_cli.data.source import Contents, Reader, Split, digest, image_spec
from aigc_cli.errors import DataError

SIDE, CHANNELS = 32, 3
VALUES = CHANNELS * SIDE * SIDE
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BATCHES = {"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]}
AGAIN = "Remove it, so that it is fetched again."
DAMAGED = (  # what unpickling and reshaping damaged bytes raise
    OSError, pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError,
    OverflowError, MemoryError, RecursionError,
)  # fmt: skip
LAYOUTS = {"cifar-10-batches-py": "", "cifar-10-batches-bin": ".bin"}


class Cifar10:
    """Colour photographs of 32x32 in ten classes (Krizhevsky 2009)."""

    name: ClassVar[str] = "cifar10"
    parallel: ClassVar[bool] = False

    def __init__(self, *, root: str) -> None:
        self.root = root

    @functools.cached_property
    def files(self) -> dict[str, list[Path]]:
        """Find the six batches, downloading them where they are absent."""
        if not (found := self._find()):
            download("CIFAR10", self.root, f"unpack cifar-10-python.tar.gz into {self.root}")
            found = self._find()
        if not found:
            raise DataError(f"data.root: in '{self.root}', cifar-10-batches-py lacks some of its six batches.")
        return found

    def fingerprint(self) -> str:
        """Return a digest of the files' names, sizes and times."""
        stats = [(path.name, path.stat()) for paths in self.files.values() for path in paths]
        return digest(self.name, {}, [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])

    def spec(self) -> dict[str, Any]:
        """Describe a sample."""
        return image_spec(CHANNELS, SIDE, CLASSES)

    def contents(self) -> Contents:
        """List the samples of the official splits."""
        labels = {split: np.concatenate([read_batch(path)[1] for path in paths]) for split, paths in self.files.items()}
        splits = {split: Split(range(len(each)), each) for split, each in labels.items()}
        return Contents(splits)

    def reader(self, split: str) -> Reader:
        """Return the function that hands out a picture."""
        pictures = np.concatenate([read_batch(path)[0] for path in self.files[split]])
        return lambda index: pictures[index]

    def _find(self) -> dict[str, list[Path]] | None:
        root = Path(self.root).expanduser()
        for folder in [*(root / layout for layout in LAYOUTS), root]:
            for suffix in LAYOUTS.values():
                found = {split: [folder / f"{name}{suffix}" for name in names] for split, names in BATCHES.items()}
                if all(path.is_file() for paths in found.values() for path in paths):
                    return found
        return None


def read_batch(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return pictures (N, 3, 32, 32) and labels (N,) of a batch file; whatever else it holds is a DataError."""
    try:
        data, labels = _binary(path) if path.suffix == ".bin" else _pickled(path)
    except DAMAGED as error:
        raise DataError(f"{path}: no CIFAR-10 batch ({str(error)[:120]}). {AGAIN}") from None
    fits = data.dtype == np.uint8 and data.shape == (len(labels), VALUES) and len(labels)
    if not fits or labels.min() < 0 or labels.max() >= len(CLASSES):
        raise DataError(f"{path}: no CIFAR-10 batch: {data.dtype} {data.shape}. {AGAIN}")
    return data.reshape(-1, CHANNELS, SIDE, SIDE), labels


def _binary(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    rows = np.fromfile(path, np.uint8).reshape(-1, 1 + VALUES)
    return np.ascontiguousarray(rows[:, 1:]), rows[:, 0].astype(np.int64)


def _pickled(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    with path.open("rb") as file:
        batch = Arrays(file, encoding="bytes").load()
    data, labels = batch[b"data"], batch[b"labels"]
    if not isinstance(data, PickledArray) or not isinstance(labels, list):
        raise ValueError("no array of pictures with a list of labels")
    return data.bytes(), np.array(labels, np.int64)


class PickledArray:
    """Take what a pickle says of a numpy array. Numpy's own classes trust it: a damaged one spoils their memory."""

    def __setstate__(self, state: Any) -> None:
        """Keep version, shape, type, order and bytes as they are."""
        _, self.shape, self.type, self.is_column_major, self.content = state

    def bytes(self) -> NDArray[np.uint8]:
        """Return the array of unsigned bytes, which is all that a batch holds."""
        if not isinstance(self.type, PickledType) or self.type.code not in ("u1", b"u1") or self.is_column_major:
            raise ValueError("an array, but not of unsigned bytes by rows")
        return np.frombuffer(self.content, np.uint8).reshape(self.shape)


class PickledType:
    """Take what a pickle says of a numpy type."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code = code

    def __setstate__(self, state: Any) -> None:
        """Leave byte order and alignment aside: single bytes have none."""


def _latin1(text: str, encoding: str) -> bytes:
    return text.encode("latin1")  # how Python 3 writes bytes for Python 2


class Arrays(pickle.Unpickler):
    """Load plain values and numpy arrays; a pickle that names anything else is refused, since it could run code."""

    KNOWN: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): lambda *_: PickledArray(),
        ("numpy._core.multiarray", "_reconstruct"): lambda *_: PickledArray(),
        ("numpy", "ndarray"): PickledArray,
        ("numpy", "dtype"): PickledType,
        ("_codecs", "encode"): _latin1,
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return what a pickle may name."""
        try:
            return self.KNOWN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no data set needs") from None
