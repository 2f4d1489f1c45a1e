"""A convolutional encoder and its mirror image, for autoencoders of small pictures."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from annotated_types import Gt
from torch import Tensor, nn

from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Shapes
from aigc_cli.networks.labels import append_one_hot, append_one_hot_maps
from aigc_cli.networks.normalisation import group_norm

ACTIVATIONS = {"relu": nn.ReLU, "silu": nn.SiLU}
HIDDEN = 16  # units of the fully connected layer, times the width
Activation = Literal["relu", "silu"]
Normalisation = Literal["none", "group"]


class Encoder(nn.Module):
    """Halve the size twice by strided convolutions, then connect fully; a label joins the picture as one-hot maps."""

    def __init__(
        self,
        shapes: Shapes,
        *,
        width: Annotated[int, Gt(0)],
        activation: Activation,
        normalisation: Normalisation,
    ) -> None:
        super().__init__()
        self.shapes = shapes
        smallest = quarter_of(shapes.input, 2 * width)
        self.layers = nn.Sequential(
            nn.Conv2d(shapes.input[0] + shapes.condition, width, 4, stride=2, padding=1),
            *after(width, activation, normalisation),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            *after(2 * width, activation, normalisation),
            nn.Flatten(),
            nn.Linear(math.prod(smallest), HIDDEN * width),
            ACTIVATIONS[activation](),
            nn.Linear(HIDDEN * width, math.prod(shapes.output)),
        )

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map pictures (B, C, H, W) to (B, *output)."""
        x = append_one_hot_maps(x, condition, self.shapes.condition)
        return self.layers(x).reshape(len(x), *self.shapes.output)


class Decoder(nn.Module):
    """Connect fully, then double the size twice by transposed convolutions; a label joins the code as one-hot."""

    def __init__(
        self,
        shapes: Shapes,
        *,
        width: Annotated[int, Gt(0)],
        activation: Activation,
        normalisation: Normalisation,
    ) -> None:
        super().__init__()
        self.condition = shapes.condition
        smallest = quarter_of(shapes.output, 2 * width)
        self.layers = nn.Sequential(
            nn.Linear(math.prod(shapes.input) + shapes.condition, HIDDEN * width),
            ACTIVATIONS[activation](),
            nn.Linear(HIDDEN * width, math.prod(smallest)),
            nn.Unflatten(1, smallest),
            *after(2 * width, activation, normalisation),
            nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1),
            *after(width, activation, normalisation),
            nn.ConvTranspose2d(width, shapes.output[0], 4, stride=2, padding=1),
        )

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map codes (B, ...) to pictures (B, C, H, W)."""
        return self.layers(append_one_hot(x.flatten(1), condition, self.condition))


def after(channels: int, activation: Activation, normalisation: Normalisation) -> list[nn.Module]:
    """Return what follows a convolution."""
    norms = [group_norm(channels)] if normalisation == "group" else []
    return [*norms, ACTIVATIONS[activation]()]


def quarter_of(shape: tuple[int, ...], channels: int) -> tuple[int, int, int]:
    """Return the shape of feature maps a quarter as high and wide as the picture."""
    if len(shape) != 3 or shape[1] % 4 or shape[2] % 4:
        given = "x".join(map(str, shape))
        raise ConfigError(
            f"model: convolutions that halve twice are given data of {given}, allowed: pictures with sides divisible "
            "by 4. Type data.size=32 or model=vae."
        )
    return channels, shape[1] // 4, shape[2] // 4
