"""LSTMs that read text in both directions, and write it: from what an encoder read of a source, or from a latent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias

import torch
from annotated_types import Ge, Gt, Lt, MultipleOf
from torch import Tensor, nn

from aigc_cli.interfaces import Shapes
from aigc_cli.networks.attention import attend
from aigc_cli.networks.recurrent import remember, run
from aigc_cli.networks.symbols import Symbols

Size: TypeAlias = Annotated[int, Gt(0)]
Share: TypeAlias = Annotated[float, Ge(0), Lt(1)]
Memory: TypeAlias = tuple[Tensor, Tensor]  # of an LSTM: its output and its cell, (1, B, width) each


class Encoder(nn.Module):
    """Read text from both ends: arXiv:1409.0473, Section 3.2, there with another kind of cell."""

    def __init__(
        self,
        shapes: Shapes,
        *,
        width: Annotated[int, Gt(0), MultipleOf(2)],
        depth: Size,
        dropout: Share,
    ) -> None:
        super().__init__()
        self.width = width
        self.token, self.dropout = Symbols(shapes.input[1], width), nn.Dropout(dropout)
        self.forth, self.back = (layers(width, width // 2, width, depth) for _ in range(2))

    def forward(self, tokens: Tensor, among: Tensor) -> Tensor:
        """Map text (B, S), whose first places, those in `among` (B, S), count, to vectors (B, S, width)."""
        hidden, turn = self.token(tokens), turned(among)
        for forth, back in zip(self.forth, self.back, strict=True):
            hidden = self.dropout(hidden)
            one, _ = run(forth, hidden, None)
            other, _ = run(back, reordered(hidden, turn), None)
            hidden = torch.cat([one, reordered(other, turn)], dim=2)
        return self.dropout(hidden)


@dataclass
class State:
    """Keep where the layers of a decoder are, and what it is told at each place."""

    memories: list[Memory]
    told: tuple[Tensor, ...]  # of each row
    begun: bool = False

    def choose(self, rows: Tensor) -> None:
        """Go on with these rows, each told the same as the one whose place it takes."""
        self.memories = [(hidden[:, rows], cell[:, rows]) for hidden, cell in self.memories]


class AttentionDecoder(nn.Module):
    """Write text, looking back at the source from each place: arXiv:1508.04025, Section 3.1, global attention.

    Departures: what is found is not fed to the next place, so that all places of a text learn at once; scores are
    those of Eq. 8 (general) over the root of the width.
    """

    def __init__(self, shapes: Shapes, *, width: Size, depth: Size, dropout: Share) -> None:
        super().__init__()
        (_, source), (_, vocabulary) = shapes.input, shapes.output
        self.begin = nn.Parameter(torch.randn(width))
        self.token, self.dropout = Symbols(vocabulary, width), nn.Dropout(dropout)
        self.layers, self.enter = layers(width, width, width, depth), nn.Linear(source, 2 * depth * width)
        self.query = nn.Linear(width, source, bias=False)
        self.combine, self.bias = nn.Linear(source + width, width), nn.Parameter(torch.zeros(vocabulary))

    def start(self, memory: Tensor, among: Tensor) -> State:
        """Return the state before the first symbol, given the source as it was read (B, S, its width)."""
        counts = among[..., None].to(memory.dtype)
        mean = (memory * counts).sum(1) / counts.sum(1)
        return State(entered(self.enter(mean), len(self.layers)), (memory, among))

    def forward(self, tokens: Tensor, state: State) -> Tensor:
        """Map symbols (B, t) that the state has not seen to logits of what follows, (B, t, vocabulary).

        The first call's come after a learnt vector: (B, t + 1, vocabulary).
        """
        read, among = state.told
        hidden = self.dropout(begun(self.token(tokens), self.begin, state))
        hidden = advanced(self.layers, hidden, state, self.dropout)
        query, places = self.query(hidden)[:, None], read[:, None]
        found = attend(query, places, places, mask=among[:, None, None])[:, 0]
        joined = self.combine(torch.cat([found, hidden.to(found.dtype)], dim=2)).tanh()  # Eq. 5
        return self.token.logits(self.dropout(joined), self.bias)


class LatentDecoder(nn.Module):
    """Write text from a latent, which is where the LSTM starts and is told at each place: arXiv:1511.06349, Section 3.

    Symbols are read by one id more than are written: the last stands for one that is not told (word dropout).
    """

    def __init__(self, shapes: Shapes, *, width: Size, depth: Size, dropout: Share) -> None:
        super().__init__()
        (latent,), (_, vocabulary) = shapes.input, shapes.output
        self.begin = nn.Parameter(torch.randn(width))
        self.token, self.dropout = Symbols(vocabulary + 1, width), nn.Dropout(dropout)
        self.layers, self.enter = layers(width + latent, width, width, depth), nn.Linear(latent, 2 * depth * width)
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def start(self, latent: Tensor) -> State:
        """Return the state before the first symbol, given latents (B, D)."""
        return State(entered(self.enter(latent), len(self.layers)), (latent,))

    def forward(self, tokens: Tensor, state: State) -> Tensor:
        """Map symbols (B, t) that the state has not seen to logits of what follows, (B, t, vocabulary).

        The first call's come after a learnt vector: (B, t + 1, vocabulary).
        """
        symbols = self.dropout(begun(self.token(tokens), self.begin, state))
        latent = state.told[0][:, None].expand(-1, symbols.shape[1], -1).to(symbols.dtype)
        hidden = advanced(self.layers, torch.cat([symbols, latent], dim=2), state, self.dropout)
        return self.token.logits(self.dropout(hidden), self.bias)


def begun(symbols: Tensor, begin: Tensor, state: State) -> Tensor:
    """Put a vector (D,) before symbols' vectors (B, t, D) where nothing has been written yet."""
    first, state.begun = not state.begun, True
    return torch.cat([begin.to(symbols.dtype).expand(len(symbols), 1, -1), symbols], dim=1) if first else symbols


def layers(first: int, width: int, inner: int, depth: int) -> nn.ModuleList:
    """Return LSTMs that stand on each other, the first of inputs of another size, the others of `inner`.

    One module a layer: cuDNN's dropout between layers has randomness of its own, which a resumed run would miss.
    """
    stack = [nn.LSTM(inner if number else first, width, batch_first=True) for number in range(depth)]
    for layer in stack:
        remember(layer)
    return nn.ModuleList(stack)


def entered(values: Tensor, depth: int) -> list[Memory]:
    """Return where each layer starts: values (B, 2 depth width) as outputs and cells in (-1, 1)."""
    parts = values.float().tanh().unflatten(1, (depth, 2, 1, -1)).permute(1, 2, 3, 0, 4).contiguous()
    return [(hidden, cell) for hidden, cell in parts]


def advanced(stack: nn.ModuleList, hidden: Tensor, state: State, dropout: nn.Dropout) -> Tensor:
    """Go on over inputs (B, t, D), with dropout between layers: return the last layer's outputs (B, t, width)."""
    for number, layer in enumerate(stack):
        hidden, state.memories[number] = run(layer, dropout(hidden) if number else hidden, state.memories[number])
    return hidden


def turned(among: Tensor) -> Tensor:
    """Return for rows whose first places count (B, S) the order in which these stand reversed: (B, S), int64.

    The others stay where they are, so that to turn twice is to do nothing.
    """
    places = torch.arange(among.shape[1], device=among.device).expand(among.shape)
    return torch.where(among, among.sum(1, keepdim=True) - 1 - places, places)


def reordered(hidden: Tensor, order: Tensor) -> Tensor:
    """Return the places of vectors (B, S, D) in another order (B, S)."""
    return hidden.gather(1, order[..., None].expand_as(hidden))
