"""A U-Net that turns one picture into another: down to one pixel and up again, with skips. arXiv:1611.07004."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor, nn

from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Shapes

WIDEST = 8  # times the width, from the third halving on
NOISY = 3  # innermost doublings, whose dropout is the noise
MOST_LEVELS = 8


class EncoderDecoder(nn.Module):
    """Halve and double by convolutions; each doubling also sees what lay on the way down at its size.

    Instance norm, as the paper's batch norm is at its batches of one, but of the same effect at any batch size.
    """

    def __init__(
        self,
        shapes: Shapes,
        *,
        width: Annotated[int, Gt(0)],
        levels: Annotated[int, Ge(2), Le(MOST_LEVELS)] | None,
        dropout: Annotated[float, Ge(0), Lt(1)],
        doubling: Literal["transposed", "nearest"],
    ) -> None:
        super().__init__()
        self.dropout = dropout
        levels = levels_of(shapes.input, levels)
        smallest = min(shapes.input[1:]) >> levels
        channels = [width * min(1 << level, WIDEST) for level in range(levels)]
        self.down = nn.ModuleList([nn.Conv2d(shapes.input[0], width, 4, stride=2, padding=1)])
        for level, (entering, leaving) in enumerate(pairwise(channels), 2):
            # The innermost maps may be single pixels, of which a norm would leave nothing; nor has the outermost one.
            normed = level < levels or smallest > 1
            halve = nn.Conv2d(entering, leaving, 4, stride=2, padding=1, bias=not normed)
            self.down.append(nn.Sequential(nn.LeakyReLU(0.2), halve, *_norm(leaving, normed)))
        self.up = nn.ModuleList()
        for level in reversed(range(levels)):
            entering = channels[level] * (1 if level == levels - 1 else 2)
            leaving = channels[level - 1] if level else shapes.output[0]
            double = _doubling(doubling, entering, leaving, bias=not level)
            self.up.append(nn.Sequential(nn.ReLU(), *double, *_norm(leaving, level > 0)))
        self.apply(initialise)

    def forward(
        self, x: Tensor, condition: Tensor | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Map pictures (B, C, H, W) to (B, C', H, W); dropout is drawn in sampling as well, by the generator."""
        skips = []
        for layer in self.down:
            x = layer(x)
            skips.append(x)
        skips.pop()
        for number, layer in enumerate(self.up):
            x = layer(x)
            if number < len(skips) and number < NOISY and self.dropout:
                x = dropped_out(x, self.dropout, generator)
            x = torch.cat([x, skips[-1 - number]], dim=1) if number < len(skips) else x
        return x


def _doubling(kind: str, entering: int, leaving: int, *, bias: bool) -> list[nn.Module]:
    if kind == "transposed":
        return [nn.ConvTranspose2d(entering, leaving, 4, stride=2, padding=1, bias=bias)]
    return [nn.Upsample(scale_factor=2), nn.Conv2d(entering, leaving, 3, padding=1, bias=bias)]


def _norm(channels: int, normed: bool) -> list[nn.Module]:
    return [nn.InstanceNorm2d(channels, affine=True)] if normed else []


def dropped_out(x: Tensor, share: float, generator: torch.Generator | None) -> Tensor:
    """Leave out a share of the units, whether in training or not: arXiv:1611.07004, Section 3.2.1."""
    kept = torch.empty_like(x).bernoulli_(1 - share, generator=generator)
    return x * kept / (1 - share)


def initialise(module: nn.Module) -> None:
    """Draw weights from N(0, 0.02), biases 0: arXiv:1611.07004, Section 6.2."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.InstanceNorm2d) and module.weight is not None:
        nn.init.normal_(module.weight, 1.0, 0.02)


def levels_of(shape: tuple[int, ...], levels: int | None) -> int:
    """Return how often the picture is halved: as asked, or as often as both sides can be, 8 times at most."""
    given = "x".join(map(str, shape))
    possible = 0
    while len(shape) == 3 and possible < MOST_LEVELS and not (shape[1] | shape[2]) & ((2 << possible) - 1):
        possible += 1
    if possible < 2:
        raise ConfigError(f"model.generator: it halves pictures twice at least, given {given}, allowed: sides that 4 "
                          "divides. Type data.size=64.")  # fmt: skip
    if levels is not None and levels > possible:
        raise ConfigError(f"model.generator.levels: given {levels}, but pictures of {given} halve {possible} times. "
                          f"Type model.generator.levels={possible} or null.")  # fmt: skip
    return levels or possible
