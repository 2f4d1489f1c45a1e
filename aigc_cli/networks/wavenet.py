"""WaveNet: gated convolutions that look back ever farther, each sample seeing those before it. arXiv:1609.03499."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, cast

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn
from torch.nn import functional as F

from aigc_cli.interfaces import Shapes

KERNEL = 2  # samples, the older of which lies a dilation back


@dataclass
class Cache:
    """Keep what each layer will look back at, so that a new sample costs one sample's work (arXiv:1611.09482)."""

    past: list[Tensor]  # of each layer (dilation, B, width): a ring of its last inputs
    bias: list[Tensor] = field(default_factory=list)  # of each layer's gates, by label where there are any
    length: int = 0  # places seen


class WaveNet(nn.Module):
    """Predict each symbol from those before it, by stacks of layers whose dilations double from 1 on.

    A learnt vector stands before the first; a label adds to every gate.
    """

    context = None  # places that a cache holds: no limit

    def __init__(
        self,
        shapes: Shapes,
        *,
        width: Annotated[int, Gt(0)],
        skip: Annotated[int, Gt(0)],
        stacks: Annotated[int, Gt(0), Le(16)],
        layers: Annotated[int, Gt(0), Le(14)],
        embedding: Annotated[int, Ge(1)],
    ) -> None:
        super().__init__()
        _, vocabulary = shapes.output
        self.begin = nn.Parameter(torch.zeros(embedding))
        self.token = nn.Embedding(vocabulary, embedding)
        self.enter = nn.Linear(embedding, width)
        self.dilations = [2**layer for _ in range(stacks) for layer in range(layers)]
        self.layers = nn.ModuleList(Layer(width, dilation, shapes.condition) for dilation in self.dilations)
        self.skip = nn.Linear(len(self.dilations) * width, skip)  # what all layers hand to the end, at once
        self.leave = nn.Sequential(nn.ReLU(), nn.Linear(skip, skip), nn.ReLU(), nn.Linear(skip, vocabulary))
        self.stack[-1].pass_on = None  # nobody would look at it

    @property
    def stack(self) -> list[Layer]:
        """Return the layers."""
        return cast("list[Layer]", list(self.layers))

    def forward(self, tokens: Tensor, condition: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """Map the first t tokens (B, t) to logits of the first t + 1: (B, t + 1, vocabulary).

        With a cache, tokens are those it has not seen yet, and so are the logits' places: they cost one by one.
        """
        hidden = self.token(tokens)
        if cache is None or not cache.length:
            hidden = torch.cat([self.begin.expand(len(tokens), 1, -1), hidden], dim=1)
        hidden = self.enter(hidden)
        if cache is None:
            return self._at_once(hidden, condition)
        return torch.cat([self._step(place, condition, cache) for place in hidden.unbind(1)], dim=1)

    def _at_once(self, hidden: Tensor, condition: Tensor | None) -> Tensor:
        found = []
        for layer in self.stack:
            older = F.pad(hidden, (0, 0, layer.dilation, 0))[:, : hidden.shape[1]]
            hidden, gated = layer(hidden, older, layer.bias(condition)[:, None])
            found.append(gated)
        return self.leave(self.skip(torch.cat(found, dim=2)))

    def _step(self, hidden: Tensor, condition: Tensor | None, cache: Cache) -> Tensor:
        if not cache.length:
            cache.bias = [layer.bias(condition) for layer in self.stack]
        found = []
        for layer, past, bias in zip(self.stack, cache.past, cache.bias, strict=True):
            ring = past[cache.length % layer.dilation]
            gates = torch.addmm(bias, torch.cat([ring, hidden], dim=1), layer.look.weight.T)
            ring.copy_(hidden)
            hidden, gated = layer.gated(hidden, gates)
            found.append(gated)
        cache.length += 1
        return self.leave(self.skip(torch.cat(found, dim=1)))[:, None]

    def new_cache(self, n: int) -> Cache:
        """Return an empty cache for n sequences."""
        return Cache([self.begin.new_zeros(dilation, n, self.enter.out_features) for dilation in self.dilations])


class Layer(nn.Module):
    """Look back, gate what is found, hand it on: arXiv:1609.03499, Eq. 2 and Figure 4.

    Channels come last: products of matrices are faster than convolutions of so few channels, about twice on a CPU.
    """

    pass_on: nn.Linear | None

    def __init__(self, width: int, dilation: int, classes: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.look = nn.Linear(KERNEL * width, 2 * width, bias=False)
        self.always = nn.Parameter(torch.zeros(2 * width))
        self.label = nn.Embedding(classes, 2 * width) if classes else None
        self.pass_on = nn.Linear(width, width)

    def bias(self, condition: Tensor | None) -> Tensor:
        """Return what is added to the gates, by label where there are any: (B or 1, 2 width)."""
        if self.label is None:
            return self.always[None]
        assert condition is not None, "a network built for classes is called with labels"
        return self.always + self.label(condition)

    def forward(self, x: Tensor, older: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Map (..., C) and what lay a dilation before it to what goes on and what goes to the end, (..., C) each."""
        return self.gated(x, self.look(torch.cat([older, x], dim=-1)) + bias)

    def gated(self, x: Tensor, gates: Tensor) -> tuple[Tensor, Tensor]:
        """Map (..., C) and its gates (..., 2 C) to what goes on and what goes to the end."""
        filtering, gate = gates.chunk(2, dim=-1)
        gated = torch.tanh(filtering) * torch.sigmoid(gate)
        return x if self.pass_on is None else x + self.pass_on(gated), gated
