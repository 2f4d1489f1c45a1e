"""A residual network from picture to picture, of any height and width. arXiv:1603.08155, supplementary material."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt
from torch import Tensor, nn
from torch.nn import functional as F

from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Shapes

SMALLEST = 16  # pixels a side: a quarter of it bears the padding and the norm


class ResidualTranslator(nn.Module):
    """Quarter the size, pass residual blocks, quadruple it again.

    Departures from the paper, all for fewer artefacts: instance norm (arXiv:1607.08022), padding by reflection at every
    convolution, repeated pixels before a convolution instead of a transposed one (Odena et al. 2016).
    """

    def __init__(self, shapes: Shapes, *, width: Annotated[int, Gt(0)], blocks: Annotated[int, Ge(0)]) -> None:
        super().__init__()
        if len(shapes.input) != 3 or min(shapes.input[1:]) < SMALLEST:
            given = "x".join(map(str, shapes.input))
            raise ConfigError(f"model.network: given data of {given}, allowed: pictures of {SMALLEST} pixels a side or "
                              "more. Type data.size=64.")  # fmt: skip
        layers: list[nn.Module] = [*convolution(shapes.input[0], width, 9), nn.ReLU()]
        for entering in (width, 2 * width):
            layers += [*convolution(entering, 2 * entering, 3, stride=2), nn.ReLU()]
        layers += [Residual(4 * width) for _ in range(blocks)]
        for entering in (4 * width, 2 * width):
            layers += [nn.Upsample(scale_factor=2.0), *convolution(entering, entering // 2, 3), nn.ReLU()]
        layers += [nn.ReflectionPad2d(4), nn.Conv2d(width, shapes.output[0], 9)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map pictures (B, C, H, W) to (B, C', H, W); sides that 4 does not divide are filled up and cut again."""
        height, width = x.shape[2:]
        filled = F.pad(x, (0, -width % 4, 0, -height % 4), mode="reflect") if width % 4 or height % 4 else x
        return self.layers(filled)[:, :, :height, :width]


class Residual(nn.Module):
    """Add two convolutions' changes; no ReLU after the sum (Gross and Wilber 2016, as the paper)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first, second = (convolution(channels, channels, 3) for _ in range(2))
        self.layers = nn.Sequential(*first, nn.ReLU(), *second)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        return x + self.layers(x)


def convolution(entering: int, leaving: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    """Return a convolution that pads by reflection, and the norm after it."""
    return [
        nn.ReflectionPad2d(kernel // 2),
        nn.Conv2d(entering, leaving, kernel, stride, bias=False),
        nn.InstanceNorm2d(leaving, affine=True),
    ]
