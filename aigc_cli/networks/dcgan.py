"""DCGAN's generator and critic, arXiv:1511.06434, for squares that halve down to 4, 5, 6 or 7 pixels a side."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

import torch
from annotated_types import Gt
from torch import Tensor, nn

from aigc_cli.interfaces import Shapes
from aigc_cli.networks.labels import Projection, append_one_hot, append_one_hot_maps
from aigc_cli.networks.normalisation import Normalisation, base_of, latents_of, normalisation_of, spectral


class Generator(nn.Module):
    """Double the size from 4x4 (for 28 pixels: 7x7) while halving the channels; between stand batch norm and ReLU."""

    def __init__(self, shapes: Shapes, *, width: Annotated[int, Gt(0)]) -> None:
        super().__init__()
        self.condition = shapes.condition
        smallest, doublings = base_of(shapes.output, "dcgan")
        channels = [width << level for level in reversed(range(doublings))]
        entering = latents_of(shapes.input, "dcgan_generator") + shapes.condition
        layers: list[nn.Module] = [FromVector(entering, channels[0], smallest, bias=False)]
        for entering, leaving in zip(channels, [*channels[1:], shapes.output[0]], strict=True):
            layers += [nn.BatchNorm2d(entering), nn.ReLU(inplace=True)]
            layers.append(nn.ConvTranspose2d(entering, leaving, 4, stride=2, padding=1, bias=False))
        self.layers = nn.Sequential(*layers)
        self.apply(initialise)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map latents (B, D) to pictures (B, C, H, W)."""
        return self.layers(append_one_hot(x, condition, self.condition)[:, :, None, None])


class Critic(nn.Module):
    """Halve the size to 4x4 (of 28 pixels: 7x7) while doubling the channels; one logit at the end.

    Between stand leaky ReLU and a normalisation; a label comes in as one-hot maps, or is asked for at the end.
    """

    def __init__(
        self,
        shapes: Shapes,
        *,
        width: Annotated[int, Gt(0)],
        normalisation: Normalisation,
        spectral_norm: bool,
        label: Literal["maps", "projection"],
    ) -> None:
        super().__init__()
        smallest, halvings = base_of(shapes.input, "dcgan")
        channels = [width << level for level in range(halvings)]
        self.maps = shapes.condition if label == "maps" else 0
        asked = shapes.condition if label == "projection" else 0
        bias = normalisation == "none"  # elsewhere the normalisation has one

        def convolution(entering: int, leaving: int) -> nn.Module:
            return nn.Conv2d(entering, leaving, 4, stride=2, padding=1, bias=bias)

        layers: list[nn.Module] = [convolution(shapes.input[0] + self.maps, width), nn.LeakyReLU(0.2, inplace=True)]
        for entering, leaving in pairwise(channels):
            layers.append(convolution(entering, leaving))
            layers += [*normalisation_of(normalisation, leaving), nn.LeakyReLU(0.2, inplace=True)]
        layers.append(ToLogit(channels[-1], 1, smallest, bias=False))
        self.layers = nn.Sequential(*layers)
        self.projection = Projection(channels[-1], asked) if asked else None
        self.apply(initialise)
        for module in self.modules() if spectral_norm else ():
            if isinstance(module, nn.Conv2d | nn.Embedding):
                spectral(module)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map pictures (B, C, H, W) to logits (B,)."""
        features = self.features(x, condition)
        logits = self.layers[-1](features)
        return logits if self.projection is None else logits + self.projection(features.sum([2, 3]), condition)

    def features(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map pictures (B, C, H, W) to the last feature maps (B, C', 4 to 7, 4 to 7)."""
        return self.layers[:-1](append_one_hot_maps(x, condition, self.maps))


class FromVector(nn.ConvTranspose2d):
    """Lay a vector out as maps: a transposed convolution of one pixel is a matrix product, and 10 times quicker so."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Map (B, C, 1, 1) to (B, C', H, W), in the weights' memory layout."""
        x, (_, *sizes) = x.flatten(1), self.weight.shape
        if not self.weight.is_contiguous(memory_format=torch.channels_last):
            return (x @ self.weight.flatten(1)).unflatten(1, sizes)
        leaving, height, width = sizes
        maps = x @ self.weight.permute(0, 2, 3, 1).flatten(1)
        return maps.unflatten(1, (height, width, leaving)).permute(0, 3, 1, 2)


class ToLogit(nn.Conv2d):
    """Weigh all that maps of the kernel's size hold: a convolution to one pixel of one channel is a product as well."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B,)."""
        if x.is_contiguous(memory_format=torch.channels_last):  # flattened without a copy
            return x.permute(0, 2, 3, 1).flatten(1) @ self.weight.permute(0, 2, 3, 1).flatten()
        return x.flatten(1) @ self.weight.flatten()


def initialise(module: nn.Module) -> None:
    """Draw weights from N(0, 0.02), batch norm's from N(1, 0.02): arXiv:1511.06434, section 4."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
