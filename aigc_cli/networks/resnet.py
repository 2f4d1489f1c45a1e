"""A residual generator and critic, as spectral normalisation's authors built them: arXiv:1802.05957, appendix B.4."""

from __future__ import annotations

import itertools
from typing import Annotated

from annotated_types import Gt, Le
from torch import Tensor, nn
from torch.nn import functional as F

from aigc_cli.interfaces import Shapes
from aigc_cli.networks.labels import ConditionalBatchNorm, Projection
from aigc_cli.networks.normalisation import base_of, latents_of, spectral

Widest = Annotated[int, Gt(0), Le(64)]


class Generator(nn.Module):
    """Double the size from 4x4 (for 28 pixels: 7x7) by residual blocks whose batch norm knows the label."""

    def __init__(self, shapes: Shapes, *, width: Annotated[int, Gt(0)], widest: Widest) -> None:
        super().__init__()
        self.smallest, doublings = base_of(shapes.output, "resnet")
        channels = [width * min(widest, 1 << level) for level in reversed(range(doublings))]
        channels = [channels[0], *channels]
        self.enter = nn.Linear(latents_of(shapes.input, "resnet_generator"), channels[0] * self.smallest**2)
        pairs = itertools.pairwise(channels)
        self.blocks = nn.ModuleList(Upward(entering, leaving, shapes.condition) for entering, leaving in pairs)
        self.norm = nn.BatchNorm2d(channels[-1])
        self.leave = nn.Conv2d(channels[-1], shapes.output[0], 3, padding=1)
        self.apply(initialise)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map latents (B, D) to pictures (B, C, H, W)."""
        x = self.enter(x).unflatten(1, (-1, self.smallest, self.smallest))
        for block in self.blocks:
            x = block(x, condition)
        return self.leave(F.relu(self.norm(x)))


class Upward(nn.Module):
    """Double the size by repeating pixels; add what two normalised convolutions make of it."""

    def __init__(self, entering: int, leaving: int, classes: int) -> None:
        super().__init__()
        self.first_norm, self.second_norm = (ConditionalBatchNorm(size, classes) for size in (entering, leaving))
        self.first, self.second = (nn.Conv2d(size, leaving, 3, padding=1) for size in (entering, leaving))
        self.shortcut = nn.Conv2d(entering, leaving, 1)

    def forward(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """Map (B, C, H, W) to (B, C', 2 H, 2 W)."""
        hidden = F.interpolate(F.relu(self.first_norm(x, labels)), scale_factor=2.0, mode="nearest")
        hidden = self.second(F.relu(self.second_norm(self.first(hidden), labels)))
        return hidden + F.interpolate(self.shortcut(x), scale_factor=2.0, mode="nearest")  # 1x1 commutes with repeating


class Critic(nn.Module):
    """Halve the size by residual blocks, sum over pixels, and project onto the label; spectral norm throughout."""

    def __init__(self, shapes: Shapes, *, width: Annotated[int, Gt(0)], widest: Widest, spectral_norm: bool) -> None:
        super().__init__()
        _, halvings = base_of(shapes.input, "resnet")
        channels = [shapes.input[0], *(width * min(widest, 1 << level) for level in range(halvings))]
        pairs = itertools.pairwise(channels)
        blocks = [Downward(entering, leaving, first=not level) for level, (entering, leaving) in enumerate(pairs)]
        self.blocks = nn.Sequential(*blocks, Downward(channels[-1], channels[-1], halve=False))
        self.leave = nn.Linear(channels[-1], 1, bias=False)  # on which hinge and Wasserstein losses hardly bear
        self.projection = Projection(channels[-1], shapes.condition) if shapes.condition else None
        self.apply(initialise)
        for module in self.modules() if spectral_norm else ():
            if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
                spectral(module)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map pictures (B, C, H, W) to logits (B,)."""
        features = self.features(x, condition).sum([2, 3])
        logits = self.leave(features).flatten()
        return logits if self.projection is None else logits + self.projection(features, condition)

    def features(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map pictures (B, C, H, W) to the last feature maps (B, C', H', W'); the label is not used."""
        return F.relu(self.blocks(x))


class Downward(nn.Module):
    """Add what two convolutions make of the picture; halve the size by averages."""

    def __init__(self, entering: int, leaving: int, *, first: bool = False, halve: bool = True) -> None:
        super().__init__()
        self.is_first, self.halves = first, halve
        self.first, self.second = (nn.Conv2d(size, leaving, 3, padding=1) for size in (entering, leaving))
        self.shortcut = nn.Conv2d(entering, leaving, 1) if halve else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H / 2, W / 2)."""
        hidden = self.second(F.relu(self.first(x if self.is_first else F.relu(x))))
        return self._halved(hidden) + self.shortcut(self._halved(x))  # averages commute with a 1x1 convolution

    def _halved(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2) if self.halves else x


def initialise(module: nn.Module) -> None:
    """Draw weights uniformly with Glorot's variance, biases zero."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
