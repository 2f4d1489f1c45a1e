"""Folders of small pictures, and the data nodes that open them, for the tests of data."""

from __future__ import annotations

import os
import signal
import struct
import time
import zlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from aigc_cli.data.folders import is_held_out
from aigc_cli.data.source import Contents, Reader, Rejected, Split, digest, image_spec


def node(name: str, cache: Path, **settings: Any) -> dict[str, Any]:
    """Return a data node with a pipeline that stays in this process."""
    return {"name": name, "cache": str(cache), "workers": 0, "max_bad": 0.01, "augment": [], **settings}


def folder_node(root: Path, cache: Path, **settings: Any) -> dict[str, Any]:
    """Return a node of the pictures in a folder."""
    defaults = {"root": str(root), "size": 8, "channels": 3, "fit": "crop", "labels": False}
    return node("image_folder", cache, **{**defaults, **settings})


def glyphs_node(cache: Path, **settings: Any) -> dict[str, Any]:
    """Return a node of drawn digits, which need no files."""
    return node("glyphs", cache, **{"size": 16, "count": 64, **settings})


def write_pictures(root: Path, count: int, *, start: int = 0, side: int = 8) -> list[Path]:
    """Write PNGs, each of its own even colour: 7 times its number."""
    root.mkdir(parents=True, exist_ok=True)
    paths = [root / f"{number:04d}.png" for number in range(start, start + count)]
    for number, path in enumerate(paths, start):
        Image.new("RGB", (side, side), (7 * number % 256,) * 3).save(path)
    return paths


def trained_on(names: list[str]) -> list[str]:
    """Return the names that are not held out, in the order of the pack."""
    return sorted(name for name in names if not is_held_out(name))


def packed_values(samples: np.ndarray) -> list[int]:
    """Return the first stored integer of each sample."""
    return [int(sample.flat[0]) for sample in samples]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width: int, height: int) -> bytes:
    """Return a PNG of a few hundred bytes that says it holds so many pixels."""
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * 4096, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def litter(cache: Path) -> list[str]:
    """Return what is no lock and no whole pack."""
    names = [entry.name for entry in cache.iterdir() if not entry.name.startswith(".lock-")]
    return [name for name in names if not (cache / name / "meta.json").exists() or name.startswith(".")]


class Dots:
    """A source for tests: sample i is full of i, labelled i % 3; what stands in `faults` happens at that sample."""

    name: ClassVar[str] = "dots"
    parallel: ClassVar[bool] = True

    def __init__(self, *, count: int, faults: dict[str, str] | None = None) -> None:
        self.count, self.faults = count, faults or {}

    def fingerprint(self) -> str:
        return digest(self.name, {"count": self.count})

    def spec(self) -> dict[str, Any]:
        return image_spec(1, 4, "abc")

    def contents(self) -> Contents:
        train = Split(range(self.count), np.arange(self.count, dtype=np.int64) % 3)
        return Contents({"train": train, "test": Split(range(0), np.zeros(0, np.int64))})

    def reader(self, split: str) -> Reader:
        return self.read

    def read(self, index: int) -> np.ndarray:
        fault = self.faults.get(str(index), "none")
        if fault == "interrupt":
            raise KeyboardInterrupt
        if fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "bad":
            raise Rejected("marked bad")
        if fault == "slow":
            time.sleep(1)
        return np.full((1, 4, 4), index % 256, np.uint8)
