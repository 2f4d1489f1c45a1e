"""Data that are cut into shards are shuffled by shard and within a window, by slots that any number of ranks share."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from packs import node

from aigc_cli.data import DATASETS, placing, shards, windows
from aigc_cli.data.pack import Pack, open_data
from aigc_cli.data.source import Contents, Reader, Split, digest, image_spec, pair_spec
from aigc_cli.data.tensor_data import TensorData
from aigc_cli.data.windows import WindowedOrder
from aigc_cli.distributed import Ranks
from aigc_cli.errors import DataError

CPU = torch.device("cpu")
COUNT, PER_SHARD, BATCH = 3000, 100, 16
WAYS = [(1, 4), (2, 2), (4, 1)]  # ranks, micro-batches of each


class Numbers:
    """A source for tests: sample i holds i as two bytes, and is labelled i % 7 or comes from its complement."""

    name: ClassVar[str] = "numbers"
    parallel: ClassVar[bool] = False

    def __init__(self, *, count: int, paired: bool) -> None:
        self.count, self.paired = count, paired

    def fingerprint(self) -> str:
        return digest(self.name, {"count": self.count, "paired": self.paired})

    def spec(self) -> dict[str, Any]:
        spec = pair_spec(1, 1, 4) if self.paired else image_spec(1, 4, map(str, range(7)))
        return spec | {"shape": [1, 1, 2]} | ({"source": spec["source"] | {"shape": [2, 1, 2]}} if self.paired else {})

    def contents(self) -> Contents:
        labels = None if self.paired else np.arange(self.count) % 7
        none = None if self.paired else np.zeros(0, np.int64)
        return Contents({"train": Split(range(self.count), labels), "test": Split(range(0), none)})

    def reader(self, split: str) -> Reader:
        return self.read

    def read(self, index: int) -> Any:
        stored = np.array([index % 256, index // 256], np.uint8).reshape(1, 1, 2)
        return (stored, 255 - np.concatenate([stored, stored])) if self.paired else stored


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Let shards, runs and windows be small, and memory hold nothing."""
    monkeypatch.setitem(DATASETS, "numbers", "test_windows:Numbers")
    for module, name, value in (
        (shards, "LARGE", 100), (shards, "SHARD_BYTES", 2 * PER_SHARD), (placing, "SHARE_OF_MEMORY", 0),
        (windows, "RUN_BYTES", 10), (windows, "WINDOW_BYTES", 400), (windows, "FEWEST_RUNS", 6), (windows, "GROUP", 3),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)


def numbers(cache: Path, count: int = COUNT, *, paired: bool = False) -> Pack:
    return open_data(node("numbers", cache, count=count, paired=paired))


def served(
    pack: Pack, world: int = 1, accumulate: int = 4, *, seed: int = 3, batch_size: int = BATCH
) -> list[TensorData]:
    """Return the data of each rank."""
    return [
        TensorData(pack, batch_size=batch_size, seed=seed, device=CPU, ranks=Ranks(rank, world, rank, world),
                   accumulate=accumulate)
        for rank in range(world)
    ]  # fmt: skip


def values(data: list[TensorData], step: int) -> list[int]:
    """Return the numbers of a step's samples, over all ranks; their labels or sources must be theirs."""
    found = []
    for each in data:
        batch = each.batch(step)
        first, second = batch.x.reshape(-1, 2).long().unbind(1)
        index = first + 256 * second
        assert batch.condition is not None
        if batch.condition.dim() == 1:
            assert torch.equal(batch.condition, index % 7)
        else:
            assert torch.equal(batch.condition, 255 - torch.cat([batch.x, batch.x], 1))
        found += index.tolist()
    return found


def epoch_of(data: list[TensorData], epoch: int = 0) -> list[int]:
    each = data[0].batches_per_epoch
    return [value for step in range(epoch * each, (epoch + 1) * each) for value in values(data, step)]


@pytest.mark.parametrize("paired", [False, True])
def test_equal_samples_are_in_equal_micro_batches(cache, paired):
    pack = numbers(cache, paired=paired)
    ranks = [served(pack, *way) for way in WAYS]
    each = ranks[0][0].batches_per_epoch
    for step in [*range(12), each - 1, each, 5 * each + 7]:
        first, *others = [values(data, step) for data in ranks]
        assert others == [first, first]


@pytest.mark.parametrize("count", [3000, 2999, 1601, 150, 101])
@pytest.mark.parametrize("way", [(1, 1), (4, 1), (1, 16)])
def test_an_epoch_shows_every_sample_once_but_for_less_than_a_batch(cache, count, way):
    data = served(numbers(cache, count), *way)
    for epoch in (0, 3):
        shown = epoch_of(data, epoch)
        assert len(set(shown)) == len(shown) == count // BATCH * BATCH
        assert set(shown) <= set(range(count))


def test_what_is_left_out_differs_from_epoch_to_epoch(cache):
    data = served(numbers(cache, 2999))
    assert {value for epoch in range(6) for value in epoch_of(data, epoch)} == set(range(2999))


@pytest.mark.parametrize("way", WAYS)
def test_any_step_is_found_without_what_came_before_it(cache, way):
    pack = numbers(cache)
    walked = served(pack, *way)
    each = walked[0].batches_per_epoch
    for step in [0, 1, 2, 90, 3, each - 1, each, 7 * each + 5, 0, 7 * each + 6]:
        assert values(walked, step) == values(served(pack, *way), step)


def test_data_in_memory_are_served_alike(cache, monkeypatch):
    pack = numbers(cache)
    streamed = served(pack)
    monkeypatch.setattr(placing, "SHARE_OF_MEMORY", 1)
    held = served(pack)
    assert [len(data[0].samples) for data in (streamed, held)] == [0, COUNT]
    for step in (0, 1, 2, 50, 200, 201):
        assert values(held, step) == values(streamed, step)


def test_orders_differ_between_epochs_and_seeds_and_are_mixed(cache):
    pack = numbers(cache)
    orders = [epoch_of(served(pack, seed=seed), epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4
    for order in orders:
        assert abs(np.corrcoef(order, np.arange(len(order)))[0, 1]) < 0.2
        steps = np.abs(np.diff(order))
        assert np.mean(steps == 1) < 0.1, "neighbours on the disk are seldom neighbours in a batch"
        shards_of_a_batch = [
            len({value // PER_SHARD for value in order[at : at + BATCH]}) for at in range(0, 2000, BATCH)
        ]
        assert np.mean(shards_of_a_batch) > 5, "of the 30 shards"


def test_a_rank_reads_only_its_own_shards(cache, monkeypatch):
    pack, keep, of_ranks = numbers(cache), shards.Shards.read, []

    def read(self, shard: int, *rest):
        of_ranks[-1].add(shard)
        keep(self, shard, *rest)

    monkeypatch.setattr(shards.Shards, "read", read)
    for data in served(pack, 4, 1):
        of_ranks.append(set())
        for step in range(data.batches_per_epoch - 20):  # the last window reads ahead into the next epoch
            data.batch(step)
        assert data._slots
        data._slots._slots[0]._ahead.wait()
    assert all(len(mine) <= 30 / 4 + 2 for mine in of_ranks)
    assert sum(map(len, of_ranks)) <= 30 + 3, "but for those that lie at an end of a rank's part"


def test_memory_does_not_grow_with_the_data(cache):
    sizes = []
    for count in (1000, 10_000):
        slots = served(numbers(cache, count))[0]._slots
        assert slots
        sizes.append([array.nbytes for slot in slots._slots for arrays in slot._buffers for array in arrays])
    assert sizes[0] == sizes[1]
    assert len(sizes[0]) == 4 * 2


def test_a_batch_may_be_larger_than_a_window(cache):
    data = served(numbers(cache), accumulate=1, batch_size=1024)
    shown = epoch_of(data)
    assert len(set(shown)) == 2 * 1024


def test_a_batch_stays_until_the_next_but_one(cache):
    (data,) = served(numbers(cache))
    for step in range(60):
        batch = data.batch(step)
        kept = batch.x.clone()
        data.batch(step + 1)
        assert torch.equal(batch.x, kept)


def test_a_shard_that_is_cut_off_while_training_is_told(cache):
    pack = numbers(cache)
    (data,) = served(pack)
    for path in pack.path.glob("train-*.samples"):
        path.write_bytes(b"")
    for _ in range(2):  # whoever goes on after an error is told again
        with pytest.raises(DataError, match=r"data\.cache: 'train-000..\.samples' was cut off"):
            epoch_of([data])


def test_a_jump_costs_as_little_as_a_step():
    lengths = [20_000] * 50_000  # a thousand million samples
    order = WindowedOrder(lengths, 20_000, 12_288, slots=8, share=16, seed=0)
    window = order.window_of(3, 7, order.windows - 1)
    assert len(window.rows) <= order.window
    assert int(window.rows.max()) < sum(lengths)


@pytest.mark.parametrize("row_bytes", [16, 3072, 200_000, 3_000_000])
@pytest.mark.parametrize("slots", [1, 8])
def test_a_window_is_bounded_however_large_a_sample_is(monkeypatch, row_bytes, slots):
    monkeypatch.undo()
    order = WindowedOrder([1000] * 100, 1000, row_bytes, slots=slots, share=4, seed=0)
    least = windows.FEWEST_RUNS * max(windows.RUN_BYTES, row_bytes)
    assert order.window * row_bytes <= max(least, windows.WINDOW_BYTES // slots)
