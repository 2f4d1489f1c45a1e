"""MNIST and Fashion-MNIST: the idx format, plain or gzipped."""

from __future__ import annotations

import functools
import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from aigc_cli.data.downloads import download
from aigc_cli.data.source import Contents, Reader, Split, digest, image_spec
from aigc_cli.errors import DataError

SIDE = 28
PREFIXES = {"train": "train", "test": "t10k"}
MOST_BYTES = 2**30  # unpacked; the real ones have 47 MB


class Idx:
    """Grey pictures of 28x28 with labels, in four idx files."""

    name: ClassVar[str]
    folder: ClassVar[str]  # torchvision's name of the set and of its folder
    classes: ClassVar[tuple[str, ...]]
    parallel: ClassVar[bool] = False

    def __init__(self, *, root: str, size: Annotated[int, Ge(SIDE), Le(256)]) -> None:
        self.root, self.size = root, size

    @functools.cached_property
    def files(self) -> dict[str, Path]:
        """Find the four files, downloading them where they are absent."""
        wanted = [f"{p}-{kind}-ubyte" for p in PREFIXES.values() for kind in ("images-idx3", "labels-idx1")]
        found = self._find(wanted)
        if len(found) < len(wanted):
            names = ", ".join(f"{name}.gz" for name in wanted)
            download(self.folder, self.root, f"put {names} into {Path(self.root) / self.folder / 'raw'}")
            found = self._find(wanted)
        if len(found) < len(wanted):
            missing = ", ".join(name for name in wanted if name not in found)
            raise DataError(f"data.root: in '{self.root}', {missing} are missing.")
        return found

    def fingerprint(self) -> str:
        """Return a digest of the settings and of the files' names, sizes and times."""
        stats = [(name, path.stat()) for name, path in sorted(self.files.items())]
        return digest(self.name, {"size": self.size}, [(name, s.st_size, s.st_mtime_ns) for name, s in stats])

    def spec(self) -> dict[str, Any]:
        """Describe a sample."""
        return image_spec(1, self.size, self.classes)

    def contents(self) -> Contents:
        """List the samples of the official splits."""
        splits = {}
        for split, prefix in PREFIXES.items():
            path = self.files[f"{prefix}-labels-idx1-ubyte"]
            labels = read_idx(path, 1)
            if labels.max(initial=0) >= len(self.classes):
                raise DataError(f"{path}: label {labels.max()}, allowed: 0 to {len(self.classes) - 1}.")
            splits[split] = Split(range(len(labels)), labels.astype(np.int64))
        return Contents(splits)

    def reader(self, split: str) -> Reader:
        """Return the function that hands out a picture, black around it where a larger one is asked for."""
        prefix = PREFIXES[split]
        path = self.files[f"{prefix}-images-idx3-ubyte"]
        pictures, labels = read_idx(path, 3), read_idx(self.files[f"{prefix}-labels-idx1-ubyte"], 1)
        if pictures.shape != (len(labels), SIDE, SIDE):
            raise DataError(f"{path}: pictures of shape {pictures.shape}, allowed: {(len(labels), SIDE, SIDE)}.")
        before = (self.size - SIDE) // 2
        after = self.size - SIDE - before
        padded = np.pad(pictures, ((0, 0), (before, after), (before, after)))[:, None]
        return lambda index: padded[index]

    def _find(self, names: list[str]) -> dict[str, Path]:
        root = Path(self.root).expanduser()
        found: dict[str, Path] = {}
        for folder in (root / self.folder / "raw", root / self.folder, root / "raw", root):
            # Both sets have the same names: files of two places may not be of one set.
            both = ((name, folder / form) for name in names for form in (f"{name}.gz", name))  # plain ones win
            found = max(found, {name: path for name, path in both if path.is_file()}, key=len)
        return found


class Mnist(Idx):
    """Handwritten digits."""

    name = "mnist"
    folder = "MNIST"
    classes = tuple("0123456789")


class FashionMnist(Idx):
    """Pieces of clothing."""

    name = "fashion_mnist"
    folder = "FashionMNIST"
    classes = (
        "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
    )  # fmt: skip


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read an idx file of unsigned bytes, gzipped or not; whatever else it holds is a DataError."""
    try:
        with path.open("rb") as plain:
            zipped = plain.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if zipped else path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}. Remove it, so that it is fetched again.") from None
    head = 4 + 4 * dimensions
    if len(data) < head or data[:4] != bytes((0, 0, 8, dimensions)) or len(data) > MOST_BYTES:
        raise DataError(f"{path}: no idx file of {dimensions} dimensions. Remove it, so that it is fetched again.")
    shape = struct.unpack(f">{dimensions}I", data[4:head])
    if len(data) - head != math.prod(shape):
        raise DataError(f"{path}: {len(data) - head:,} bytes of data, where its header says {math.prod(shape):,}.")
    return np.frombuffer(data, np.uint8, offset=head).reshape(shape)
