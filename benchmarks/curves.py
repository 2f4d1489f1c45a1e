"""Draw curves as a PNG: panels of lines on plain or logarithmic axes, by Pillow alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

SMOOTH = 3  # drawn so much larger and shrunk, which smooths the edges
WIDTH, HEIGHT = 600, 400  # pixels of a panel
LEFT, RIGHT, TOP, BOTTOM = 78, 26, 78, 58  # pixels around what a panel plots
HEADING = 66  # pixels above the panels
INK, FAINT, GRID = (32, 36, 42), (104, 112, 122), (226, 229, 233)
# Okabe and Ito's (2008): those who see few colours tell them apart.
COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233))
PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
APART = 36  # pixels between two marks at the least
Colour = tuple[int, int, int]
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """Say what one pair of axes shows.

    A plain y axis begins at 0, so that a slope looks no steeper than it is; a logarithmic x axis marks what was
    measured.
    """

    title: str
    x: str  # what the axis says, with its unit
    y: str
    lines: Mapping[str, Points]  # label -> points
    log_x: bool = False
    log_y: bool = False


class Axis:
    """Map values onto pixels and choose where to mark them; whole: from 0, or over two decades at least."""

    def __init__(self, values: Sequence[float], pixels: tuple[float, float], *, log: bool, whole: bool) -> None:
        self.log, (self.first, self.last) = log, pixels
        low, high = min(values), max(values)
        if log:
            assert low > 0, "a logarithmic axis shows no zero"
            low, high = math.log10(low), math.log10(high)
            if whole and high - low < 1:  # so that two decades can be named
                low, high = math.floor(low), math.ceil(high)
            self.ticks = [10.0**power for power in range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)]
            margin = 0.04 * ((high - low) or 1)
            self.low, self.high = low - margin, high + margin
        else:
            low = min(low, 0.0) if whole else low
            step = _round_step((high - low) or abs(high) or 1.0)
            self.low, self.high = step * math.floor(low / step), step * math.ceil(high / step + 0.05)
            count = round((self.high - self.low) / step)
            self.ticks = [self.low + number * step for number in range(count + 1)]

    def at(self, value: float) -> float:
        """Return the pixel of a value."""
        place = math.log10(value) if self.log else value
        return self.first + (place - self.low) / ((self.high - self.low) or 1) * (self.last - self.first)

    def spaced(self, values: Sequence[float]) -> list[float]:
        """Return those of the sorted values that can be named without touching."""
        kept: list[float] = []
        for value in values:
            if not kept or self.at(value) - self.at(kept[-1]) >= APART:
                kept.append(value)
        return kept


def _round_step(span: float) -> float:
    """Return a step of 1, 2 or 5 times a power of ten, of which a span holds four to ten."""
    rough = span / 5
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)


def said(value: float) -> str:
    """Write a value shortly: 20000 as 20k."""
    size, prefix = next((each for each in PREFIXES if abs(value) >= 0.9999 * each[0]), (1, ""))
    return f"{value / size:.3g}{prefix}"


def draw(path: Path, title: str, panels: Sequence[Panel], *, columns: int = 2, note: str = "") -> Path:
    """Write the panels as one PNG, row by row; note: of the machine, beneath the title."""
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    size = (SMOOTH * columns * WIDTH, SMOOTH * (HEADING + rows * HEIGHT))
    page = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(page)
    _write(pen, (LEFT, 16), title, 20, INK, "lt")
    _write(pen, (LEFT, 44), note, 12, FAINT, "lt")
    for number, panel in enumerate(panels):
        _draw_panel(pen, panel, number % columns * WIDTH, HEADING + number // columns * HEIGHT)
    small = page.resize((size[0] // SMOOTH, size[1] // SMOOTH), Image.Resampling.LANCZOS)
    small.quantize(128).save(path, optimize=True)
    return path


def _draw_panel(pen: ImageDraw.ImageDraw, panel: Panel, left: float, top: float) -> None:
    assert len(panel.lines) <= len(COLOURS), "no more lines than colours"
    points = [point for line in panel.lines.values() for point in line]
    right, bottom = left + WIDTH - RIGHT, top + HEIGHT - BOTTOM
    across = Axis([x for x, _ in points], (left + LEFT, right), log=panel.log_x, whole=False)
    up = Axis([y for _, y in points], (bottom, top + TOP), log=panel.log_y, whole=True)
    _write(pen, (left + LEFT, top + 24), panel.title, 16, INK, "ls")
    for tick in across.spaced(sorted({x for x, _ in points})) if panel.log_x else across.ticks:
        _stroke(pen, [(across.at(tick), top + TOP), (across.at(tick), bottom)], GRID, 1)
        _write(pen, (across.at(tick), bottom + 8), said(tick), 12, FAINT, "mt")
    for tick in up.ticks:
        _stroke(pen, [(left + LEFT, up.at(tick)), (right, up.at(tick))], GRID, 1)
        _write(pen, (left + LEFT - 8, up.at(tick)), said(tick), 12, FAINT, "rm")
    _stroke(pen, [(left + LEFT, bottom), (right, bottom)], FAINT, 1)
    _write(pen, ((left + LEFT + right) / 2, bottom + 30), panel.x, 12, INK, "mt")
    _write(pen, (left + LEFT, top + TOP - 12), panel.y, 12, INK, "ls")
    place = left + LEFT
    for (label, line), colour in zip(panel.lines.items(), COLOURS, strict=False):
        dots = [(across.at(x), up.at(y)) for x, y in sorted(line)]
        _stroke(pen, dots, colour, 2)
        for x, y in dots:
            pen.ellipse([SMOOTH * edge for edge in (x - 4, y - 4, x + 4, y + 4)], fill=colour, outline="white", width=3)
        if len(panel.lines) > 1:
            place = _legend(pen, place, top + 40, label, colour)


def _legend(pen: ImageDraw.ImageDraw, left: float, middle: float, label: str, colour: Colour) -> float:
    """Name a line beneath the panel's title; return where the next name begins."""
    _stroke(pen, [(left, middle), (left + 18, middle)], colour, 3)
    _write(pen, (left + 24, middle), label, 12, INK, "lm")
    return left + 24 + pen.textlength(label, _font(12)) / SMOOTH + 22


def _stroke(pen: ImageDraw.ImageDraw, points: Points, colour: Colour, width: float) -> None:
    pen.line([(SMOOTH * x, SMOOTH * y) for x, y in points], colour, round(SMOOTH * width), joint="curve")


def _write(
    pen: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    size: int,
    colour: Colour,
    anchor: str,
) -> None:
    pen.text((SMOOTH * place[0], SMOOTH * place[1]), text, colour, _font(size), anchor=anchor)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(SMOOTH * size)
