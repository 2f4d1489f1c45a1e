"""Draw symbols from a predictor of sequences, one after another, as many as are wanted."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


class Reader:
    """Let a network read n sequences bit by bit and say what may follow: a decoder as decoding.py has it.

    A network with a limited context reads its newest half again wherever the context is full.
    """

    def __init__(self, network: Any, n: int, labels: Tensor | None) -> None:
        self.network, self.n, self.labels = network, n, labels
        self.cache = network.new_cache(n)
        self.places = 1  # of the context, the beginning's own included
        self.recent: list[Tensor] = []  # what the cache holds, where it may have to be read again

    def __call__(self, symbols: Tensor, state: None = None) -> Tensor:
        """Read symbols (n, t) and return logits of what follows them, the last of which is that of all: (n, .., V)."""
        context = self.network.context
        if context is not None:
            self.recent.append(symbols)
            if self.places + symbols.shape[1] > context:
                symbols = newest(torch.cat(self.recent, dim=1), min(max(1, context // 2), context - 1))
                self.cache, self.places, self.recent = self.network.new_cache(self.n), 1, [symbols]
            self.places += symbols.shape[1]
        return self.network(symbols, self.labels, self.cache)


LEAST_TEMPERATURE = torch.finfo(torch.float32).tiny  # less is zero to a processor that flushes denormal numbers


def newest(symbols: Tensor, count: int) -> Tensor:
    """Return the last `count` columns."""
    return symbols[:, symbols.shape[1] - count :]


def draw(
    logits: Tensor, temperature: float, top_k: int | None, generator: torch.Generator, top_p: float | None = None
) -> Tensor:
    """Draw a symbol for each row of logits (B, V), only of the likeliest where asked: (B, 1).

    temperature: divides the logits; 0 takes the likeliest. top_k: of so many; top_p: of the fewest that have this
    share of the chances together, temperature and top_k applied (arXiv:1904.09751, Section 3.1).
    """
    if temperature < LEAST_TEMPERATURE:
        return logits.argmax(1, keepdim=True)
    if top_k is not None and top_k < logits.shape[1]:
        least = logits.topk(top_k, dim=1).values[:, -1:]
        logits = logits.masked_fill(logits < least, -math.inf)
    logits = logits - logits.amax(1, keepdim=True)  # the likeliest stays 0, however small the temperature
    chances = (logits / temperature).softmax(1)
    if top_p is not None and top_p < 1:
        chances = nucleus(chances, top_p)
    return torch.multinomial(chances, 1, generator=generator)


def nucleus(chances: Tensor, share: float) -> Tensor:
    """Return chances (B, V) without the least likely that are not needed to reach the share."""
    falling, order = chances.sort(dim=1, descending=True, stable=True)
    needed = falling.cumsum(1) - falling < share
    return torch.zeros_like(chances).scatter(1, order, falling * needed)
