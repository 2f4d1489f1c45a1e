"""The transformer of two halves: one reads the source, the other writes and looks back at what was read.

arXiv:1706.03762, with the norms before each part instead of behind it (arXiv:2002.04745): it learns without a careful
warm-up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, TypeAlias, cast

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn

from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Shapes
from aigc_cli.networks.attention import attend
from aigc_cli.networks.embeddings import embed_time
from aigc_cli.networks.symbols import Symbols

Size: TypeAlias = Annotated[int, Gt(0)]
Share: TypeAlias = Annotated[float, Ge(0), Lt(1)]


class Encoder(nn.Module):
    """Read text: every place gathers from all places that count."""

    def __init__(self, shapes: Shapes, *, width: Size, inner: Size, depth: Size, heads: Size, dropout: Share) -> None:
        super().__init__()
        check_heads("model.encoder", width, heads)
        self.width = width
        self.token, self.dropout = Symbols(shapes.input[1], width), nn.Dropout(dropout)
        self.layers = nn.ModuleList(EncoderLayer(width, inner, heads, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        initialise(self)

    def forward(self, tokens: Tensor, among: Tensor) -> Tensor:
        """Map text (B, S), of which the places in `among` (B, S) count, to vectors (B, S, width)."""
        hidden = self.dropout(placed(self.token(tokens), 0))
        for layer in self.layers:
            hidden = layer(hidden, among[:, None, None])
        return self.norm(hidden)


@dataclass
class State:
    """Keep what a decoder has seen: of each layer keys and values (B, heads, places, width / heads)."""

    read: list[tuple[Tensor, Tensor]]  # of the source
    among: Tensor  # (B, 1, 1, S): which of its places count
    written: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    length: int = 0  # places seen

    def choose(self, rows: Tensor) -> None:
        """Go on with these rows, each of the same source as the one whose place it takes."""
        self.written = [(keys[rows], values[rows]) for keys, values in self.written]


class Decoder(nn.Module):
    """Write text: every place gathers from those before it, and from the source. A learnt vector stands before them."""

    def __init__(self, shapes: Shapes, *, width: Size, inner: Size, depth: Size, heads: Size, dropout: Share) -> None:
        super().__init__()
        check_heads("model.decoder", width, heads)
        (_, source), (_, vocabulary) = shapes.input, shapes.output
        self.begin = nn.Parameter(torch.randn(width) / math.sqrt(width))
        self.token, self.dropout = Symbols(vocabulary, width), nn.Dropout(dropout)
        self.stack = nn.ModuleList(DecoderLayer(width, source, inner, heads, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        initialise(self)

    @property
    def layers(self) -> list[DecoderLayer]:
        """Return the layers."""
        return cast("list[DecoderLayer]", list(self.stack))

    def start(self, memory: Tensor, among: Tensor) -> State:
        """Return the state before the first symbol, given the source as it was read (B, S, its width)."""
        return State([layer.look.keys_and_values(memory) for layer in self.layers], among[:, None, None])

    def forward(self, tokens: Tensor, state: State) -> Tensor:
        """Map symbols (B, t) that the state has not seen to logits of what follows, (B, t, vocabulary).

        The first call's come after the learnt vector: (B, t + 1, vocabulary).
        """
        hidden = self.token(tokens)
        if not state.length:
            begin = (self.begin * math.sqrt(len(self.begin))).to(hidden.dtype)
            hidden = torch.cat([begin.expand(len(tokens), 1, -1), hidden], dim=1)
        hidden, seen = self.dropout(placed(hidden, state.length)), state.written
        state.written = []
        for number, layer in enumerate(self.layers):
            hidden = layer(hidden, state, seen[number] if seen else None, number)
        state.length += hidden.shape[1]
        return self.token.logits(self.norm(hidden))


class EncoderLayer(nn.Module):
    """Gather from all places, then think."""

    def __init__(self, width: int, inner: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.gather = nn.LayerNorm(width), Attention(width, width, heads)
        self.think, self.dropout = Think(width, inner), nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map (B, S, D) to the same shape; mask (B, 1, 1, S): what may be gathered from."""
        normed = self.norm(x)
        x = x + self.dropout(self.gather(normed, self.gather.keys_and_values(normed), mask=mask))
        return x + self.dropout(self.think(x))


class DecoderLayer(nn.Module):
    """Gather from the places before, then from the source, then think."""

    def __init__(self, width: int, source: int, inner: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.gather = nn.LayerNorm(width), Attention(width, width, heads)
        self.look_norm, self.look = nn.LayerNorm(width), Attention(width, source, heads)
        self.think, self.dropout = Think(width, inner), nn.Dropout(dropout)

    def forward(self, x: Tensor, state: State, seen: tuple[Tensor, Tensor] | None, number: int) -> Tensor:
        """Map new places (B, t, D) to the same shape; seen: keys and values of those before them, which they join."""
        normed = self.norm(x)
        key, value = self.gather.keys_and_values(normed)
        if seen is not None:
            key, value = torch.cat([seen[0], key], dim=2), torch.cat([seen[1], value], dim=2)
        state.written.append((key, value))
        x = x + self.dropout(self.gather(normed, (key, value), causal=x.shape[1] > 1))
        x = x + self.dropout(self.look(self.look_norm(x), state.read[number], mask=state.among))
        return x + self.dropout(self.think(x))


class Attention(nn.Module):
    """Gather from places by several heads: arXiv:1706.03762, Section 3.2.2."""

    def __init__(self, width: int, source: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(source, 2 * width)
        self.project = nn.Linear(width, width)

    def keys_and_values(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Map what is gathered from (B, S, D') to keys and values (B, heads, S, D / heads)."""
        key, value = self.key_value(places).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        return key, value

    def forward(
        self, x: Tensor, given: tuple[Tensor, Tensor], *, mask: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        """Return what places (B, t, D) gather, of the same shape."""
        query = self.query(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        gathered = attend(query, *given, causal=causal, mask=mask)
        return self.project(gathered.transpose(1, 2).flatten(2))


class Think(nn.Sequential):
    """Let each place think by itself: arXiv:1706.03762, Section 3.3."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__(nn.LayerNorm(width), nn.Linear(width, inner), nn.ReLU(), nn.Linear(inner, width))


def placed(hidden: Tensor, first: int) -> Tensor:
    """Add sines and cosines of their places, from `first` on, to vectors (B, t, D): arXiv:1706.03762, Section 3.5."""
    places = torch.arange(first, first + hidden.shape[1], device=hidden.device)
    return hidden + embed_time(places, hidden.shape[2]).to(hidden.dtype)


def check_heads(where: str, width: int, heads: int) -> None:
    """Raise ConfigError where heads do not divide the width, or it does not fall into pairs of sine and cosine."""
    least = math.lcm(heads, 2)
    if width % least:
        near = -(-width // least) * least
        raise ConfigError(f"{where}.width: given {width}, allowed: an even multiple of heads={heads}. "
                          f"Type {where}.width={near}.")  # fmt: skip


def initialise(network: nn.Module) -> None:
    """Draw weights so that variances stay: Glorot and Bengio 2010."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
