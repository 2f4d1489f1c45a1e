"""Halve and double pictures and waves, and take parts of them together as channels."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from torch import Tensor, nn
from torch.nn import functional as F

Convolution: TypeAlias = nn.Conv1d | nn.Conv2d


class Halving:
    """Halve the size by a strided convolution, padded evenly; the paper's code pads below and to the right only."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, stride=2, padding=1)  # pyright: ignore[reportCallIssue]

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H / 2, W / 2); the embedding is not used."""
        return super().forward(x)  # pyright: ignore[reportAttributeAccessIssue]


class Doubling:
    """Double the size by repeating pixels, then smooth by a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, padding=1)  # pyright: ignore[reportCallIssue]

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, 2 H, 2 W); the embedding is not used."""
        doubled = F.interpolate(x, scale_factor=2.0, mode="nearest")
        return super().forward(doubled)  # pyright: ignore[reportAttributeAccessIssue]


class Halve(Halving, nn.Conv2d):
    """Of pictures."""


class Double(Doubling, nn.Conv2d):
    """Of pictures."""


class HalveWave(Halving, nn.Conv1d):
    """Of waves."""


class DoubleWave(Doubling, nn.Conv1d):
    """Of waves."""


class Fold(nn.Module):
    """Take samples of a wave together as channels."""

    def __init__(self, patch: int) -> None:
        super().__init__()
        self.patch = patch

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, T) to (B, C patch, T / patch)."""
        return x.unflatten(2, (-1, self.patch)).transpose(2, 3).flatten(1, 2)


class Unfold(nn.Module):
    """Lay channels out as samples of a wave again."""

    def __init__(self, patch: int) -> None:
        super().__init__()
        self.patch = patch

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C patch, T) to (B, C, T patch)."""
        return x.unflatten(1, (-1, self.patch)).transpose(2, 3).flatten(2)


class Layers(NamedTuple):
    """Name the layers for data of so many dimensions."""

    convolution: type[nn.Conv1d] | type[nn.Conv2d]
    halve: type[HalveWave] | type[Halve]
    double: type[DoubleWave] | type[Double]
    fold: type[nn.Module]
    unfold: type[nn.Module]


LAYERS = {
    1: Layers(nn.Conv1d, HalveWave, DoubleWave, Fold, Unfold),
    2: Layers(nn.Conv2d, Halve, Double, nn.PixelUnshuffle, nn.PixelShuffle),
}
