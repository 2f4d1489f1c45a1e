"""Normalise feature maps and weights."""

from __future__ import annotations

from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import register_parametrization

from aigc_cli.errors import ConfigError

Normalisation = Literal["none", "batch", "layer", "instance"]
Layer = TypeVar("Layer", bound=nn.Module)

MOST_GROUPS, LEAST_IN_GROUP = 32, 4
FIRST_ITERATIONS = 15  # of the power method, as torch's spectral norm begins


def group_norm(channels: int) -> nn.GroupNorm:
    """Return a group norm of 32 groups (arXiv:1803.08494), or fewer for few channels.

    With one channel a group it would wipe out what is constant over a map: a bias, an embedding of the time.
    """
    most = max(1, min(MOST_GROUPS, channels // LEAST_IN_GROUP))
    return nn.GroupNorm(next(groups for groups in range(most, 0, -1) if channels % groups == 0), channels, eps=1e-6)


def normalisation_of(name: Normalisation, channels: int) -> list[nn.Module]:
    """Return what normalises feature maps, as a list of one, or none."""
    if name == "none":
        return []
    if name == "batch":
        return [nn.BatchNorm2d(channels)]
    # One group: over all channels and pixels, layer norm for maps (arXiv:1607.06450); as many: instance norm.
    return [nn.GroupNorm(1 if name == "layer" else channels, channels)]


def spectral(layer: Layer, wanted: bool = True) -> Layer:
    """Divide a layer's weight by its largest singular value: arXiv:1802.05957, Section 2.1."""
    if wanted:
        weight = layer.weight
        assert isinstance(weight, Tensor)
        register_parametrization(layer, "weight", SpectralNorm(weight))
    return layer


class SpectralNorm(nn.Module):
    """Divide a weight by its largest singular value, which the power method follows: one iteration an update.

    Not one a forward pass, as torch's own: then micro-batches would see different weights. Buffers have torch's names.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        rows, columns = weight.flatten(1).shape
        self._u: Tensor
        self._v: Tensor
        for name, size in (("_u", rows), ("_v", columns)):
            self.register_buffer(name, F.normalize(torch.randn(size), dim=0))
        for _ in range(FIRST_ITERATIONS):
            self._iterate(weight.flatten(1))
        self._due = False

    def advance(self) -> None:
        """Iterate at the next pass in training mode."""
        self._due = True

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight (rows, ...) over its largest singular value."""
        matrix = weight.flatten(1)
        if self._due and self.training:
            self._iterate(matrix)
            self._due = False
        return weight / (self._u[:, None] * matrix * self._v).sum()  # products that autocast leaves in float32

    @torch.no_grad()
    def _iterate(self, matrix: Tensor) -> None:
        self._u.copy_(F.normalize((matrix * self._v).sum(1), dim=0))
        self._v.copy_(F.normalize((matrix * self._u[:, None]).sum(0), dim=0))


def latents_of(shape: tuple[int, ...], what: str) -> int:
    """Return the size of a vector of noise, which is what these generators grow pictures from."""
    if len(shape) == 1:
        return shape[0]
    given = "x".join(map(str, shape))
    raise ConfigError(f"model: {what} begins with a vector, given maps of {given}. Choose residual_decoder.")


def base_of(shape: tuple[int, ...], what: str, least: int = 2) -> tuple[int, int]:
    """Return the side, 4 to 7 pixels, that doubles to the side of a square picture, and how often it doubles."""
    side = shape[-1]
    doublings = 0
    while side % 2 == 0 and side > 7:
        side, doublings = side // 2, doublings + 1
    if len(shape) == 3 and shape[1] == shape[2] and 4 <= side <= 7 and doublings >= least:
        return side, doublings
    given = "x".join(map(str, shape))
    raise ConfigError(
        f"model: {what} doubles 4 to 7 pixels a side {least} times or more; given data of {given}, "
        "allowed: squares with sides such as 16, 28, 32, 48, 64, 96, 128. Type data.size=32 or data.size=64 (of "
        "spectrograms of sounds, data.seconds=0.512 at 8,000 or 16,000 Hz makes 64 frames of 64 bands)."
    )
