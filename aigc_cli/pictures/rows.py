"""Show what a model does with data: rows of what it was given over rows of what it made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aigc_cli.inference.drawing import told
from aigc_cli.randomness import mix

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from aigc_cli.interfaces import DataSpec, Model

Pictures = NDArray[np.uint8]


def demonstration(
    model: Model, x: Tensor, labels: Tensor | None, *, seed: int, device: torch.device, chunk: int = 64
) -> list[Pictures]:
    """Return rows of pictures (N, C, H, W): given, made, aimed at, of what transforms; else data, reconstructions."""
    parts = [list(map(_on_cpu, part)) for part in _passes(model, x, labels, seed, device, chunk)]
    return [shown_rows(column, model) for column in zip(*parts, strict=True)]


def _on_cpu(stored: Tensor) -> Tensor:
    return stored.cpu()


def _passes(
    model: Any, x: Tensor, labels: Tensor | None, seed: int, device: torch.device, chunk: int
) -> Iterator[tuple[Tensor, ...]]:
    """Yield what each chunk of data shows; each has its own generator, made from the seed and its number."""
    import torch

    from aigc_cli.abilities import Transforms

    for number, start in enumerate(range(0, len(x), chunk)):
        part = x[start : start + chunk].to(device)
        condition = None if labels is None else told(model, labels[start : start + chunk].to(device))
        generator = torch.Generator(device).manual_seed(mix(seed, number))
        with torch.no_grad():
            if isinstance(model, Transforms):
                given = model.given(part, condition, generator=generator)
                made = model.transform(given, generator=generator)
                yield (given, made) if torch.equal(given, part) else (given, made, part)
            else:
                yield part, model.reconstruct(part, condition)


def shown_rows(parts: Sequence[Tensor], model: Model) -> Pictures:
    """Return the chunks of one row as pictures."""
    return np.concatenate([shown(part, model.spec) for part in parts])


def showable(spec: DataSpec) -> bool:
    """Tell whether `shown` can make pictures of such data: those of 1 or 3 channels, and sounds."""
    return spec.sound is not None or (spec.kind == "image" and len(spec.shape) == 3 and spec.shape[0] in (1, 3))


def size_shown(spec: DataSpec) -> tuple[int, int]:
    """Return the height and width in pixels of the pictures that `shown` makes."""
    if spec.sound:
        from aigc_cli.sounds.sheets import GAP, SPECTROGRAM, WAVE, WIDTH

        return WAVE + GAP + SPECTROGRAM, WIDTH
    return spec.shape[1], spec.shape[2]


def shown(stored: Tensor, spec: DataSpec, names: Sequence[str] | None = None) -> Pictures:
    """Return stored integers as uint8 pictures from black to white; of sounds their waves and spectrograms.

    names: of sounds, written above them; pictures have no room for theirs.
    """
    if spec.sound:
        from aigc_cli.sounds.sheets import tiles

        return tiles(stored, spec, names)
    array = stored.cpu().numpy()
    if spec.levels == 256:
        return array
    return (array.astype(np.float32) * (255 / (spec.levels - 1))).round().astype(np.uint8)
