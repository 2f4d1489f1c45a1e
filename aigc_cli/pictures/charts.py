"""Draw a map of points and a histogram with Pillow: small pictures that need no plotting library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

SIDE, MARGIN, LEGEND = 800, 40, 180  # pixels
INK, PAPER, FRAME = (40, 40, 40), (255, 255, 255), (170, 170, 170)
# Paul Tol's and Okabe and Ito's colours, told apart by most eyes; more classes take them again.
COLOURS = [(0, 114, 178), (230, 159, 0), (0, 158, 115), (213, 94, 0), (204, 121, 167), (86, 180, 233), (120, 94, 40),
           (240, 228, 66), (51, 34, 136), (136, 136, 136)]  # fmt: skip
Axes: TypeAlias = tuple[str, str]  # what lies to the right and what upwards
MOST_NAMES, LONGEST_NAME = 30, 20  # in a legend


def draw_map(
    points: NDArray[np.floating], labels: NDArray[np.int64] | None, names: Sequence[str], title: str, axes: Axes
) -> Image.Image:
    """Draw points (N, 2), the second coordinate upwards, coloured by label, with a legend, a title and named axes."""
    page = Image.new("RGB", (SIDE + 2 * MARGIN + (LEGEND if names else 0), SIDE + 2 * MARGIN), PAPER)
    pen = ImageDraw.Draw(page)
    pen.rectangle((MARGIN, MARGIN, MARGIN + SIDE, MARGIN + SIDE), outline=FRAME)
    low, high = points.min(0), points.max(0)
    places = (points - low) / np.where(high > low, high - low, 1)
    x, y = MARGIN + 5 + places[:, 0] * (SIDE - 10), MARGIN + SIDE - 5 - places[:, 1] * (SIDE - 10)
    radius = 3 if len(points) < 2000 else 2
    for index in range(len(points)):
        colour = COLOURS[0 if labels is None else int(labels[index]) % len(COLOURS)]
        pen.ellipse((x[index] - radius, y[index] - radius, x[index] + radius, y[index] + radius), fill=colour)
    font, right, bottom = ImageFont.load_default(14), MARGIN + SIDE, MARGIN + SIDE
    pen.text((MARGIN, 12), title, fill=INK, font=font)
    pen.text((MARGIN, bottom + 10), f"{low[0]:.4g}", fill=INK, font=font)
    pen.text((MARGIN + SIDE // 2, bottom + 10), axes[0], fill=INK, font=font, anchor="ma")
    pen.text((right, bottom + 10), f"{high[0]:.4g}", fill=INK, font=font, anchor="ra")
    upright = Image.new("RGB", (SIDE, MARGIN - 4), PAPER)  # read from below, as axes are
    aside = ImageDraw.Draw(upright)
    aside.text((0, 10), f"{low[1]:.4g}", fill=INK, font=font)
    aside.text((SIDE // 2, 10), axes[1], fill=INK, font=font, anchor="ma")
    aside.text((SIDE, 10), f"{high[1]:.4g}", fill=INK, font=font, anchor="ra")
    page.paste(upright.transpose(Image.Transpose.ROTATE_90), (2, MARGIN))
    _legend(pen, names, COLOURS)
    return page


def draw_histogram(groups: dict[str, NDArray[np.floating]], title: str, axes: Axes, bins: int = 40) -> Image.Image:
    """Draw how often values occur in each group, side by side over the same bins, each as a share of its group."""
    width, height = SIDE + 2 * MARGIN + LEGEND, SIDE // 2 + 2 * MARGIN
    page = Image.new("RGB", (width, height), PAPER)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(14)
    every = np.concatenate(list(groups.values()))
    low, high = float(every.min()), float(every.max())
    high = high if high > low else low + 1
    shares = {name: np.histogram(values, bins, (low, high))[0] / max(1, len(values)) for name, values in groups.items()}
    top = max(float(share.max()) for share in shares.values()) or 1.0
    bottom, step = MARGIN + SIDE // 2, SIDE / bins
    for number, share in enumerate(shares.values()):
        slim = step / len(shares)
        for index, value in enumerate(share):
            left = MARGIN + index * step + number * slim
            pen.rectangle((left, bottom - value / top * (SIDE // 2 - 10), left + max(slim - 1, 1), bottom),
                          fill=COLOURS[number % len(COLOURS)])  # fmt: skip
    pen.line((MARGIN, bottom, MARGIN + SIDE, bottom), fill=INK)
    pen.text((MARGIN, 12), title, fill=INK, font=font)
    pen.text((MARGIN, MARGIN - 6), f"{axes[1]}, highest bar {top:.1%}", fill=INK, font=font)
    pen.text((MARGIN, bottom + 10), f"{low:.4g}", fill=INK, font=font)
    pen.text((MARGIN + SIDE // 2, bottom + 10), axes[0], fill=INK, font=font, anchor="ma")
    pen.text((MARGIN + SIDE, bottom + 10), f"{high:.4g}", fill=INK, font=font, anchor="ra")
    _legend(pen, list(groups), COLOURS)
    return page


def _legend(pen: ImageDraw.ImageDraw, names: Sequence[str], colours: Sequence[tuple[int, int, int]]) -> None:
    font = ImageFont.load_default(14)
    listed = [*names[:MOST_NAMES], *([f"and {len(names) - MOST_NAMES} more"] if len(names) > MOST_NAMES else [])]
    for index, name in enumerate(listed):
        top, left = MARGIN + 24 * index, SIDE + MARGIN + 20
        pen.rectangle((left, top, left + 14, top + 14), fill=colours[index % len(colours)])
        text = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}\u2026"
        pen.text((left + 22, top - 1), text, fill=INK, font=font)
