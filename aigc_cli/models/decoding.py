"""Make text of a decoder's logits: symbol by symbol as chosen, or by searching for the likeliest whole.

A decoder maps the symbols that its state has not seen (B, t) to logits of what follows each of them; what it has seen,
it keeps in its state, whose `choose(rows)` picks and reorders rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Tell = Callable[[Tensor], None]


def follow(
    decoder: Any, state: Any, prompt: Tensor, choose: Callable[[Tensor], Tensor], *, length: int, end: int,
    tell: Tell | None = None,
) -> Tensor:  # fmt: skip
    """Return the symbols after a prompt (B, P), each as `choose` has it: (B, at most length), int64.

    choose: logits (B, V) to symbols (B, 1). What follows a row's end symbol is that symbol.
    """
    written, newest = [prompt[:, :0]], prompt
    ended = torch.zeros(len(prompt), 1, dtype=torch.bool, device=prompt.device)
    for _ in range(length):
        newest = choose(decoder(newest, state)[:, -1].float()).masked_fill(ended, end)
        ended = ended | (newest == end)
        written.append(newest)
        if tell is not None:
            tell(newest[:, 0])
        if end >= 0 and bool(ended.all()):  # waits for the device, where anything can end
            break
    return torch.cat(written, dim=1)


def search(
    decoder: Any, state: Any, prompt: Tensor, *, beam: int, length: int, end: int, length_penalty: float
) -> Tensor:
    """Return the likeliest symbols found after each prompt (B, P): (B, at most length), int64.

    state: of B * beam rows, the beams of a row beside each other. Of all ways to go on from the `beam` best beginnings
    the `beam` best are kept, those that have ended among them; the best are those of the highest log p / lp(length),
    arXiv:1609.08144, Eq. 14. A beam of 1 takes the likeliest symbol each time.
    """
    rows, beams = len(prompt), Beams(prompt, beam, end, length_penalty)
    newest = prompt.repeat_interleave(beam, dim=0)
    written = newest[:, :0]
    for _ in range(length):
        parents, newest = beams.extend(decoder(newest, state)[:, -1].float().log_softmax(1))
        state.choose(parents)
        written = torch.cat([written[parents], newest], dim=1)
        if beams.settled(prompt.shape[1] + length):
            break
    best = torch.arange(rows, device=prompt.device) * beam + beams.scores().argmax(1)
    return written[best]


class Beams:
    """Keep the best beginnings of each row: how likely, how long, and whether they have ended, (B, beam) each."""

    def __init__(self, prompt: Tensor, beam: int, end: int, length_penalty: float) -> None:
        shape, device = (len(prompt), beam), prompt.device
        self.end, self.length_penalty = end, length_penalty
        self.totals = torch.full(shape, -math.inf, device=device)  # log p
        self.totals[:, 0] = 0.0  # at first there is one beginning only
        self.lengths = torch.full(shape, prompt.shape[1], device=device)
        self.ended = torch.zeros(shape, dtype=torch.bool, device=device)

    def extend(self, chances: Tensor) -> tuple[Tensor, Tensor]:
        """Go on by one symbol, given log p (B * beam, V): return which rows went on (B * beam,), and by what (.., 1).

        What has ended goes on by its end symbol, at no cost.
        """
        rows, beam = self.totals.shape
        free = torch.full_like(chances[0], -math.inf)
        free[self.end] = 0.0
        chances = torch.where(self.ended[..., None], free, chances.unflatten(0, (rows, beam)))
        totals = (self.totals[..., None] + chances).flatten(1)
        lengths = self.lengths + (~self.ended).long()
        ranks = totals / self._penalty(lengths).repeat_interleave(chances.shape[-1], dim=1)
        best = ranks.topk(beam, dim=1).indices
        parents, symbols = best // chances.shape[-1], best % chances.shape[-1]
        self.totals, self.lengths = totals.gather(1, best), lengths.gather(1, parents)
        self.ended = self.ended.gather(1, parents) | (symbols == self.end)
        first = torch.arange(rows, device=best.device)[:, None] * beam
        return (first + parents).flatten(), symbols.reshape(-1, 1)

    def scores(self) -> Tensor:
        """Return log p / lp(length)."""
        return self.totals / self._penalty(self.lengths)

    def settled(self, longest: int) -> bool:
        """Tell whether none that goes on can still become the best, however it ends: waits for the device."""
        most = self.totals / self._penalty(torch.full_like(self.lengths, longest))  # nothing gets likelier
        going = most.masked_fill(self.ended, -math.inf).amax(1)
        best = self.scores().masked_fill(~self.ended, -math.inf).amax(1)
        return bool((self.ended.all(1) | (best > going)).all())

    def _penalty(self, lengths: Tensor) -> Tensor:
        """Return lp(Y) = ((5 + |Y|) / 6)^alpha."""
        return ((5 + lengths.float()) / 6) ** self.length_penalty
