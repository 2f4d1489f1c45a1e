"""A residual network that works at the small size and enlarges at its end: EDSR, arXiv:1707.02921."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Gt
from torch import Tensor, nn
from torch.nn import functional as F

from aigc_cli.interfaces import Shapes

BRANCH = 0.1  # what each residual branch is scaled by, which keeps wide networks stable: arXiv:1707.02921, Section 3.3


class EDSR(nn.Module):
    """Refine pictures by residual blocks, then double them by sub-pixel convolutions (arXiv:1609.05158).

    A fresh one returns zeros: its last convolution begins at zero.
    """

    def __init__(self, shapes: Shapes, *, width: Annotated[int, Gt(0)], blocks: Annotated[int, Gt(0)]) -> None:
        super().__init__()
        doublings = (shapes.output[-1] // shapes.input[-1]).bit_length() - 1
        self.enter = nn.Conv2d(shapes.input[0], width, 3, padding=1)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(blocks)), nn.Conv2d(width, width, 3, padding=1))
        layers: list[nn.Module] = []
        for _ in range(doublings):
            layers += [nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2)]
        last = nn.Conv2d(width, shapes.output[0], 3, padding=1)
        nn.init.zeros_(last.weight)
        self.leave = nn.Sequential(*layers, last)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map pictures (B, C, H, W) of any size to (B, C', s H, s W)."""
        x = self.enter(x)
        return self.leave(x + self.blocks(x))


class Block(nn.Module):
    """Add a tenth of what two convolutions make of the maps; no normalisation, which would change contrasts."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        return x + BRANCH * self.second(F.relu(self.first(x)))
