"""Tell in rows of text which symbols count: those up to and including the first end symbol."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import DataSpec

ALIKE = 16  # rows


def end_of(spec: DataSpec, way: str) -> int:
    """Return the symbol that ends a piece of text; ConfigError, with what to type, where the text is cut anywhere."""
    if spec.text is None or spec.text.end is None:
        raise ConfigError(f"model: it learns whole pieces of text, and these data are running text. {way}")
    return spec.text.end


def counted(symbols: Tensor, end: int) -> Tensor:
    """Tell of symbols (B, T) which are of the piece, its first end symbol included: (B, T), bool."""
    ends = symbols == end
    return ends.cumsum(1) - ends.long() == 0


def shortened(symbols: Tensor, end: int) -> tuple[Tensor, Tensor]:
    """Return stored symbols as int64 and which of them count: (B, t) each, no longer than the batch's longest on a CPU.

    Elsewhere all T places stay: to learn how long the longest is would make the device wait.
    """
    symbols = symbols.long()
    among = counted(symbols, end)
    longest = len(among.any(0).nonzero()) if symbols.device.type == "cpu" else symbols.shape[1]
    return symbols[:, :longest], among[:, :longest]


def by_length(among: Tensor) -> tuple[Tensor, ...]:
    """Return rows (n,) of a batch that are learnt from at once, given which symbols count (B, T): alike ones on a CPU.

    Work grows with the longest row of a part, so that there half of it or more is saved; elsewhere all rows are one
    part, which keeps the device busy and does not make it wait.
    """
    order = among.sum(1).argsort(stable=True)
    return order.split(ALIKE if among.device.type == "cpu" else len(order))


def filled(symbols: Tensor, spec: DataSpec, end: int) -> Tensor:
    """Return symbols (B, at most T) in storage form: filled up with the end symbol to (B, T)."""
    return F.pad(symbols, (0, spec.shape[0] - symbols.shape[1]), value=end).to(spec.dtype)


def nats_of_symbols(logits: Tensor, symbols: Tensor, among: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return -log p of each symbol, 0 where it does not count: logits (B, T, V) to (B, T), float32.

    smoothing: the share of the target that is spread over all V symbols alike (arXiv:1512.00567, Section 7).
    """
    flat = logits.float().flatten(0, 1)
    nats = F.cross_entropy(flat, symbols.flatten(), reduction="none", label_smoothing=smoothing)
    return nats.view_as(symbols).masked_fill(~among, 0.0)


def prompted(prompt: Tensor | None, n: int, device: torch.device) -> Tensor:
    """Return a prompt (P,) for each of n rows: (n, P), int64; P is 0 where there is none."""
    symbols = torch.zeros(0, dtype=torch.int64, device=device) if prompt is None else prompt.long().to(device)
    return symbols.expand(n, -1)
