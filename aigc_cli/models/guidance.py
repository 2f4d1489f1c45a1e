"""Hide labels in training, so that sampling can be guided away from what has none: arXiv:2207.12598."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias

import torch
from annotated_types import Ge
from torch import Tensor, nn

from aigc_cli.errors import ConfigError
from aigc_cli.models.drawing import Reader

Denoiser: TypeAlias = Callable[[Tensor, Tensor], Tensor]
Guidance: TypeAlias = Annotated[float, Ge(0)] | None  # a setting of `aigc sample`; null: as configured


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


def guided_reader(
    network: nn.Module, n: int, labels: Tensor | None, none: int, guidance: float
) -> Callable[[Tensor, None], Tensor]:
    """Return what reads n sequences and says what follows, told of labels as by `guided`: arXiv:2306.17806.

    It is a decoder as decoding.py has it. Logits stand for log p here, since what they lack of it is the same for all
    symbols. Where guidance is 0 or 1 there are n rows, else 2 n in one cache.
    """
    if labels is None or guidance == 1:
        return Reader(network, n, labels)
    hidden = torch.full_like(labels, none)
    if not guidance:
        return Reader(network, n, hidden)
    both = Reader(network, 2 * n, torch.cat([hidden, labels]))

    def read(symbols: Tensor, state: None = None) -> Tensor:
        unlabelled, labelled = both(symbols.repeat(2, 1), state)[:, -1:].float().chunk(2)
        return torch.lerp(unlabelled, labelled, guidance)

    return read


def refuse_guidance(where: str, guidance: float, *, conditional: bool, label_dropout: float) -> None:
    """Refuse to guide a model that has no labels, or never saw a hidden one."""
    if guidance == 1:
        return
    if not conditional:
        raise ConfigError(f"{where}: it needs labels. Train with model.conditional=true, or leave it at 1.")
    if not label_dropout:
        raise ConfigError(
            f"{where}: given {guidance}, but a model trained with model.label_dropout=0 never saw a hidden label. "
            f"Type {where}=1, or train with model.label_dropout=0.1."
        )
