"""Ranks share a batch: together they are served what one process is, micro-batch by micro-batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from packs import node

from aigc_cli.data import DATASETS, placing
from aigc_cli.data.pack import Pack, open_data
from aigc_cli.data.tensor_data import TensorData
from aigc_cli.distributed import Ranks
from aigc_cli.errors import ConfigError

CPU = torch.device("cpu")
WAYS = [(1, 4), (2, 2), (4, 1)]  # ranks, micro-batches of each


@pytest.fixture(scope="module")
def dots(tmp_path_factory) -> Pack:
    """Return a pack of which sample i is full of i and has the label i % 3."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DATASETS, "dots", "packs:Dots")
        return open_data(node("dots", tmp_path_factory.mktemp("cache"), count=50, faults=None))


def micro_batches(pack: Pack, step: int, world: int, accumulate: int, **more) -> list[list[int]]:
    """Return the first values of all ranks' micro-batches of a step."""
    parts = []
    for rank in range(world):
        data = TensorData(
            pack,
            batch_size=16,
            seed=3,
            device=CPU,
            ranks=Ranks(rank, world, rank, world),
            accumulate=accumulate,
            **more,
        )
        batch = data.batch(step)
        assert batch.condition is not None
        assert torch.equal(batch.condition, batch.x[:, 0, 0, 0].long() % 3)
        parts += [chunk[:, 0, 0, 0].tolist() for chunk in batch.x.chunk(accumulate)]
    return parts


@pytest.mark.parametrize("augment", [(), ("crop",)])
@pytest.mark.parametrize("step", [0, 1, 2, 3, 1000])
def test_equal_samples_are_in_equal_micro_batches(dots, step, augment):
    first, *others = [micro_batches(dots, step, *way, augment=augment) for way in WAYS]
    assert [len(part) for part in first] == [4] * 4
    assert others == [first, first]


def test_memory_is_shared_by_the_processes_of_a_machine(dots, monkeypatch):
    monkeypatch.setattr(placing, "memory", lambda: 5 * 50 * 16)  # of which a quarter holds all samples, once
    mapped = dots.split("train")[0]
    (alone,), (both,) = (placing.placed([mapped], CPU, Ranks(0, n, 0, n)) or [] for n in (1, 2))
    assert not np.shares_memory(alone.numpy(), mapped)
    assert np.shares_memory(both.numpy(), mapped)


@pytest.mark.parametrize(
    ("world", "accumulate", "said"),
    [
        (1, 3, "trainer.accumulate: 3 does not divide batch_size=16. Type batch_size=15."),
        (3, 1, "batch_size: 3 processes cannot share 16 samples equally. Type batch_size=15."),
        (4, 3, "batch_size: 4 processes of 3 micro-batches (trainer.accumulate) cannot share 16 samples equally. "
               "Type batch_size=12."),
        (40, 1, "batch_size: 40 processes cannot share 16 samples equally. Type batch_size=40."),
    ],
)  # fmt: skip
def test_a_batch_that_cannot_be_shared_names_the_nearest_that_can(dots, world, accumulate, said):
    with pytest.raises(ConfigError) as caught:
        micro_batches(dots, 0, world, accumulate)
    assert str(caught.value) == said
