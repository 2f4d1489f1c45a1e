"""DCGAN's generator and critic, arXiv:1511.06434, for any power-of-two resolution from 16 to 256."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from annotated_types import Gt
from torch import Tensor, nn

from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Shapes
from aigc_cli.networks.labels import append_one_hot, append_one_hot_maps

SIZES = (16, 32, 64, 128, 256)
SMALLEST = 4  # pixels a side of the first feature maps


class Generator(nn.Module):
    """Double the size from 4x4 while halving the channels; batch norm and ReLU between, linear at the end."""

    def __init__(self, shapes: Shapes, *, width: Annotated[int, Gt(0)]) -> None:
        super().__init__()
        self.condition = shapes.condition
        doublings = doublings_of(shapes.output)
        channels = [width << level for level in reversed(range(doublings))]
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(shapes.input[0] + shapes.condition, channels[0], SMALLEST, bias=False)
        ]
        for entering, leaving in zip(channels, [*channels[1:], shapes.output[0]], strict=True):
            layers += [nn.BatchNorm2d(entering), nn.ReLU(inplace=True)]
            layers.append(nn.ConvTranspose2d(entering, leaving, 4, stride=2, padding=1, bias=False))
        self.layers = nn.Sequential(*layers)
        self.apply(initialise)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map latents (B, D) to pictures (B, C, H, W)."""
        return self.layers(append_one_hot(x, condition, self.condition)[:, :, None, None])


class Critic(nn.Module):
    """Halve the size to 4x4 while doubling the channels; batch norm and leaky ReLU between, one logit at the end."""

    def __init__(self, shapes: Shapes, *, width: Annotated[int, Gt(0)]) -> None:
        super().__init__()
        self.condition = shapes.condition
        halvings = doublings_of(shapes.input)
        channels = [width << level for level in range(halvings)]
        layers: list[nn.Module] = [
            nn.Conv2d(shapes.input[0] + shapes.condition, width, 4, stride=2, padding=1, bias=False),
            nn.LeakyReLU(0.2, inplace=True),
        ]
        for entering, leaving in pairwise(channels):
            layers.append(nn.Conv2d(entering, leaving, 4, stride=2, padding=1, bias=False))
            layers += [nn.BatchNorm2d(leaving), nn.LeakyReLU(0.2, inplace=True)]
        layers.append(nn.Conv2d(channels[-1], 1, SMALLEST, bias=False))
        self.layers = nn.Sequential(*layers)
        self.apply(initialise)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map pictures (B, C, H, W) to logits (B,)."""
        return self.layers(append_one_hot_maps(x, condition, self.condition)).flatten()


def doublings_of(shape: tuple[int, ...]) -> int:
    """Return how often 4 pixels double to the picture's side."""
    if len(shape) != 3 or shape[1] != shape[2] or shape[1] not in SIZES:
        given = "x".join(map(str, shape))
        raise ConfigError(
            f"model: dcgan halves square pictures down to {SMALLEST}x{SMALLEST}; given data of {given}, "
            f"allowed: sides of {', '.join(map(str, SIZES))}. Type data.size=32 or data.size=64."
        )
    return shape[1].bit_length() - SMALLEST.bit_length()


def initialise(module: nn.Module) -> None:
    """Draw weights from N(0, 0.02), batch norm's from N(1, 0.02): arXiv:1511.06434, section 4."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
