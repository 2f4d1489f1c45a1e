"""Make folders of very many small pictures, of which any smaller number is a folder of links."""

from __future__ import annotations

import multiprocessing
import struct
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

SIDE = 32  # pixels: 3,126 bytes a file
TOGETHER = 1000  # files of a sub-folder


def make(folder: Path, count: int, workers: int) -> None:
    """Write so many BMPs of coloured noise into sub-folders; those that are there already are kept."""
    missing = [number for number in range(-(-count // TOGETHER)) if not (folder / f"{number:05d}").exists()]
    folder.mkdir(parents=True, exist_ok=True)
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        done = pool.imap_unordered(partial(_make_some, folder), missing)
        for _ in tqdm(done, total=len(missing), desc="making pictures", unit="k", disable=None, leave=False):
            pass


def linked(folder: Path, place: Path, count: int) -> Path:
    """Return a folder of links to as many of the sub-folders as hold so many pictures."""
    place.mkdir(parents=True)
    for number in range(-(-count // TOGETHER)):
        (place / f"{number:05d}").symlink_to((folder / f"{number:05d}").resolve())
    return place


def _make_some(folder: Path, number: int) -> None:
    """Write a sub-folder aside and rename it."""
    aside = folder / f".{number:05d}"
    aside.mkdir(exist_ok=True)
    values = np.random.default_rng(number).integers(0, 256, (TOGETHER, 3 * SIDE * SIDE), np.uint8)
    head = b"BM" + struct.pack(
        "<IHHIIiiHHIIiiII", 54 + 3 * SIDE * SIDE, 0, 0, 54, 40, SIDE, SIDE, 1, 24, 0, 0, 0, 0, 0, 0
    )
    for index, pixels in enumerate(values):
        (aside / f"{number * TOGETHER + index:08d}.bmp").write_bytes(head + pixels.tobytes())
    aside.rename(folder / f"{number:05d}")
