"""A batch is a pure function of the seed and the step, and every epoch shows every sample once."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packs import folder_node, glyphs_node, node, write_pictures

from aigc_cli.data import DATASETS, placing
from aigc_cli.data.pack import open_data
from aigc_cli.data.tensor_data import TensorData
from aigc_cli.errors import ConfigError, DataError

CPU = torch.device("cpu")
COUNT = 50


@pytest.fixture(scope="module")
def dots(tmp_path_factory):
    """Return a pack of which sample i is full of i and has the label i % 3."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DATASETS, "dots", "packs:Dots")
        return open_data(node("dots", tmp_path_factory.mktemp("cache"), count=COUNT, faults=None))


def data(pack, *, batch_size=8, seed=0, **more) -> TensorData:
    return TensorData(pack, batch_size=batch_size, seed=seed, device=CPU, **more)


def order(served: TensorData, epoch: int = 0) -> list[int]:
    """Return which samples an epoch shows, in their order."""
    first = epoch * served.batches_per_epoch
    steps = range(first, first + served.batches_per_epoch)
    return [int(value) for step in steps for value in served.batch(step).x[:, 0, 0, 0]]


def test_shapes_dtypes_labels_and_the_step(dots):
    batch = data(dots).batch(123)
    assert batch.x.shape == (8, 1, 4, 4)
    assert batch.x.dtype == torch.uint8
    assert batch.condition is not None
    assert batch.condition.dtype == torch.int64
    assert torch.equal(batch.condition, batch.x[:, 0, 0, 0].long() % 3)
    assert (batch.step.dtype, batch.step.ndim, int(batch.step)) == (torch.int64, 0, 123)


def test_length_spec_and_batches_of_an_epoch(dots):
    served = data(dots)
    assert (len(served), served.batches_per_epoch) == (COUNT, COUNT // 8)
    assert served.spec == dots.spec
    assert served.spec.classes == 3


@pytest.mark.parametrize("batch_size", [1, 5, 10, 50])
@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_every_epoch_shows_every_sample_once(dots, batch_size, epoch):
    assert sorted(order(data(dots, batch_size=batch_size), epoch)) == list(range(COUNT))


def test_the_short_last_batch_is_left_out_and_differs_from_epoch_to_epoch(dots):
    served = data(dots, batch_size=8)
    shown = [order(served, epoch) for epoch in range(20)]
    assert all(len(set(each)) == 48 for each in shown)
    assert {value for each in shown for value in each} == set(range(COUNT))


def test_order_differs_between_epochs_and_seeds(dots):
    orders = [order(data(dots, seed=seed, batch_size=10), epoch) for seed in (0, 1, 2**63 - 1) for epoch in (0, 1, 2)]
    assert len({tuple(each) for each in orders}) == 9
    assert tuple(range(COUNT)) not in {tuple(each) for each in orders}


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**63 - 1), steps=st.lists(st.integers(0, 10**6), min_size=1, max_size=4))
def test_a_batch_depends_on_the_seed_and_the_step_alone(dots, seed, steps):
    walked = data(dots, seed=seed, augment=())
    torch.manual_seed(len(steps))
    for step in steps:  # in any order, whatever was asked for before
        batch, fresh = walked.batch(step), data(dots, seed=seed).batch(step)
        assert torch.equal(batch.x, fresh.x)
        assert torch.equal(batch.condition, fresh.condition)


def test_augmented_batches_are_pure_too_and_leave_the_default_generator_alone(dots):
    names = ["flip", "crop", "rotate", "scale", "colour"]
    state = torch.get_rng_state()
    walked = data(dots, augment=names)
    for step in range(9):
        last = walked.batch(step).x.clone()
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    assert torch.equal(data(dots, augment=names).batch(8).x, last)


def test_a_batch_stays_until_the_next_but_one(dots):
    served = data(dots)
    first = served.batch(0)
    as_it_was = first.x.clone()
    second = served.batch(1)
    assert torch.equal(first.x, as_it_was)
    assert not torch.equal(first.x, second.x)
    served.batch(2)  # takes the first one's memory: it is not allocated anew
    assert not torch.equal(first.x, as_it_was)


def test_samples_larger_than_memory_are_served_from_the_disk_alike(dots, monkeypatch):
    expected = [data(dots).batch(step).x.clone() for step in range(8)]
    monkeypatch.setattr(placing, "memory", lambda: 100)
    served = data(dots)
    assert [torch.equal(served.batch(step).x, expected[step]) for step in range(8)] == [True] * 8


@pytest.mark.parametrize(("batch_size", "fitting"), [(51, 32), (1000, 32)])
def test_fewer_samples_than_a_batch_are_an_error_that_names_batch_size(dots, batch_size, fitting):
    with pytest.raises(DataError) as caught:
        data(dots, batch_size=batch_size)
    assert str(caught.value) == (
        f"batch_size: given {batch_size}, but the train split has 50 samples. "
        f"Type batch_size={fitting}, or give it more data."
    )


def test_a_batch_of_all_samples_is_allowed(dots):
    assert data(dots, batch_size=COUNT).batches_per_epoch == 1


def test_an_empty_split_is_a_data_error(dots):
    with pytest.raises(DataError, match="the test split has 0 samples"):
        data(dots, split="test")


def test_the_test_split_is_served_where_there_is_one(tmp_path):
    served = data(open_data(glyphs_node(tmp_path)), split="test", batch_size=10)
    batch = served.batch(0)
    assert len(served) == 10
    assert batch.condition is not None
    assert sorted(batch.condition.tolist()) == list(range(10))


def test_data_without_labels_have_no_condition(tmp_path):
    write_pictures(tmp_path / "photos", 20)
    served = data(open_data(folder_node(tmp_path / "photos", tmp_path / "cache")), batch_size=4)
    assert served.batch(0).condition is None


def test_an_unknown_augmentation_is_named_with_what_may_have_been_meant(dots):
    with pytest.raises(ConfigError, match=r"data\.augment: no 'flop' among the augments\. Did you mean 'flip'\?"):
        data(dots, augment=["flop"])
    with pytest.raises(ConfigError, match="flip is there twice"):
        data(dots, augment=["flip", "flip"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("share", [0.5, 0.0], ids=["on the GPU", "on the host"])
def test_the_gpu_is_served_the_same_samples(dots, monkeypatch, share):
    monkeypatch.setattr(placing, "SHARE_OF_GPU", share)
    here, there = data(dots), TensorData(dots, batch_size=8, seed=0, device=torch.device("cuda", 0))
    batches = [there.batch(step) for step in range(2)]
    for step, batch in enumerate(batches):
        assert batch.x.device.type == "cuda"
        assert torch.equal(batch.x.cpu(), here.batch(step).x)
