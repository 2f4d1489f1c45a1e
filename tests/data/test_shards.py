"""A large pack is cut into files of bounded size, which read as one."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from packs import folder_node, write_pictures

from aigc_cli.data import shards
from aigc_cli.data.pack import Pack, open_data
from aigc_cli.data.shards import Shards

PER_SHARD = 16  # samples of 16 bytes


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(shards, "LARGE", 100)
    monkeypatch.setattr(shards, "SHARD_BYTES", 16 * PER_SHARD)


@pytest.fixture
def pack(cache, dots) -> Pack:
    return open_data(dots(cache, count=250, faults={"0": "bad", "40": "bad", "199": "bad"}, max_bad=0.5))


KEPT = np.array([index for index in range(250) if index not in (0, 40, 199)], np.uint8)


def test_a_large_pack_is_many_files_of_bounded_size(pack):
    names = sorted(os.listdir(pack.path))
    numbered = [f"train-{number:05d}.samples" for number in range(16)]
    assert names == ["meta.json", "rejected.jsonl", "test.labels", "test.samples", *numbered, "train.labels"]
    sizes = [(pack.path / name).stat().st_size for name in numbered]
    assert sizes == [16 * PER_SHARD] * 15 + [16 * 7]
    meta = json.loads((pack.path / "meta.json").read_text())
    assert (meta["format"], meta["per_shard"]) == (2, PER_SHARD)
    assert set(meta["files"]) == set(names) - {"meta.json", "rejected.jsonl"}


def test_it_reads_as_one_array(pack):
    samples, labels = pack.split("train")
    whole = np.broadcast_to(KEPT[:, None, None, None], (247, 1, 4, 4))
    assert isinstance(samples, Shards)
    assert (len(samples), samples.shape, samples.dtype) == (247, whole.shape, whole.dtype)
    assert (samples.size, samples.nbytes, samples.ndim) == (whole.size, whole.size, 4)
    assert np.array_equal(labels, np.delete(np.arange(250), [0, 40, 199]) % 3)
    some = np.random.default_rng(0).permutation(247)[:100]
    for index in (0, -1, 15, 16, slice(None), slice(10, 40), slice(240, 999), slice(200, 5, -7), some, some.tolist(),
                  some.reshape(10, 10), whole[:, 0, 0, 0] > 100, np.zeros(0, np.int64)):  # fmt: skip
        assert np.array_equal(samples[index], whole[index])
    assert [int(row[0, 0, 0]) for row in samples] == KEPT.tolist()
    for beyond in (247, -248, [3, 247]):
        with pytest.raises(IndexError):
            samples[beyond]


def test_a_copy_may_be_written_and_the_disk_stays(pack):
    samples, _ = pack.split("train")
    samples[3:50][:] = 7
    assert int(samples[3].max()) == KEPT[3]
    assert pack.damage() == []


def test_shards_are_opened_as_they_are_needed_and_few_at_a_time(pack, monkeypatch):
    monkeypatch.setattr(shards, "OPEN", 3)
    samples, _ = pack.split("train")
    for number in range(5, 16):
        (pack.path / f"train-{number:05d}.samples").unlink()
    assert len(samples[: 5 * PER_SHARD]) == 5 * PER_SHARD
    assert isinstance(samples, Shards)
    assert len(samples._mapped) == 3
    with pytest.raises(FileNotFoundError):
        samples[-1]


@pytest.mark.parametrize("damage", ["truncated", "absent"])
def test_a_damaged_shard_is_packed_again(cache, dots, capsys, damage):
    settings = {"count": 250, "faults": None}
    path = open_data(dots(cache, **settings)).path
    shard = path / "train-00003.samples"
    whole = shard.read_bytes()
    if damage == "absent":
        shard.unlink()
    else:
        os.truncate(shard, 3)
    assert open_data(dots(cache, **settings)).fresh
    assert shard.read_bytes() == whole
    assert "is damaged (train-00003.samples): packing again." in capsys.readouterr().err
    assert not open_data(dots(cache, **settings)).fresh


def test_a_flipped_byte_of_a_shard_is_found(pack):
    shard = pack.path / "train-00002.samples"
    data = bytearray(shard.read_bytes())
    data[9] ^= 1
    shard.write_bytes(data)
    assert pack.damage() == ["train-00002.samples"]


def test_a_small_pack_is_what_it_always_was(cache, dots, monkeypatch):
    monkeypatch.setattr(shards, "LARGE", 16 * 250)
    small = open_data(dots(cache, count=250, faults=None))
    names = sorted(os.listdir(small.path))
    assert names == ["meta.json", "rejected.jsonl", "test.labels", "test.samples", "train.labels", "train.samples"]
    meta = json.loads((small.path / "meta.json").read_text())
    assert meta["format"] == 1
    assert "per_shard" not in meta
    assert isinstance(small.split("train")[0], np.memmap)


def test_worker_processes_write_the_same_shards(tmp_path, cache):
    write_pictures(tmp_path / "photos", 600, side=4)
    nodes = [folder_node(tmp_path / "photos", cache / str(n), workers=n, size=4) for n in (0, 2)]
    one, other = (open_data(each).path for each in nodes)
    names = sorted(os.listdir(one))
    assert len(names) > 100
    assert [(one / name).read_bytes() for name in names] == [(other / name).read_bytes() for name in names]
