"""An encoder of pictures into smaller maps and its mirror image: strided convolutions and residual blocks.

arXiv:1711.00937, Section 4.1.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated

from annotated_types import Ge, Gt
from torch import Tensor, nn
from torch.nn import functional as F

from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Shapes
from aigc_cli.networks.labels import append_one_hot_maps


class Encoder(nn.Module):
    """Halve the size by strided convolutions as often as the maps need, then refine them by residual blocks."""

    def __init__(self, shapes: Shapes, *, width: Annotated[int, Gt(1)], blocks: Annotated[int, Ge(0)]) -> None:
        super().__init__()
        self.shapes = shapes
        halvings = halvings_between(shapes.input, shapes.output)
        channels = [shapes.input[0] + shapes.condition, *(max(width // 2, 1),) * (halvings - 1), width]
        layers: list[nn.Module] = []
        for entering, leaving in pairwise(channels):
            layers += [nn.Conv2d(entering, leaving, 4, stride=2, padding=1), nn.ReLU()]
        layers += [nn.Conv2d(width, width, 3, padding=1), *(Block(width) for _ in range(blocks)), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, math.prod(shapes.output[:-2]), 1))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map pictures (B, C, H, W) to (B, *output), whose last two dimensions are the maps' sides."""
        x = append_one_hot_maps(x, condition, self.shapes.condition)
        return self.layers(x).reshape(len(x), *self.shapes.output)


class Decoder(nn.Module):
    """Refine maps by residual blocks, then double their size by transposed convolutions."""

    def __init__(self, shapes: Shapes, *, width: Annotated[int, Gt(1)], blocks: Annotated[int, Ge(0)]) -> None:
        super().__init__()
        self.shapes = shapes
        doublings = halvings_between(shapes.output, shapes.input)
        channels = [width, *(max(width // 2, 1),) * (doublings - 1), shapes.output[0]]
        layers: list[nn.Module] = [nn.Conv2d(shapes.input[0] + shapes.condition, width, 3, padding=1)]
        layers += [*(Block(width) for _ in range(blocks)), nn.ReLU()]
        for entering, leaving in pairwise(channels):
            layers += [nn.ConvTranspose2d(entering, leaving, 4, stride=2, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map maps (B, *input) to pictures (B, C, H, W)."""
        return self.layers(append_one_hot_maps(x, condition, self.shapes.condition))


class Block(nn.Module):
    """Add what a 3x3 and a 1x1 convolution make of the maps."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        return x + self.second(F.relu(self.first(F.relu(x))))


def halvings_between(large: tuple[int, ...], small: tuple[int, ...]) -> int:
    """Return how often the large picture is halved to the sides of the small maps."""
    ratio = large[-1] // small[-1] if len(large) == 3 and len(small) >= 3 else 0
    if ratio < 2 or ratio & (ratio - 1) or any(a != ratio * b for a, b in zip(large[-2:], small[-2:], strict=True)):
        given = " and ".join("x".join(map(str, shape)) for shape in (large, small))
        raise ConfigError(
            f"model: residual networks halve pictures into maps, given {given}. Type model.halvings=2, or choose other "
            "networks."
        )
    return ratio.bit_length() - 1
