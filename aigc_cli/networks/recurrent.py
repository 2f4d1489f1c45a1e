"""Recurrent networks over tokens: a state, carried from place to place, sums up all that was read (Elman 1990)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn
from torch.nn import functional as F

from aigc_cli.interfaces import Shapes

CELLS: dict[str, Any] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


@dataclass
class Cache:
    """Keep each layer's state after the places that were seen; it does not grow with them."""

    states: list[Any]  # of each layer (1, B, width), of an LSTM two such: of its output and its memory
    length: int = 0  # places seen


class Recurrent(nn.Module):
    """Predict each token from those before it; a learnt vector, one for each class, is read before the first.

    cell: rnn (tanh), lstm (Hochreiter & Schmidhuber 1997) or gru (arXiv:1406.1078). Dropout is between layers and at
    both ends, never from place to place (arXiv:1409.2329). tied: tokens are told by the vectors that they are read as
    (arXiv:1608.05859). label_at: every_place adds a vector of the label to what is read at each place, so that it is
    not forgotten.
    """

    context = None  # places that a cache holds: no limit
    carries = True  # gradients go through what follows a cache

    def __init__(
        self,
        shapes: Shapes,
        *,
        cell: Literal["rnn", "lstm", "gru"],
        width: Annotated[int, Gt(0)],
        depth: Annotated[int, Gt(0)],
        dropout: Annotated[float, Ge(0), Lt(1)],
        tied: bool,
        label_at: Literal["begin", "every_place"],
    ) -> None:
        super().__init__()
        _, vocabulary = shapes.output
        self.begin = nn.Embedding(max(1, shapes.condition), width)
        everywhere = shapes.condition and label_at == "every_place"
        self.label = nn.Embedding(shapes.condition, width) if everywhere else None
        self.token = nn.Embedding(vocabulary, width)
        self.dropout = nn.Dropout(dropout)
        # One module a layer: cuDNN's dropout between layers has randomness of its own, which a resumed run would miss.
        self.layers = nn.ModuleList(CELLS[cell](width, width, batch_first=True) for _ in range(depth))
        self.head = None if tied else nn.Linear(width, vocabulary, bias=False)
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        initialise(self)

    def forward(self, tokens: Tensor, condition: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """Map the first t tokens (B, t) to logits of the first t + 1: (B, t + 1, vocabulary).

        With a cache, tokens are those it has not seen yet, and so are the logits' places.
        """
        hidden = self.token(tokens)
        if cache is None or not cache.length:
            labels = condition if condition is not None else tokens.new_zeros(len(tokens))
            hidden = torch.cat([self.begin(labels)[:, None], hidden], dim=1)
        if self.label is not None:
            assert condition is not None, "a network built for classes is called with labels"
            hidden = hidden + self.label(condition)[:, None]
        hidden = self.dropout(hidden)
        places = hidden.shape[1]
        for number, layer in enumerate(self.layers):
            hidden, state = run(layer, hidden, cache.states[number] if cache else None)
            hidden = self.dropout(hidden)
            if cache:
                cache.states[number] = state
        if cache:
            cache.length += places
        return F.linear(hidden, self.token.weight if self.head is None else self.head.weight, self.bias)

    def new_cache(self, n: int) -> Cache:
        """Return the state of n sequences of which nothing is read."""
        zero = self.bias.new_zeros(1, n, self.token.embedding_dim)
        return Cache([(zero, zero) if isinstance(layer, nn.LSTM) else zero for layer in self.layers])


def run(layer: Any, hidden: Tensor, state: Any) -> tuple[Tensor, Any]:
    """Let a layer go on from a state (None: of zeros) over (B, t, width): return its outputs and its state then."""
    kind = hidden.device.type
    one = kind == "cpu" and layer.mode == "LSTM" and state is not None and hidden.shape[1] == 1
    half = kind == "cpu" and torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) == torch.bfloat16
    if half and not one:
        return layer(hidden, state)
    # Elsewhere in the weights' own type. On CPUs torch has no layers in fp16; on CUDA autocast runs them in fp16
    # whatever its type is (_cudnn_rnn_cast_reflatten in AutocastRNN.cpp), where bf16's gradients, unscaled, vanish.
    dtype = layer.weight_ih_l0.dtype
    hidden = hidden.to(dtype)
    if state is not None:
        state = tuple(each.to(dtype) for each in state) if isinstance(state, tuple) else state.to(dtype)
    with torch.autocast(kind, enabled=False):
        return step(layer, hidden, state) if one else layer(hidden, state)


def step(layer: Any, hidden: Tensor, state: Any) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Let an LSTM read one place, (B, 1, width): 8 times as fast as oneDNN, which sorts the weights each time."""
    weights = (layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, layer.bias_hh_l0)
    output, memory = torch.lstm_cell(hidden[:, 0], (state[0][0], state[1][0]), *weights)
    return output[:, None], (output[None], memory[None])


def remember(lstm: nn.LSTM) -> None:
    """Let an LSTM remember at first: a forget gate's bias of 1 (Gers et al. 2000)."""
    biases: list[Any] = [lstm.bias_ih_l0, lstm.bias_hh_l0]
    with torch.no_grad():  # the gates' order is input, forget, memory, output
        for bias, value in zip(biases, (1.0, 0.0), strict=True):
            bias.chunk(4)[1].fill_(value)


def initialise(network: Recurrent) -> None:
    """Draw weights; vectors that tell symbols as well narrowly, so that at first all are about as likely.

    Labels add nothing at first.
    """
    if network.head is None:
        nn.init.normal_(network.token.weight, std=network.token.embedding_dim**-0.5)
    if network.label is not None:
        nn.init.zeros_(network.label.weight)
    for layer in network.layers:
        if isinstance(layer, nn.LSTM):
            remember(layer)
