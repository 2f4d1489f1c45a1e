"""Hand a label to a network."""

from __future__ import annotations

import torch
from torch import Tensor
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
