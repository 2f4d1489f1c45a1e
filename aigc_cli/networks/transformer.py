"""A decoder-only transformer over tokens: each place sees those before it. GPT-2 (Radford et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn
from torch.nn import functional as F

from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Shapes
from aigc_cli.networks.attention import attend


@dataclass
class Cache:
    """Keep the keys and values of the places that were seen, so that each new one costs one place's work."""

    keys: Tensor  # (layers, B, heads, T, width / heads)
    values: Tensor
    length: int = 0  # places seen


class Transformer(nn.Module):
    """Predict each token from those before it; a learnt vector, one for each class, stands before the first."""

    def __init__(
        self,
        shapes: Shapes,
        *,
        width: Annotated[int, Gt(0)],
        depth: Annotated[int, Gt(0)],
        heads: Annotated[int, Gt(0)],
        dropout: Annotated[float, Ge(0), Lt(1)],
    ) -> None:
        super().__init__()
        if width % heads:
            near = -(-width // heads) * heads
            way = f"Type model.network.width={near}."
            raise ConfigError(f"model.network.heads: {heads} do not divide width={width}. {way}")
        (length,), (_, vocabulary) = shapes.input, shapes.output
        self.heads = heads
        self.begin = nn.Embedding(max(1, shapes.condition), width)
        self.token = nn.Embedding(vocabulary, width)
        self.position = nn.Parameter(torch.empty(length, width))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)
        initialise(self, depth)

    def forward(self, tokens: Tensor, condition: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """Map the first t tokens (B, t) to logits of the first t + 1: (B, t + 1, vocabulary).

        With a cache, tokens are those it has not seen yet, and so are the logits' places.
        """
        seen = cache.length if cache else 0
        hidden = self.token(tokens)
        if not seen:
            labels = condition if condition is not None else tokens.new_zeros(len(tokens))
            hidden = torch.cat([self.begin(labels)[:, None], hidden], dim=1)
        hidden = self.dropout(hidden + self.position[seen : seen + hidden.shape[1]])
        for layer, block in enumerate(self.blocks):
            hidden = block(hidden, cache, layer)
        if cache:
            cache.length += hidden.shape[1]
        return self.head(self.norm(hidden))

    def new_cache(self, n: int) -> Cache:
        """Return an empty cache for n sequences."""
        length, width = self.position.shape
        shape = (len(self.blocks), n, self.heads, length, width // self.heads)
        return Cache(self.position.new_zeros(shape), self.position.new_zeros(shape))


class Block(nn.Module):
    """Let each place gather from those before it, then think by itself."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.drop = heads, dropout
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.expand, self.contract = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, cache: Cache | None, layer: int) -> Tensor:
        """Map (B, t, D) to the same shape."""
        x = x + self.dropout(self.project(self.gather(self.first_norm(x), cache, layer)))
        return x + self.dropout(self.contract(F.gelu(self.expand(self.second_norm(x)))))

    def gather(self, x: Tensor, cache: Cache | None, layer: int) -> Tensor:
        """Return attention's weighted values: (B, t, D)."""
        parts = self.query_key_value(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)  # (B, heads, t, D / heads)
        new = query.shape[2]
        if cache:
            end = cache.length + new
            assert new == 1 or not cache.length, "a cache that has begun takes one token at a time"
            cache.keys[layer, :, :, cache.length : end], cache.values[layer, :, :, cache.length : end] = key, value
            key, value = cache.keys[layer, :, :, :end], cache.values[layer, :, :, :end]
        dropout = self.drop if self.training else 0.0
        gathered = attend(query, key, value, causal=new > 1, dropout=dropout)
        return gathered.transpose(1, 2).flatten(2)


def initialise(network: Transformer, depth: int) -> None:
    """Draw weights from N(0, 0.02), those that end residual branches narrower: GPT-2, Section 2.3."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
        if isinstance(module, Block):
            for last in (module.project, module.contract):
                nn.init.normal_(last.weight, std=0.02 / (2 * depth) ** 0.5)
    nn.init.normal_(network.position, std=0.02)
