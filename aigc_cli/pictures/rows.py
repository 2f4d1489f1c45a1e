"""Show what a model does with data: rows of what it was given over rows of what it made of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aigc_cli.randomness import mix

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from aigc_cli.interfaces import DataSpec, Model

Pictures = NDArray[np.uint8]


def verb_of(model: Any) -> str | None:
    """Return the verb that shows best what a model is for; None for one that only others build upon."""
    from aigc_cli.interfaces import Reconstructs, Samples, Transforms

    if isinstance(model, Samples):
        return "sample"
    if isinstance(model, Transforms):
        return model.verb
    return "reconstruct" if isinstance(model, Reconstructs) else None


def demonstration(
    model: Model, x: Tensor, labels: Tensor | None, *, seed: int, device: torch.device, chunk: int = 64
) -> list[Pictures]:
    """Return rows of pictures (N, C, H, W): given, made, aimed at, of what transforms; else data, reconstructions."""
    parts = [list(map(_on_cpu, part)) for part in _passes(model, x, labels, seed, device, chunk)]
    rows = [shown_rows(column, model) for column in zip(*parts, strict=True)]
    if np.array_equal(rows[0], rows[-1]):  # a picture that is painted over is its own aim
        rows = rows[:2]
    return alike(rows)


def _on_cpu(stored: Tensor) -> Tensor:
    return stored.cpu()


def _passes(
    model: Any, x: Tensor, labels: Tensor | None, seed: int, device: torch.device, chunk: int
) -> Iterator[tuple[Tensor, ...]]:
    """Yield what each chunk of data shows; each has its own generator, made from the seed and its number."""
    import torch

    from aigc_cli.interfaces import Transforms

    for number, start in enumerate(range(0, len(x), chunk)):
        part = x[start : start + chunk].to(device)
        condition = None if labels is None else taken_by(model, labels[start : start + chunk].to(device))
        generator = torch.Generator(device).manual_seed(mix(seed, number))
        with torch.no_grad():
            if isinstance(model, Transforms):
                given = model.given(part, condition, generator=generator)
                yield given, model.transform(given, generator=generator), part
            else:
                yield part, model.reconstruct(part, condition)


def shown_rows(parts: Sequence[Tensor], model: Model) -> Pictures:
    """Return the chunks of one row as pictures."""
    return np.concatenate([shown(part, model.spec) for part in parts])


def shown(stored: Tensor, spec: DataSpec) -> Pictures:
    """Return stored integers as uint8 pictures from black to white."""
    array = stored.cpu().numpy()
    if spec.levels == 256:
        return array
    return (array.astype(np.float32) * (255 / (spec.levels - 1))).round().astype(np.uint8)


def alike(rows: Sequence[Pictures]) -> list[Pictures]:
    """Return rows as high, wide and colourful as the most so: pixels are repeated, greys become colours of no hue."""
    channels, height, width = (max(row.shape[axis] for row in rows) for axis in (1, 2, 3))
    upright, across = np.arange(height), np.arange(width)
    larger = [row[:, :, upright * row.shape[2] // height][..., across * row.shape[3] // width] for row in rows]
    return [np.repeat(row, channels, axis=1) if row.shape[1] < channels else row for row in larger]


def taken_by(model: Any, condition: Tensor | None) -> Tensor | None:
    """Return what comes with data where the model takes it: labels if it learns by them, the sources of pairs."""
    from aigc_cli.interfaces import DataSpec

    return condition if model.conditional or isinstance(model.spec.condition, DataSpec) else None


def interleave(rows: Sequence[Pictures], columns: int) -> Pictures:
    """Put each row of a series of pictures under that of the series before; last rows are filled up with black."""
    count = math.ceil(len(rows[0]) / columns)
    fill = ((0, count * columns - len(rows[0])), *((0, 0),) * (rows[0].ndim - 1))
    padded = [np.pad(row, fill).reshape(count, columns, *row.shape[1:]) for row in rows]
    return np.stack(padded, axis=1).reshape(-1, *rows[0].shape[1:])
