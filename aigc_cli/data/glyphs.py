"""Digits drawn with Pillow's own font in random pose and stroke: needs no file, and its samples can be graded."""

from __future__ import annotations

import functools
import math
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from aigc_cli.data.source import Contents, Reader, Split, digest, image_spec

DIGITS = "0123456789"
DRAWING = 2  # raised when the drawing changes, so that old packs are not taken for new ones
SUPERSAMPLING = 2
STROKES = 7  # stroke weights, evenly spread
TEST_SHARE = 10  # the test split has a tenth of the training samples


class Glyphs:
    """Digits 0 to 9, white on black, one channel; sample i of a split is always the same picture."""

    name: ClassVar[str] = "glyphs"
    parallel: ClassVar[bool] = True

    def __init__(self, *, size: Annotated[int, Ge(16), Le(256)], count: Annotated[int, Ge(10), Le(10_000_000)]) -> None:
        self.size = size
        self.count = count

    def fingerprint(self) -> str:
        """Return a digest of the settings and the version of the drawing."""
        return digest(self.name, {"size": self.size, "count": self.count, "drawing": DRAWING})

    def spec(self) -> dict[str, Any]:
        """Describe a sample."""
        return image_spec(1, self.size, DIGITS)

    def contents(self) -> Contents:
        """List the samples; labels take turns, so that every split is balanced."""
        counts = {"train": self.count, "test": max(self.count // TEST_SHARE, len(DIGITS))}
        splits = {
            split: Split(range(count), np.arange(count, dtype=np.int64) % len(DIGITS))
            for split, count in counts.items()
        }
        return Contents(splits)

    def reader(self, split: str) -> Reader:
        """Return the function that draws a sample."""
        stream = 0 if split == "train" else 1

        def read(index: int) -> NDArray[np.uint8]:
            random = np.random.default_rng((stream, index))
            return draw_digit(DIGITS[index % len(DIGITS)], self.size, random)[None]

        return read


def draw_digit(digit: str, size: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a digit in a random pose: shift 4 %, rotation 8 degrees, scale 10 %, shear 0.1, stroke 0 to 6 %."""
    canvas = size * SUPERSAMPLING
    stroke = int(random.integers(STROKES))
    shift_x, shift_y = random.uniform(-0.04, 0.04, 2) * canvas
    angle = math.radians(random.uniform(-8, 8))
    width, height = random.uniform(0.9, 1.1) * random.uniform(0.95, 1.05, 2)
    shear = random.uniform(-0.1, 0.1)
    # Pillow maps output points to input points: undo shift, rotation, shear and scale, in this order.
    cosine, sine = math.cos(angle), math.sin(angle)
    a, b = (cosine - shear * sine) / width, (sine + shear * cosine) / width
    d, e = -sine / height, cosine / height
    middle = canvas / 2
    x, y = middle + shift_x, middle + shift_y
    pose = (a, b, middle - a * x - b * y, d, e, middle - d * x - e * y)
    posed = upright(digit, canvas, stroke).transform(
        (canvas, canvas), Image.Transform.AFFINE, pose, resample=Image.Resampling.BILINEAR
    )
    return np.asarray(posed.reduce(SUPERSAMPLING))


@functools.cache
def upright(digit: str, canvas: int, stroke: int) -> Image.Image:
    """Draw a digit upright in the middle of its canvas."""
    picture = Image.new("L", (canvas, canvas))
    font = ImageFont.load_default(canvas * 0.8)
    weight = 0.06 * canvas * stroke / (STROKES - 1) / 2
    middle = (canvas / 2, canvas / 2)
    left, top, right, bottom = font.getbbox(digit, stroke_width=weight)
    corner = (middle[0] - (left + right) / 2, middle[1] - (top + bottom) / 2)
    ImageDraw.Draw(picture).text(corner, digit, fill=255, font=font, stroke_width=weight)
    return picture
