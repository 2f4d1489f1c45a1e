"""Folders of small pictures, and the data nodes that open them, for the tests of data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from aigc_cli.data.folders import is_held_out


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
