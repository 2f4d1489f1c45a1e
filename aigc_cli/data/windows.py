"""The order of data that are cut into shards: by shard, and within a window. Which samples, not how they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from aigc_cli.randomness import mix

SHARDS, RUNS, ROWS = 2, 3, 4  # tell the draws of the order of shards, of runs and of a window's rows apart
GROUP = 8  # shards of a slot that are drawn from together
RUN_BYTES = 256 * 2**10  # read at one place: a disk's own read-ahead
WINDOW_BYTES = 32 * 2**20  # of the windows of all slots together, twice: one is read while the other is served
FEWEST_RUNS = 16  # of a window, however many slots there are


@dataclass(frozen=True)
class Window:
    """Say what lies in a window, and in which order it is served."""

    reads: Sequence[tuple[int, int, int]]  # shard, start, count
    rows: Tensor  # (n,) int64, by number in the whole split, in the order of `reads`
    order: Tensor  # (n,) int64, places in the window


class WindowedOrder:
    """Deal the samples of an epoch to slots, one for each micro-batch of a step over all ranks.

    The shards are shuffled, laid end to end and cut into as many equal lines as there are slots, so that a slot reads
    shards that no other does, but for those at the ends of its line. A line is cut into groups of GROUP shards, these
    into runs that lie together on the disk, which are shuffled; windows of shuffled runs are shuffled row by row. All
    of it is a function of seed, epoch and slot: any step is found without what came before it. Every sample is served
    once in an epoch at the most; what is left out, at the end of the last line, is less than a batch.
    """

    def __init__(
        self, lengths: Sequence[int], per_shard: int, row_bytes: int, *, slots: int, share: int, seed: int
    ) -> None:
        """lengths: rows to serve of each shard, which begins `per_shard` after the last; share: of a micro-batch."""
        self.seed, self.share, self.per_shard = seed, share, per_shard
        self.lengths = torch.tensor(lengths)
        self.batches_per_epoch = sum(lengths) // (slots * share)
        self.line = self.batches_per_epoch * share  # samples of a slot
        self.run = max(1, RUN_BYTES // row_bytes)
        self.window = self.run * max(FEWEST_RUNS, WINDOW_BYTES // (slots * self.run * row_bytes))
        self.windows = -(-self.line // self.window)  # of a slot in an epoch; the last is a shorter one
        self._group = -(-GROUP * per_shard // self.window) * self.window
        self._dealt = (-1, torch.empty(0), torch.empty(0))

    def window_of(self, epoch: int, slot: int, number: int) -> Window:
        """Return a window of a slot, of which the samples are `window` times the number and on."""
        first = number * self.window // self._group * self._group  # of the group, in the line
        size = min(self._group, self.line - first)
        runs = torch.randperm(-(-size // self.run), generator=self._generator(epoch, RUNS, slot, first))
        counts = (size - runs * self.run).clamp(max=self.run)
        ends = counts.cumsum(0)
        begin, end = number * self.window - first, min((number + 1) * self.window - first, size)
        low, high = (int(place) for place in torch.searchsorted(ends, torch.tensor([begin, end - 1]), right=True))
        reads = []
        for run in range(low, high + 1):
            before = int(ends[run] - counts[run])
            skipped, stop = max(begin - before, 0), min(end - before, int(counts[run]))
            reads += self._pieces(epoch, slot * self.line + first + int(runs[run]) * self.run + skipped, stop - skipped)
        reads.sort()
        rows = torch.cat([torch.arange(count) + shard * self.per_shard + start for shard, start, count in reads])
        return Window(reads, rows, torch.randperm(len(rows), generator=self._generator(epoch, ROWS, slot, number)))

    def following(self, epoch: int, slot: int, number: int) -> list[int]:
        """Return the shards of the group after a window's; none but where the window is the first of its group."""
        if number * self.window % self._group:
            return []
        first = number * self.window + self._group
        if first >= self.line:
            epoch, first = epoch + 1, 0
        start, size = slot * self.line + first, min(self._group, self.line - first)
        return [shard for shard, *_ in self._pieces(epoch, start, size)]

    def _pieces(self, epoch: int, start: int, count: int) -> list[tuple[int, int, int]]:
        """Find a stretch of the shuffled shards, laid end to end: (shard, start, count) of each that it touches."""
        dealt, shards, ends = self._dealt  # read at once: slots ask from threads
        if dealt != epoch:
            shards = torch.randperm(len(self.lengths), generator=self._generator(epoch, SHARDS))
            ends = self.lengths[shards].cumsum(0)
            self._dealt = epoch, shards, ends
        pieces, place = [], int(torch.searchsorted(ends, start, right=True))
        while count:
            shard = int(shards[place])
            begin = start - int(ends[place] - self.lengths[shard])
            some = min(count, int(self.lengths[shard]) - begin)
            if some:  # running text that moves may leave nothing of a last shard
                pieces.append((shard, begin, some))
            start, count, place = start + some, count - some, place + 1
        return pieces

    def _generator(self, epoch: int, *keys: int) -> torch.Generator:
        return torch.Generator().manual_seed(mix(self.seed, epoch, *keys))
