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
    look: list[Tensor]  # of each layer (2 width, 2 width): weights of older and newer inputs at once
    pass_on: list[Tensor]  # of each layer but the last (width, width)
    skip: Tensor  # (layers * width, skip): what all layers hand to the end, at once
    ends: Tensor  # (skip,): and its bias
    bias: list[Tensor] = field(default_factory=list)  # of each layer's gates (B, 2 width), with the label's part
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
        self.layers = nn.ModuleList(Layer(width, skip, dilation, shapes.condition) for dilation in self.dilations)
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
        hidden, skips = hidden.transpose(1, 2), None
        for layer in self.stack:
            hidden, skip = layer(hidden, layer.bias(condition))
            skips = skip if skips is None else skips + skip
        assert skips is not None
        return self.leave(skips.transpose(1, 2))

    def _step(self, hidden: Tensor, condition: Tensor | None, cache: Cache) -> Tensor:
        if not cache.length:
            cache.bias = [layer.bias(condition).expand(len(hidden), -1, -1)[..., 0] for layer in self.stack]
        found = []
        for number, (layer, past, look, bias) in enumerate(
            zip(self.stack, cache.past, cache.look, cache.bias, strict=True)
        ):
            ring = past[cache.length % layer.dilation]
            filtering, gate = torch.addmm(bias, torch.cat([ring, hidden], dim=1), look).chunk(2, dim=1)
            ring.copy_(hidden)
            found.append(torch.tanh(filtering).mul_(torch.sigmoid(gate)))
            if layer.pass_on is not None:
                hidden = hidden + F.linear(found[-1], cache.pass_on[number], layer.pass_on.bias)
        cache.length += 1
        skips = torch.cat(found, dim=1) @ cache.skip + cache.ends
        return self.leave(skips)[:, None]

    def new_cache(self, n: int) -> Cache:
        """Return an empty cache for n sequences."""
        width = self.enter.out_features
        past = [self.begin.new_zeros(dilation, n, width) for dilation in self.dilations]
        look = [layer.look.weight.transpose(1, 2).flatten(1).T.contiguous() for layer in self.stack]
        pass_on = [layer.pass_on.weight[:, :, 0].contiguous() for layer in self.stack if layer.pass_on is not None]
        skip = torch.cat([layer.skip.weight[:, :, 0].T for layer in self.stack])
        ends = torch.stack([bias for layer in self.stack if (bias := layer.skip.bias) is not None]).sum(0)
        return Cache(past, look, pass_on, skip, ends)


class Layer(nn.Module):
    """Look back, gate what is found, hand it to the end and on: arXiv:1609.03499, Eq. 2 and Figure 4."""

    pass_on: nn.Conv1d | None

    def __init__(self, width: int, skip: int, dilation: int, classes: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.look = nn.Conv1d(width, 2 * width, KERNEL, dilation=dilation, bias=False)
        self.always = nn.Parameter(torch.zeros(2 * width, 1))
        self.label = nn.Embedding(classes, 2 * width) if classes else None
        self.skip, self.pass_on = nn.Conv1d(width, skip, 1), nn.Conv1d(width, width, 1)

    def bias(self, condition: Tensor | None) -> Tensor:
        """Return what is added to the gates, by label where there are any: (B or 1, 2 width, 1)."""
        if self.label is None:
            return self.always[None]
        assert condition is not None, "a network built for classes is called with labels"
        return self.always + self.label(condition)[:, :, None]

    def forward(self, x: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to what goes on (B, C, T) and what goes to the end (B, S, T)."""
        filtering, gate = (self.look(F.pad(x, (self.dilation, 0))) + bias).chunk(2, dim=1)
        found = torch.tanh(filtering) * torch.sigmoid(gate)
        return x if self.pass_on is None else x + self.pass_on(found), self.skip(found)
