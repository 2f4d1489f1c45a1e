"""Begin with a picture instead of noise: paint a part of it anew, or all of it more or less freely."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aigc_cli.abilities import Revises
from aigc_cli.data.decode import picture_size, read_picture
from aigc_cli.data.source import Rejected
from aigc_cli.errors import ConfigError
from aigc_cli.inference.request import Request
from aigc_cli.interfaces import DataSpec

STRENGTH = 0.6  # arXiv:2108.01073, Figure 3: from here on results look real, and still like what was given
WHITE = 128  # and above: to be painted anew


@dataclass(frozen=True)
class Revised:
    """Draw samples of a model that begin with a picture."""

    model: Revises
    picture: Tensor  # (C, H, W), stored integers
    anew: Tensor | None  # (1, H, W), 1 where it is to be painted anew, 0 where it is kept
    strength: float
    resample: int

    def sample(self, n: int, condition: Tensor | None, *, generator: torch.Generator, **settings: Any) -> Tensor:
        """Return n revisions, stored integers."""
        device = generator.device
        pictures = self.picture.to(device).expand(n, *self.picture.shape)
        anew = None if self.anew is None else self.anew.to(device).expand(n, *self.anew.shape)
        return self.model.revise(pictures, anew, condition, generator=generator, strength=self.strength,
                                 resample=self.resample, **settings)  # fmt: skip


def revised(model: Any, request: Request) -> Revised:
    """Read what is to begin with, as the model's data are: size, channels, middle crop."""
    spec: DataSpec = model.spec
    assert request.start is not None
    picture, anew = read(request.start, "start", spec, spec.shape[0]), None
    size = size_of(request.start, "start")
    if request.mask is not None:
        if not model.keeps:
            raise ConfigError("mask: this model draws in the space of its first stage, where no pixel can be kept. "
                              "Leave mask out.")  # fmt: skip
        if (masked := size_of(request.mask, "mask")) != size:
            given, wanted = (f"{width}x{height}" for width, height in (masked, size))
            raise ConfigError(f"mask: it is {given} pixels, the start picture {wanted}. Type a mask of that size.")
        anew = (read(request.mask, "mask", spec, 1, beneath="black") >= WHITE).to(torch.float32)
        if not anew.any():
            raise ConfigError("mask: nothing of it is white, which is what is painted anew. Type another mask.")
    _tell_fitted(size, spec)
    usual = STRENGTH if anew is None else 1.0
    return Revised(model, picture, anew, request.strength or usual, request.resample or 1)


def read(path: Path, key: str, spec: DataSpec, channels: int, beneath: str = "white") -> Tensor:
    """Return a picture of the model's size: (channels, H, W) uint8; what is transparent shows the colour beneath."""
    _, height, width = spec.shape
    if height != width or spec.levels != 256:
        given = f"{height}x{width} of {spec.levels} levels"
        raise ConfigError(f"{key}: the model's pictures are {given}, allowed: squares of 256 levels. Leave {key} out.")
    try:
        return torch.from_numpy(read_picture(path, channels, height, beneath=beneath).copy())
    except Rejected as reason:
        raise ConfigError(f"{key}: {path} cannot be read ({reason}). Type another picture.") from None


def size_of(path: Path, key: str) -> tuple[int, int]:
    """Return a picture's width and height in pixels, as it is to be looked at."""
    try:
        return picture_size(path)
    except Rejected as reason:
        raise ConfigError(f"{key}: {path} cannot be read ({reason}). Type another picture.") from None


def _tell_fitted(size: tuple[int, int], spec: DataSpec) -> None:
    """Say on stderr what was done to a start picture of another size than the model's."""
    width, height = size
    side = spec.shape[-1]
    if size != (side, side):
        cut = "" if width == height else "cut to its middle square and "
        print(
            f"aigc: start: {width}x{height} pixels, {cut}scaled to the {side}x{side} that the model draws.",
            file=sys.stderr,
        )
