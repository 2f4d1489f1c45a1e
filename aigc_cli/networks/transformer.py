"""A decoder-only transformer over tokens: each place sees those before it. GPT-2 (Radford et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn
from torch.nn import functional as F

from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Shapes
from aigc_cli.networks.attention import attend

LONGEST_PERIOD = 10_000  # of the slowest pair's angle, in places over 2 pi: arXiv:2104.09864, Section 3.2.2


@dataclass
class Cache:
    """Keep the keys and values of the places that were seen, so that each new one costs one place's work."""

    keys: Tensor  # (layers, B, heads, T, width / heads)
    values: Tensor
    length: int = 0  # places seen


class Transformer(nn.Module):
    """Predict each token from those before it; a learnt vector, one for each class, stands before the first.

    positions: learned adds a vector for each place to what is read there; rotary turns queries and keys by their
    place's angles, so that scores depend on distances only (arXiv:2104.09864, Eq. 15). label_at: every_place adds a
    vector of the label to what is read at each place, so that it is not forgotten.
    """

    def __init__(
        self,
        shapes: Shapes,
        *,
        width: Annotated[int, Gt(0)],
        depth: Annotated[int, Gt(0)],
        heads: Annotated[int, Gt(0)],
        dropout: Annotated[float, Ge(0), Lt(1)],
        positions: Literal["learned", "rotary"],
        label_at: Literal["begin", "every_place"],
    ) -> None:
        super().__init__()
        check_heads(width, heads, positions)
        (self.context,), (_, vocabulary) = shapes.input, shapes.output
        self.heads = heads
        self.begin = nn.Embedding(max(1, shapes.condition), width)
        everywhere = shapes.condition and label_at == "every_place"
        self.label = nn.Embedding(shapes.condition, width) if everywhere else None
        self.token = nn.Embedding(vocabulary, width)
        self.position = nn.Parameter(torch.empty(self.context, width)) if positions == "learned" else None
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)
        initialise(self, depth)

    def forward(self, tokens: Tensor, condition: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """Map the first t tokens (B, t) to logits of the first t + 1: (B, t + 1, vocabulary).

        With a cache, tokens are those it has not seen yet, and so are the logits' places. There are `context` places.
        """
        seen = cache.length if cache else 0
        hidden = self.token(tokens)
        if not seen:
            labels = condition if condition is not None else tokens.new_zeros(len(tokens))
            hidden = torch.cat([self.begin(labels)[:, None], hidden], dim=1)
        if self.label is not None:
            assert condition is not None, "a network built for classes is called with labels"
            hidden = hidden + self.label(condition)[:, None]
        new = hidden.shape[1]
        assert seen + new <= self.context, f"{seen + new} places, where the network has {self.context}"
        if self.position is not None:
            hidden = hidden + self.position[seen : seen + new]
        hidden = self.dropout(hidden)
        size = hidden.shape[2] // self.heads
        turn = None if self.position is not None else turns(seen, new, size, hidden.device)
        for layer, block in enumerate(self.blocks):
            hidden = block(hidden, cache, layer, turn)
        if cache:
            cache.length += new
        return self.head(self.norm(hidden))

    def new_cache(self, n: int) -> Cache:
        """Return an empty cache for n sequences."""
        weight = self.head.weight
        shape = (len(self.blocks), n, self.heads, self.context, weight.shape[1] // self.heads)
        return Cache(weight.new_zeros(shape), weight.new_zeros(shape))


class Block(nn.Module):
    """Let each place gather from those before it, then think by itself."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.drop = heads, dropout
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.expand, self.contract = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, cache: Cache | None, layer: int, turn: Tensor | None) -> Tensor:
        """Map (B, t, D) to the same shape; turn: of rotary positions, one for each place."""
        x = x + self.dropout(self.project(self.gather(self.first_norm(x), cache, layer, turn)))
        return x + self.dropout(self.contract(F.gelu(self.expand(self.second_norm(x)))))

    def gather(self, x: Tensor, cache: Cache | None, layer: int, turn: Tensor | None) -> Tensor:
        """Return attention's weighted values: (B, t, D)."""
        parts = self.query_key_value(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)  # (B, heads, t, D / heads)
        if turn is not None:
            query, key = rotated(parts[:2], turn).unbind(0)
        new = query.shape[2]
        if cache:
            end = cache.length + new
            cache.keys[layer, :, :, cache.length : end], cache.values[layer, :, :, cache.length : end] = key, value
            key, value = cache.keys[layer, :, :, :end], cache.values[layer, :, :, :end]
        dropout = self.drop if self.training else 0.0
        gathered = attend(query, key, value, causal=new > 1, dropout=dropout)
        return gathered.transpose(1, 2).flatten(2)


def turns(first: int, places: int, size: int, device: torch.device) -> Tensor:
    """Return by what the pairs in vectors of `size` are turned, as numbers of length 1: (places, size / 2), complex."""
    exponents = torch.arange(0, size, 2, dtype=torch.float32, device=device) / size
    place = torch.arange(first, first + places, dtype=torch.float32, device=device)
    angle = place[:, None] * LONGEST_PERIOD**-exponents
    return torch.polar(torch.ones_like(angle), angle)


def rotated(x: Tensor, turn: Tensor) -> Tensor:
    """Turn the neighbours (2 i, 2 i + 1) of each vector: (..., T, D) by (T, D / 2). arXiv:2104.09864, Eq. 15."""
    exact = x if x.dtype == torch.float64 else x.float()
    pairs = torch.view_as_complex(exact.unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turn).flatten(-2).to(x.dtype)


def check_heads(width: int, heads: int, positions: str) -> None:
    """Raise ConfigError where the width does not fall into heads, or heads not into pairs."""
    if width % heads:
        near = -(-width // heads) * heads
        raise ConfigError(f"model.network.heads: {heads} do not divide width={width}. Type model.network.width={near}.")
    if positions == "rotary" and width // heads % 2:
        raise ConfigError(f"model.network.positions: rotary turns pairs, and heads of {width // heads} are odd. "
                          f"Type model.network.width={2 * width}.")  # fmt: skip


def initialise(network: Transformer, depth: int) -> None:
    """Draw weights from N(0, 0.02), those that end residual branches narrower: GPT-2, Section 2.3.

    Labels add nothing at first.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
        if isinstance(module, Block):
            for last in (module.project, module.contract):
                nn.init.normal_(last.weight, std=0.02 / (2 * depth) ** 0.5)
    if network.position is not None:
        nn.init.normal_(network.position, std=0.02)
    if network.label is not None:
        nn.init.zeros_(network.label.weight)
