"""Lay pictures out so that a person sees them, and write them."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from aigc_cli import __version__
from aigc_cli.files import atomic_write

if TYPE_CHECKING:
    from torch import Tensor

TILE, GAP = 64, 2  # pixels: small pictures are enlarged to about TILE a side
BACKGROUND = 48  # a dark grey, apart from black digits' ground and from white pictures
FORMATS = {"png": "PNG", "jpeg": "JPEG", "jpg": "JPEG", "webp": "WEBP", "gif": "GIF"}
LONGEST_SIDE = {"PNG": 65535, "JPEG": 65535, "WEBP": 16383, "GIF": 65535}  # pixels that the formats can say
IMAGE_DESCRIPTION, SOFTWARE = 0x010E, 0x0131  # EXIF tags


def default_columns(n: int, cycle: int = 1) -> int:
    """Return the columns of a near-square grid; a multiple of `cycle`, so that labels in turn stand in columns."""
    side = max(1, math.ceil(math.sqrt(n)))
    return side if cycle <= 1 or cycle > 2 * side else max(1, round(side / cycle)) * cycle


def default_scale(height: int, width: int) -> int:
    """Return the factor that brings a small picture to about TILE pixels."""
    return max(1, round(TILE / max(height, width)))


def grid_size(n: int, height: int, width: int, columns: int | None = None, scale: int | None = None) -> tuple[int, int]:
    """Return the (width, height) in pixels that `grid` would make."""
    columns = min(columns or default_columns(n), n)
    rows, scale = math.ceil(n / columns), scale or default_scale(height, width)
    return columns * (width * scale + GAP) - GAP, rows * (height * scale + GAP) - GAP


def grid(images: Tensor | np.ndarray, columns: int | None = None, *, scale: int | None = None) -> Image.Image:
    """Lay uint8 pictures (N, C, H, W) of 1 or 3 channels out row by row, the small ones enlarged without blurring."""
    array = np.asarray(images if isinstance(images, np.ndarray) else images.detach().cpu().numpy())
    if array.ndim != 4 or array.shape[1] not in (1, 3) or array.dtype != np.uint8 or not array.size:
        raise ValueError(f"images: given {array.dtype} {array.shape}, allowed: uint8 (N, 1 or 3, H, W), N > 0.")
    n, channels, height, width = array.shape
    columns = min(columns or default_columns(n), n)
    scale = scale or default_scale(height, width)
    tiles = array.repeat(scale, axis=2).repeat(scale, axis=3)
    page_width, page_height = grid_size(n, height, width, columns, scale)
    page = np.full((page_height, page_width, channels), BACKGROUND, np.uint8)
    for index, tile in enumerate(tiles):
        top, left = (index // columns) * (height * scale + GAP), (index % columns) * (width * scale + GAP)
        page[top : top + height * scale, left : left + width * scale] = tile.transpose(1, 2, 0)
    return Image.fromarray(page[..., 0] if channels == 1 else page)


def stacked(rows: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Lay sets of pictures (N, C, H, W) out one below the other, row by row, the last row filled up with black.

    Grey ones become coloured and small ones are enlarged where the others are.
    """
    channels, height, width = (max(each.shape[axis] for each in rows) for axis in (1, 2, 3))
    lines = math.ceil(len(rows[0]) / columns)
    sets = []
    for each in rows:
        alike = each[:, :, np.arange(height) * each.shape[2] // height][..., np.arange(width) * each.shape[3] // width]
        alike = np.broadcast_to(alike, (len(each), channels, height, width))
        filled = np.pad(alike, ((0, lines * columns - len(each)), *((0, 0),) * 3))
        sets.append(filled.reshape(lines, columns, channels, height, width))
    return np.stack(sets, axis=1).reshape(-1, channels, height, width)


def save_grid(
    images: Tensor | np.ndarray, path: Path, *, columns: int | None = None, metadata: Mapping[str, str] | None = None
) -> Image.Image:
    """Write a grid of uint8 pictures (N, C, H, W) and return it; OSError where it cannot be written."""
    page = grid(images, columns)
    save_image(page, path, metadata=metadata)
    return page


def save_image(
    image: Image.Image, path: Path, *, format: str | None = None, metadata: Mapping[str, str] | None = None
) -> None:
    """Write a picture beside its place and rename it; the format is the suffix's where none is given."""
    save(image, Path(path), FORMATS[format or Path(path).suffix[1:].lower()], metadata or {}, {})


def save(image: Image.Image, path: Path, format: str, metadata: Mapping[str, str], options: Mapping[str, Any]) -> None:
    """Encode with Pillow's name of a format and its options, atomically, with the metadata as the format carries it."""
    about = {**metadata, "software": f"aigc {__version__}"}
    options = {**_QUALITY.get(format, {}), **_ABOUT[format](about), **options}
    encoded = io.BytesIO()
    image.save(encoded, format=format, **options)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, encoded.getvalue(), durable=False)


def _text_chunks(about: Mapping[str, str]) -> dict[str, Any]:
    chunks = PngInfo()
    for key, value in about.items():
        chunks.add_text(key, value)
    return {"pnginfo": chunks}


def _exif(about: Mapping[str, str]) -> dict[str, Any]:
    exif = Image.Exif()
    exif[IMAGE_DESCRIPTION] = json.dumps(dict(about))  # ASCII, as the tag wants
    exif[SOFTWARE] = about["software"]
    return {"exif": exif.tobytes()}


def _comment(about: Mapping[str, str]) -> dict[str, Any]:
    return {"comment": json.dumps(dict(about)).encode()}


_ABOUT: dict[str, Callable[[Mapping[str, str]], dict[str, Any]]]
_ABOUT = {"PNG": _text_chunks, "JPEG": _exif, "WEBP": _exif, "GIF": _comment}
_QUALITY: dict[str, dict[str, Any]]
_QUALITY = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"quality": 90, "method": 4}}
