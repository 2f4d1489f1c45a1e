"""Measure how far a picture is from another's style and from a third one's content: arXiv:1508.06576.

The style of a layer is its Gram matrix, which says which features come together, but not where; the content is the
layer itself. Departure from the paper: both errors are relative to the size of what they are compared with, so that
their weights mean the same for any layer, any picture's contrast and any scale of the features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from aigc_cli.perception.vgg import Features, Pooling

TINY = 1e-8


class StyleLoss:
    """Hold a style, and compare pictures with it and with contents."""

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        style: Tensor,
        style_layers: Sequence[str],
        content_layers: Sequence[str],
        pooling: Pooling,
    ) -> None:
        self.style_layers, self.content_layers = tuple(style_layers), tuple(content_layers)
        self.features = Features(weights, [*style_layers, *content_layers], pooling).to(style.device)
        with torch.no_grad():
            maps = self.features(style)
        self.grams = {name: gram(maps[name]) for name in style_layers}

    def to(self, device: torch.device) -> None:
        """Move what is compared with."""
        self.features.to(device)
        self.grams = {name: matrix.to(device) for name, matrix in self.grams.items()}

    @torch.no_grad()
    def content(self, signal: Tensor) -> dict[str, Tensor]:
        """Return what content is compared by."""
        maps = self.features(signal)
        return {name: maps[name].float() for name in self.content_layers}

    def __call__(self, made: Tensor, content: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the errors of style and of content, 0-d float32 each: means over layers, 0 to about 1."""
        maps = self.features(made)
        styles = [relative(gram(maps[name]), self.grams[name]) for name in self.style_layers]
        contents = [relative(maps[name].float(), content[name]) for name in self.content_layers]
        return torch.stack(styles).mean(), torch.stack(contents).mean()


def gram(maps: Tensor) -> Tensor:
    """Return the mean products of features over places: (B, C, h, w) to (B, C, C), float32; arXiv:1508.06576, Eq. 3."""
    with torch.autocast(maps.device.type, enabled=False):  # sums of squares overflow in half precision
        flat = maps.float().flatten(2)
        return flat @ flat.mT / flat.shape[2]


def relative(given: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean squared error over the mean square of what is wanted."""
    return (given - wanted).square().mean() / (wanted.square().mean() + TINY)


def total_variation(signal: Tensor) -> Tensor:
    """Return the mean squared difference of neighbouring pixels: what smoothness minimises."""
    down, right = signal.diff(dim=-2).float(), signal.diff(dim=-1).float()
    return down.square().mean() + right.square().mean()
