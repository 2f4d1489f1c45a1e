"""A critic that knows how noisy its pictures are: residual blocks that halve them. arXiv:2112.07804, appendix C."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, MultipleOf
from torch import Tensor, nn
from torch.nn import functional as F

from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Shapes
from aigc_cli.networks.embeddings import embed_time

SLOPE = 0.2  # of the leaky ReLU below zero


class TimeCritic(nn.Module):
    """Judge the picture as a whole, or each part of it that one logit sees (PatchGAN: arXiv:1611.07004)."""

    def __init__(
        self,
        shapes: Shapes,
        *,
        width: Annotated[int, Gt(0), MultipleOf(2)],
        halvings: Annotated[int, Ge(1), Le(8)],
        judges: Literal["picture", "patches"],
    ) -> None:
        super().__init__()
        rest = check_sides(shapes.input, halvings)
        self.width = width
        self.time = nn.Sequential(nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, 4 * width))
        self.label = nn.Embedding(shapes.condition, 4 * width) if shapes.condition else None
        self.enter = nn.Conv2d(shapes.input[0], width, 3, padding=1)
        channels = [min(width << level, 8 * width) for level in range(halvings + 1)]
        self.blocks = nn.ModuleList(Block(entering, leaving, 4 * width) for entering, leaving in pairwise(channels))
        whole = nn.Sequential(nn.Flatten(), nn.Linear(channels[-1] * rest[0] * rest[1], 1), nn.Flatten(0))
        self.leave = whole if judges == "picture" else nn.Conv2d(channels[-1], 1, 3, padding=1)
        self.apply(initialise)

    def forward(self, x: Tensor, time: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map pictures (B, C, H, W), times (B,) and labels (B,) to logits: (B,), of patches (B, 1, h, w)."""
        told = self.time(embed_time(time, self.width))
        if self.label is not None:
            assert condition is not None, "a network built for classes is called with labels"
            told = told + self.label(condition)
        told, x = F.silu(told), self.enter(x)
        for block in self.blocks:
            x = block(x, told)
        return self.leave(F.leaky_relu(x, SLOPE))


class Block(nn.Module):
    """Add what two convolutions make of the picture and of what is told, and halve it; no normalisation."""

    def __init__(self, entering: int, leaving: int, told: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(size, leaving, 3, padding=1) for size in (entering, leaving))
        self.told = nn.Linear(told, leaving)
        self.shortcut = nn.Conv2d(entering, leaving, 1, bias=False)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """Map (B, C, H, W) and (B, D) to (B, C', H / 2, W / 2)."""
        hidden = self.first(F.leaky_relu(x, SLOPE)) + self.told(told)[:, :, None, None]
        hidden = self.second(F.leaky_relu(hidden, SLOPE))
        return F.avg_pool2d(self.shortcut(x) + hidden, 2) / math.sqrt(2)


def initialise(module: nn.Module) -> None:
    """Keep the variance from layer to layer (arXiv:1502.01852): torch's own weights let it and learning fade."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, a=SLOPE)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def check_sides(shape: tuple[int, ...], halvings: int) -> tuple[int, int]:
    """Return the sides that are left."""
    given = "x".join(map(str, shape[1:]))
    if len(shape) != 3:
        raise ConfigError("model.critic: it judges pictures. Choose another data=.")
    if shape[1] % 2**halvings or shape[2] % 2**halvings:
        possible = next(n for n in range(halvings, -1, -1) if not (shape[1] % 2**n or shape[2] % 2**n))
        raise ConfigError(
            f"model.critic.halvings: given {halvings}, but {given} pixels halve {possible} times. "
            f"Type model.critic.halvings={max(1, possible)} or data.size=32."
        )
    return shape[1] >> halvings, shape[2] >> halvings
