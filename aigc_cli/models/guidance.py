"""Hide labels in training, so that sampling can be guided away from what has none: arXiv:2207.12598."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from aigc_cli.errors import ConfigError

Denoiser: TypeAlias = Callable[[Tensor, Tensor], Tensor]


def hide_some(labels: Tensor, share: float, none: int) -> Tensor:
    """Replace a random share of the labels by the one that stands for none."""
    return labels.masked_fill(torch.rand(labels.shape, device=labels.device) < share, none)


def guided(network: nn.Module, labels: Tensor, none: int, guidance: float) -> Denoiser:
    """Return the network told of labels: arXiv:2207.12598, Eq. 6, guidance = 1 + w, so that 0 leaves the labels out.

    Where guidance is 0 or 1 one evaluation of the network is enough.
    """
    hidden = torch.full_like(labels, none)
    if guidance in (0, 1):
        return lambda x, time: network(x, time, labels if guidance else hidden)
    both = torch.cat([hidden, labels])

    def denoise(x: Tensor, time: Tensor) -> Tensor:
        unlabelled, labelled = network(torch.cat([x, x]), time.repeat(2), both).float().chunk(2)
        return torch.lerp(unlabelled, labelled, guidance)

    return denoise


def refuse_guidance_without_dropout(where: str, guidance: float, label_dropout: float) -> None:
    """Refuse to guide a model that never saw a hidden label."""
    if guidance != 1 and not label_dropout:
        raise ConfigError(
            f"{where}: given {guidance}, but a model trained with model.label_dropout=0 never saw a hidden label. "
            f"Type {where}=1, or train with model.label_dropout=0.1."
        )
