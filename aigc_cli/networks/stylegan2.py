"""StyleGAN2's generator: styles scale the weights of convolutions. arXiv:1912.04958."""

from __future__ import annotations

import itertools
import math
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn
from torch.nn import functional as F

from aigc_cli.interfaces import Shapes
from aigc_cli.networks.normalisation import base_of, latents_of

MAPPING_RATE = 0.01  # learning rate of the mapping network, relative: arXiv:1812.04948, appendix C
AVERAGE_DECAY = 0.995  # of the styles' moving mean
Channels = Annotated[int, Gt(0)]


class Generator(nn.Module):
    """Map latents to styles, and let styles shape a learnt constant into a picture, adding up pictures of each size."""

    def __init__(
        self,
        shapes: Shapes,
        *,
        width: Channels,
        most: Channels,
        style: Annotated[int, Gt(0)],
        depth: Annotated[int, Gt(0), Le(16)],
        mixing: Annotated[float, Ge(0), Le(1)],
    ) -> None:
        super().__init__()
        smallest, doublings = base_of(shapes.output, "stylegan2")
        channels = [min(most, width << level) for level in reversed(range(doublings + 1))]
        self.mixing, self.colours = mixing, shapes.output[0]
        latent = latents_of(shapes.input, "stylegan2_generator")
        self.label = nn.Embedding(shapes.condition, latent) if shapes.condition else None
        sizes = [latent * (2 if shapes.condition else 1), *[style] * depth]
        pairs = itertools.pairwise(sizes)
        self.mapping = nn.ModuleList(Linear(entering, leaving, rate=MAPPING_RATE) for entering, leaving in pairs)
        self.constant = nn.Parameter(torch.randn(channels[0], smallest, smallest))
        layers, pictures = (
            [Layer(channels[0], channels[0], style, smallest)],
            [ToPicture(channels[0], style, self.colours)],
        )
        for level, (entering, leaving) in enumerate(itertools.pairwise(channels), 1):
            side = smallest << level
            layers += [Layer(entering, leaving, style, side, double=True), Layer(leaving, leaving, style, side)]
            pictures.append(ToPicture(leaving, style, self.colours))
        self.layers, self.pictures = nn.ModuleList(layers), nn.ModuleList(pictures)
        self.mean: Tensor
        self.register_buffer("mean", torch.zeros(style))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map latents (B, D) to pictures (B, C, H, W); in training some styles are of two latents."""
        styles = self.styles(x, condition, 1.0)
        if self.training and self.mixing:
            styles = self._mixed(styles, self.styles(torch.randn_like(x), condition, 1.0))
        return self.synthesise(styles)

    def styles(self, latent: Tensor, condition: Tensor | None, truncation: float) -> Tensor:
        """Map latents (B, D) to styles (B, layers, style), at `truncation` of their distance from the mean."""
        x = latent.float() * (latent.float().square().mean(1, keepdim=True) + 1e-8).rsqrt()
        if self.label is not None:
            assert condition is not None, "a network built for classes is called with labels"
            label = self.label(condition)
            x = torch.cat([x, label * (label.square().mean(1, keepdim=True) + 1e-8).rsqrt()], 1)
        for layer in self.mapping:
            x = activate(layer(x))
        if self.training:
            with torch.no_grad():
                self.mean.lerp_(x.float().mean(0), 1 - AVERAGE_DECAY)
        if truncation != 1:
            x = torch.lerp(self.mean, x.float(), truncation)
        return x[:, None].expand(-1, len(self.layers) + 1, -1)

    def synthesise(self, styles: Tensor) -> Tensor:
        """Map styles (B, layers, style) to pictures (B, C, H, W)."""
        x = self.constant.expand(len(styles), -1, -1, -1)
        x = self.layers[0](x, styles[:, 0])
        picture = self.pictures[0](x, styles[:, 1])
        for level, leave in enumerate(self.pictures[1:], 1):
            x = self.layers[2 * level - 1](x, styles[:, 2 * level - 1])
            x = self.layers[2 * level](x, styles[:, 2 * level])
            # Bilinear doubling is the paper's filter [1, 3, 3, 1].
            picture = F.interpolate(picture, scale_factor=2.0, mode="bilinear", align_corners=False)
            picture = picture + leave(x, styles[:, 2 * level + 1])
        return picture

    def _mixed(self, styles: Tensor, others: Tensor) -> Tensor:
        """Take a second latent's styles from a random layer on, for a share of the samples: arXiv:1812.04948, 3.1."""
        count, layers, _ = styles.shape
        crossing = torch.randint(1, layers, (count, 1, 1), device=styles.device)
        spared = torch.rand(count, 1, 1, device=styles.device) >= self.mixing
        first = torch.arange(layers, device=styles.device)[None, :, None] < crossing
        return torch.where(first | spared, styles, others)


class Linear(nn.Module):
    """Connect fully with weights that are scaled as they are used, so that all learn alike: arXiv:1710.10196, 4.1."""

    def __init__(self, entering: int, leaving: int, *, rate: float = 1.0, bias: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(leaving, entering) / rate)
        self.bias = nn.Parameter(torch.full((leaving,), bias / rate))
        self.scale, self.rate = rate / math.sqrt(entering), rate

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, D) to (B, D')."""
        return F.linear(x, self.weight * self.scale, self.bias * self.rate)


class Convolution(nn.Module):
    """Convolve with weights scaled as they are used; optionally halve the size after smoothing."""

    def __init__(self, entering: int, leaving: int, side: int, *, halve: bool = False, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(leaving, entering, side, side))
        self.bias = nn.Parameter(torch.zeros(leaving)) if bias else None
        self.scale, self.halves = 1 / math.sqrt(entering * side * side), halve

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H, W), or half the size."""
        padding = self.weight.shape[-1] // 2
        if not self.halves:
            return F.conv2d(x, self.weight * self.scale, self.bias, padding=padding)
        return F.conv2d(smoothed(x, padding + 1), self.weight * self.scale, self.bias, stride=2)


class Modulated(nn.Module):
    """Convolve with weights that a style scales for each input channel: arXiv:1912.04958, Eq. 1 and 3.

    Scaling the channels before and after an unmodulated convolution is the same, and one convolution for the batch.
    """

    def __init__(self, entering: int, leaving: int, style: int, side: int, *, demodulate: bool, double: bool) -> None:
        super().__init__()
        self.affine = Linear(style, entering, bias=1.0)
        self.weight = nn.Parameter(torch.randn(leaving, entering, side, side))
        self.scale, self.demodulate, self.doubles = 1 / math.sqrt(entering * side * side), demodulate, double

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Map (B, C, H, W) and styles (B, D) to (B, C', H, W), or twice the size."""
        scales, weight = self.affine(style), self.weight * self.scale
        x = x * scales[:, :, None, None]
        if self.doubles:
            x = (
                smoothed(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), 1) * 4
            )  # as much as zeros came between
        else:
            x = F.conv2d(x, weight, padding=self.weight.shape[-1] // 2)
        if self.demodulate:
            with torch.autocast(x.device.type, enabled=False):
                sums = scales.float().square() @ weight.float().square().sum([2, 3]).T
                inverse = (sums + 1e-8).rsqrt()
            x = x * inverse[:, :, None, None].to(x.dtype)
        return x


class Layer(nn.Module):
    """Convolve as the style says, add noise of a learnt strength, activate."""

    def __init__(self, entering: int, leaving: int, style: int, side: int, *, double: bool = False) -> None:
        super().__init__()
        self.convolution = Modulated(entering, leaving, style, 3, demodulate=True, double=double)
        self.strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(leaving))
        self.noise: Tensor
        self.register_buffer("noise", torch.randn(1, 1, side, side))  # the same in every sample, for sampling

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Map (B, C, H, W) and styles (B, D) to (B, C', H, W), or twice the size."""
        x = self.convolution(x, style)
        noise = torch.randn_like(x[:, :1]) if self.training else self.noise
        return activate(x + (noise * self.strength + self.bias[:, None, None]).to(x.dtype))


class ToPicture(nn.Module):
    """Read colours from feature maps."""

    def __init__(self, entering: int, style: int, colours: int) -> None:
        super().__init__()
        self.convolution = Modulated(entering, colours, style, 1, demodulate=False, double=False)
        self.bias = nn.Parameter(torch.zeros(colours))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Map (B, C, H, W) and styles (B, D) to float32 (B, colours, H, W)."""
        return self.convolution(x, style).float() + self.bias[:, None, None]


def activate(x: Tensor) -> Tensor:
    """Apply a leaky ReLU that keeps the variance of a normal variable about as it is."""
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


def smoothed(x: Tensor, padding: int) -> Tensor:
    """Filter by [1, 3, 3, 1] / 8 along both sides; 3 pixels less than padded."""
    taps = (4 - 2 * (torch.arange(4, device=x.device) - 1.5).abs()) / 8
    kernel = (taps[:, None] * taps).to(x.dtype).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(x, kernel, padding=padding, groups=x.shape[1])
