"""Normalise feature maps without statistics over the batch: the same in training, evaluation and averaged weights."""

from __future__ import annotations

from torch import nn

MOST_GROUPS, LEAST_IN_GROUP = 32, 4


def group_norm(channels: int) -> nn.GroupNorm:
    """Return a group norm of 32 groups (arXiv:1803.08494), or fewer for few channels.

    With one channel a group it would wipe out what is constant over a map: a bias, an embedding of the time.
    """
    most = max(1, min(MOST_GROUPS, channels // LEAST_IN_GROUP))
    return nn.GroupNorm(next(groups for groups in range(most, 0, -1) if channels % groups == 0), channels, eps=1e-6)
