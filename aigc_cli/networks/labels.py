"""Hand a label to a network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def append_one_hot(features: Tensor, labels: Tensor | None, classes: int) -> Tensor:
    """Append one-hot labels to flat features: (B, D) to (B, D + classes); unchanged where classes is 0."""
    if not classes:
        return features
    assert labels is not None, "a network built for classes is called with labels"
    return torch.cat([features, F.one_hot(labels, classes).to(features.dtype)], dim=1)


def append_one_hot_maps(pictures: Tensor, labels: Tensor | None, classes: int) -> Tensor:
    """Append a constant map for each class: (B, C, H, W) to (B, C + classes, H, W); unchanged where classes is 0."""
    if not classes:
        return pictures
    assert labels is not None, "a network built for classes is called with labels"
    maps = F.one_hot(labels, classes).to(pictures.dtype)[:, :, None, None]
    return torch.cat([pictures, maps.expand(-1, -1, *pictures.shape[2:])], dim=1)


class Projection(nn.Module):
    """Ask how well features go with a label, by an inner product with its embedding: arXiv:1802.05637, Eq. 3."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, features)
        nn.init.xavier_uniform_(self.embedding.weight)

    def forward(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """Map (B, D) features and (B,) labels to (B,) logits."""
        assert labels is not None, "a network built for classes is called with labels"
        return (self.embedding(labels) * features).sum(1)


class ConditionalBatchNorm(nn.Module):
    """Normalise over the batch; each label has its own scale and bias: arXiv:1707.00683. Without labels: batch norm."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=not classes)
        self.scale, self.bias = (nn.Embedding(classes, channels) if classes else None for _ in range(2))
        if self.scale is not None and self.bias is not None:
            nn.init.ones_(self.scale.weight)
            nn.init.zeros_(self.bias.weight)

    def forward(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        x = self.norm(x)
        if self.scale is None or self.bias is None:
            return x
        assert labels is not None, "a network built for classes is called with labels"
        return torch.addcmul(self.bias(labels)[:, :, None, None], x, self.scale(labels)[:, :, None, None])
