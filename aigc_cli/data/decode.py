"""Decode any picture into 8-bit samples of one size. Runs in worker processes: numpy and Pillow only."""

from __future__ import annotations

import contextlib
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from aigc_cli.data.source import Rejected

Fit: TypeAlias = Literal["crop", "pad"]

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")  # no others: some of Pillow's readers start programs
SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff")
MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"GIF8", b"II*\0", b"MM\0*")
MAX_PIXELS = 80_000_000  # more than any camera's but a few; a bomb of a few kilobytes holds billions
ORIENTATION = 0x0112  # EXIF tag
# What Pillow's readers raise on damaged files: they were written over thirty years by many hands.
DAMAGED = (
    OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, EOFError, OverflowError, ZeroDivisionError,
    AttributeError, RuntimeError, MemoryError, struct.error, zlib.error, Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)  # fmt: skip


def read_picture(
    file: Path | str | BinaryIO,
    channels: int,
    size: int,
    fit: Fit = "crop",
    crop: int | None = None,
    beneath: str = "white",
) -> NDArray[np.uint8]:
    """Return (channels, size, size); Rejected says why not.

    crop: take the middle square of so many pixels first; beneath: the colour that shows through transparency.
    """
    with opened(file) as picture:
        return _samples(picture, channels, size, fit, crop, beneath)


def read_halves(
    file: Path, channels: tuple[int, int], size: int, fit: Fit
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the left and the right half of a picture, (channels, size, size) each."""
    with opened(file) as picture:
        whole = _upright(picture)
        width, height = whole.size
        if width % 2:
            raise Rejected(f"{width} pixels wide, an odd number: no two pictures of one size side by side")
        boxes = ((0, 0, width // 2, height), (width // 2, 0, width, height))
        halves = [whole.crop(box) for box in boxes]
        left, right = (_array(_resized(_eight_bit(half, count), size, fit, None))
                       for half, count in zip(halves, channels, strict=True))  # fmt: skip
        return left, right


def picture_size(file: Path) -> tuple[int, int]:
    """Return the width and height of a picture as it is to be looked at, from its head alone."""
    with opened(file) as picture:
        width, height = picture.size
        try:
            turned = picture.getexif().get(ORIENTATION, 1) in range(5, 9)
        except DAMAGED:
            turned = False
        return (height, width) if turned else (width, height)


def upright(picture: Image.Image, channels: int, beneath: str = "white") -> Image.Image:
    """Return an opened picture of whatever kind as it is to be looked at, in mode L or RGB."""
    return _eight_bit(_upright(picture), channels, beneath)


@contextlib.contextmanager
def opened(file: Path | str | BinaryIO) -> Iterator[Image.Image]:
    """Lend a picture; whatever is wrong with it becomes Rejected."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on odd metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(file, formats=FORMATS) as picture:
                width, height = picture.size
                if width * height > MAX_PIXELS:
                    raise Rejected(f"{width}x{height} pixels, more than {MAX_PIXELS:,}")
                yield picture
        except DAMAGED as error:
            raise Rejected(_reason(file, error)) from None


def read_whole(file: Path | str | BinaryIO, channels: int, most: int) -> NDArray[np.uint8]:
    """Return (channels, height, width) at the picture's own size, of at most so many pixels; Rejected says why not."""
    with opened(file) as picture:
        if picture.width * picture.height > most:
            raise Rejected(f"{picture.width}x{picture.height} pixels, more than {most:,}")
        array = np.asarray(upright(picture, channels))
    return array[None] if channels == 1 else np.ascontiguousarray(array.transpose(2, 0, 1))


def is_picture(head: bytes) -> bool:
    """Tell a picture by its first 12 bytes."""
    return head.startswith(MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def _samples(
    picture: Image.Image, channels: int, size: int, fit: Fit, crop: int | None, beneath: str
) -> NDArray[np.uint8]:
    width, height = picture.size
    if picture.format in ("JPEG", "MPO") and crop is None:
        # JPEG halves its size while decoding, many times faster; twice the final size keeps the resampling sharp.
        target = 2 * size * max(width, height) // min(width, height) if fit == "crop" else 2 * size
        mode = "L" if channels == 1 and picture.mode in ("L", "RGB") else None
        picture.draft(mode, (target, target))  # type: ignore[arg-type]
    return _array(_resized(upright(picture, channels, beneath), size, fit, crop))


def _array(picture: Image.Image) -> NDArray[np.uint8]:
    """Return (C, H, W)."""
    array = np.asarray(picture)
    return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))


def _upright(picture: Image.Image) -> Image.Image:
    """Turn as the camera's EXIF says; damaged EXIF says nothing."""
    try:
        orientation = picture.getexif().get(ORIENTATION, 1)
    except DAMAGED:
        return picture
    return ImageOps.exif_transpose(picture) if orientation in range(2, 9) else picture


def _eight_bit(picture: Image.Image, channels: int, beneath: str = "white") -> Image.Image:
    """Return mode L or RGB: deep greys are scaled, transparency lies over a colour."""
    mode = "L" if channels == 1 else "RGB"
    if picture.mode == mode and "transparency" not in picture.info:
        return picture
    if picture.mode[0] in "IF":
        picture = _from_deep_grey(picture)
    elif picture.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        picture = ImageCms.profileToProfile(picture, lab, srgb, outputMode="RGB") or picture
    elif picture.has_transparency_data:
        solid = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", solid.size, beneath), solid)
    elif picture.mode not in ("1", "L"):
        picture = picture.convert("RGB")  # CMYK, YCbCr, HSV, palettes: not all of them convert to L
    return picture.convert(mode)


def _from_deep_grey(picture: Image.Image) -> Image.Image:
    """Scale 16-bit, 32-bit and float greys onto 0 to 255; Pillow's own conversion cuts them off at 255."""
    values = np.asarray(picture).astype(np.float64)
    if not np.isfinite(values).all():
        raise Rejected("some pixels are not finite")
    largest = values.max(initial=0)
    if picture.mode == "F":  # no rule says where white is: the smallest usual range that holds the values
        white = next((each for each in (1, 255, 65535) if largest <= each), largest)
    else:
        white = 65535 if largest <= 65535 else 2**31 - 1
    return Image.fromarray((values * (255 / white)).clip(0, 255).round().astype(np.uint8))


def _resized(picture: Image.Image, size: int, fit: Fit, crop: int | None) -> Image.Image:
    width, height = picture.size
    method = Image.Resampling.LANCZOS
    if fit == "crop":
        side = min(width, height, crop or max(width, height))
        left, top = (width - side) // 2, (height - side) // 2
        if (width, height) == (size, size) == (side, side):
            return picture
        return picture.resize((size, size), method, box=(left, top, left + side, top + side))
    scale = size / max(width, height)
    inner = picture.resize((max(1, round(width * scale)), max(1, round(height * scale))), method)
    page = Image.new(picture.mode, (size, size))  # black
    page.paste(inner, ((size - inner.width) // 2, (size - inner.height) // 2))
    return page


def _reason(file: Path | str | BinaryIO, error: BaseException) -> str:
    """Say what is wrong with a file in few words."""
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"more than {MAX_PIXELS:,} pixels"
    if isinstance(error, Image.UnidentifiedImageError):
        head = _head(file)
        if not head:
            return "an empty file"
        return "a damaged picture" if is_picture(head) else f"no picture: it begins with {head!r}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"damaged: {str(error)[:200] or type(error).__name__}"


def _head(file: Path | str | BinaryIO) -> bytes:
    if not isinstance(file, Path | str):
        file.seek(0)
        return file.read(12)
    with open(file, "rb") as opened:
        return opened.read(12)
