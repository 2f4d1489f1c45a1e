"""StyleGAN2's critic: residual blocks that halve the picture, and a look across the batch. arXiv:1912.04958."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from aigc_cli.interfaces import Shapes
from aigc_cli.networks.labels import Projection
from aigc_cli.networks.normalisation import base_of
from aigc_cli.networks.stylegan2 import Channels, Convolution, Linear, activate

GROUP = 4  # samples over which the critic compares: arXiv:1710.10196, Section 3


class Critic(nn.Module):
    """Halve the size to 4x4 (of 28 pixels: 7x7) by residual blocks, compare samples of the batch, return one logit."""

    def __init__(self, shapes: Shapes, *, width: Channels, most: Channels) -> None:
        super().__init__()
        smallest, halvings = base_of(shapes.input, "stylegan2")
        channels = [min(most, width << level) for level in range(halvings + 1)]
        self.enter = Convolution(shapes.input[0], channels[0], 1)
        pairs = pairwise(channels)
        self.blocks = nn.ModuleList(Block(entering, leaving) for entering, leaving in pairs)
        self.last = Convolution(channels[-1] + 1, channels[-1], 3)
        self.join = Linear(channels[-1] * smallest**2, channels[-1])
        self.leave = Linear(channels[-1], 1)
        self.projection = Projection(channels[-1], shapes.condition) if shapes.condition else None

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map pictures (B, C, H, W) to logits (B,)."""
        x = activate(self.enter(x))
        for block in self.blocks:
            x = block(x)
        x = activate(self.last(compared(x)))
        x = activate(self.join(x.flatten(1)))
        logits = self.leave(x).flatten()
        return logits if self.projection is None else logits + self.projection(x, condition)


class Block(nn.Module):
    """Halve the size, adding two convolutions to one of single pixels."""

    def __init__(self, entering: int, leaving: int) -> None:
        super().__init__()
        self.first, self.second = Convolution(entering, entering, 3), Convolution(entering, leaving, 3, halve=True)
        self.shortcut = Convolution(entering, leaving, 1, halve=True, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H / 2, W / 2)."""
        return (activate(self.second(activate(self.first(x)))) + self.shortcut(x)) / math.sqrt(2)


def compared(x: Tensor) -> Tensor:
    """Append a map of how much samples of a group differ: (B, C, H, W) to (B, C + 1, H, W); arXiv:1710.10196, 3."""
    size = math.gcd(len(x), GROUP)
    groups = x.float().unflatten(0, (size, -1))
    deviation = (groups.var(0, unbiased=False) + 1e-8).sqrt().mean([1, 2, 3])
    maps = deviation.repeat(size)[:, None, None, None].expand(-1, 1, *x.shape[2:])
    return torch.cat([x, maps.to(x.dtype)], 1)
