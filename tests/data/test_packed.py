"""A pack that was made before is opened where it lies: in a folder, or at a URL, whose files are fetched as needed."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from packs import node

from aigc_cli.cli import main
from aigc_cli.data import placing, remote, shards, windows
from aigc_cli.data.pack import Pack, open_data
from aigc_cli.data.tensor_data import TensorData
from aigc_cli.errors import DataError

fsspec = pytest.importorskip("fsspec", reason="the extra 'remote' is not installed")

PER_SHARD = 50


@pytest.fixture
def pack(tmp_path, dots, monkeypatch) -> Pack:
    """Return a pack of 500 samples of 16 bytes in 10 shards."""
    for module, name, value in (
        (shards, "LARGE", 100), (shards, "SHARD_BYTES", 16 * PER_SHARD), (placing, "SHARE_OF_MEMORY", 0),
        (windows, "RUN_BYTES", 64), (windows, "WINDOW_BYTES", 640), (windows, "FEWEST_RUNS", 10), (windows, "GROUP", 2),
        (remote, "IN_USE", 0.0),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)
    return open_data(dots(tmp_path / "made", count=500, faults=None))


@pytest.fixture
def bucket(pack):
    """Return the URL of a copy of the pack that lies in no folder."""
    system = fsspec.filesystem("memory")
    for path in pack.path.iterdir():
        system.pipe(f"/bucket/pack/{path.name}", path.read_bytes())
    yield "memory://bucket/pack"
    system.rm("/bucket", recursive=True)


def opened(root: object, cache: Path, room: float = 1.0) -> Pack:
    return open_data(node("packed", cache, root=str(root), room=room))


def batches(pack: Pack, count: int = 40) -> torch.Tensor:
    data = TensorData(pack, batch_size=16, seed=0, device=torch.device("cpu"))
    return torch.stack([data.batch(step).x.clone() for step in range(count)])


def fetched(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.glob("remote-*/*/[!.]*.samples"))


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_a_folder_and_a_url_serve_the_same(pack, cache, prefix):
    other = opened(f"{prefix}{pack.path}/", cache)
    assert (other.fingerprint, other.counts, other.per_shard) == (pack.fingerprint, pack.counts, pack.per_shard)
    assert torch.equal(batches(other), batches(pack))
    for one, another in zip(other.split("train"), pack.split("train"), strict=True):
        assert one is not None
        assert another is not None
        assert np.array_equal(one[:], another[:])
    assert other.rejections() == pack.rejections()
    assert other.damage() == []
    assert (fetched(cache) == []) == (prefix == "")


def test_shards_are_fetched_when_they_are_needed(bucket, cache, pack):
    other = opened(bucket, cache)
    assert fetched(cache) == []
    assert int(other.split("train")[0][3 * PER_SHARD][0, 0, 0]) == 150
    assert fetched(cache) == ["train-00003.samples"]
    again = opened(bucket, cache)
    fsspec.filesystem("memory").rm("/bucket/pack/train-00003.samples")
    assert int(again.split("train")[0][3 * PER_SHARD][0, 0, 0]) == 150, "it is not fetched twice"
    assert not list(cache.glob("remote-*/*/.packing-*"))


def test_the_next_shards_are_fetched_meanwhile(bucket, cache):
    data = TensorData(opened(bucket, cache), batch_size=16, seed=0, device=torch.device("cpu"))
    data.batch(0)
    until = time.time() + 20
    while len(fetched(cache)) < 4 and time.time() < until:  # two groups of two
        time.sleep(0.01)
    assert len(fetched(cache)) >= 4


def test_no_more_is_kept_than_there_is_room_for(bucket, cache, pack):
    small = 3 * PER_SHARD * 16
    other = opened(bucket, cache, room=small / 1e9)
    samples = other.split("train")[0]
    for start in range(0, 500, PER_SHARD):
        samples[start]
    assert fetched(cache) == [f"train-{number:05d}.samples" for number in (7, 8, 9)], "the last ones used"
    assert torch.equal(batches(other, 60), batches(pack, 60))


@pytest.mark.parametrize("change", ["flipped", "short"])
def test_a_file_that_is_not_what_its_checksum_says_is_refused(bucket, cache, change):
    system = fsspec.filesystem("memory")
    data = system.cat_file("/bucket/pack/train-00002.samples")
    system.pipe("/bucket/pack/train-00002.samples", data[:-1] + (b"" if change == "short" else b"x"))
    samples = opened(bucket, cache).split("train")[0]
    with pytest.raises(DataError) as caught:
        samples[:]
    assert str(caught.value) == (
        f"data.root: '{bucket}/train-00002.samples' is not what its checksum says. Copy the pack there once more."
    )
    assert "train-00002.samples" not in fetched(cache)
    assert not list(cache.glob("remote-*/*/.packing-*"))


def test_a_file_that_was_cut_off_in_the_cache_is_fetched_again(bucket, cache):
    samples = opened(bucket, cache).split("train")[0]
    samples[0]
    (path,) = cache.glob("remote-*/*/train-00000.samples")
    os.truncate(path, 5)
    assert int(opened(bucket, cache).split("train")[0][49][0, 0, 0]) == 49


def test_what_fails_while_training_is_one_line_that_names_the_url(bucket, cache):
    other = opened(bucket, cache)
    system = fsspec.filesystem("memory")
    for path in system.glob("/bucket/pack/train-*"):
        system.rm(path)
    with pytest.raises(
        DataError, match=r"^data\.root: cannot read 'memory://bucket/pack/train-0000\d\.samples' \(.*\)\."
    ):
        batches(other)


@pytest.mark.parametrize(
    ("root", "said"),
    [
        ("nowhere", "data.root: cannot read 'nowhere/meta.json' (No such file or directory). Type data.root="),
        ("memory://nowhere", "data.root: cannot read 'memory://nowhere/meta.json' ("),
        (
            "strange://bucket/pack",
            "data.root: 'strange://bucket/pack' is no URL that is read. Type a folder, or one URL",
        ),
    ],
)
def test_what_is_no_pack_is_one_line(tmp_path, cache, monkeypatch, root, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        opened(root, cache)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("meta", ["", "[]", "{}", '{"format": 1, "files": {}}'])
def test_another_meta_is_one_line(pack, cache, meta):
    (pack.path / "meta.json").write_text(meta)
    with pytest.raises(DataError, match=r"meta\.json' is of no pack: .*\. Type data\.root="):
        opened(pack.path, cache)


def test_a_newer_pack_and_a_damaged_one_are_told(pack, cache):
    meta = (pack.path / "meta.json").read_text()
    (pack.path / "meta.json").write_text(meta.replace('"format": 2', '"format": 9'))
    with pytest.raises(DataError, match="was packed by a newer aigc"):
        opened(pack.path, cache)
    (pack.path / "meta.json").write_text(meta)
    os.truncate(pack.path / "train-00001.samples", 3)
    with pytest.raises(DataError, match=r"is damaged \(train-00001\.samples\)\. Copy it once more"):
        opened(pack.path, cache)


def test_without_fsspec_a_folder_is_read_and_a_url_names_the_extra(pack, cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    assert opened(pack.path, cache).counts == pack.counts
    with pytest.raises(DataError) as caught:
        opened("s3://bucket/pack", cache)
    assert str(caught.value) == (
        "data.root: 's3://bucket/pack' is read by the fsspec library. Type pip install 'aigc[remote]', or a folder."
    )


def test_a_run_trains_samples_and_is_measured_on_a_pack_from_elsewhere(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "pack", "data=glyphs", "data.count=300", "data.cache=made", "data.workers=0"]) == 0
    (made,) = Path("made").glob("glyphs-*")
    shutil.copytree(made, "elsewhere/pack")
    shutil.rmtree("made")
    url = f"file://{tmp_path}/elsewhere/pack"
    words = ["data=packed", f"data.root={url}", "data.cache=cache"]
    small = [
        "model=vae",
        "steps=2",
        "batch_size=8",
        "preview.n=4",
        "device=cpu",
        "name=run",
        "preview.tensorboard=false",
    ]
    assert main(["data", "check", *words, "n=4"]) == 0
    assert main(["train", *small, *words]) == 0
    measure = ["evaluate", "ckpt=outputs/run", "metrics=[frechet]", "features=pixels", "n=10", "device=cpu"]
    shutil.rmtree("outputs/run/evaluation", ignore_errors=True)
    capsys.readouterr()
    assert main(measure) == 2, "the file may be a stranger's"
    assert capsys.readouterr().err == (
        f"aigc: data.root: '{url}' stands in the checkpoint, and no URL is fetched unasked. "
        "Type data.root= and that URL where you trust it, or a folder with the data.\n"
    )
    assert main([*measure, f"data.root={url}"]) == 0
    assert list(Path("cache").glob("packed-*.evaluation")), "the cache that it was trained from"
    shutil.rmtree("cache")
    assert main([*measure, "data.root=elsewhere/pack", "data.cache=cache"]) == 0
    assert list(Path("cache").glob("packed-*.evaluation"))
    assert os.listdir("elsewhere") == ["pack"], "which may be a share that cannot be written to"
    assert main(["train", *small, "data=packed", "data.root=gone", "data.cache=cache", "name=other"]) == 2
    assert "data.root: cannot read 'gone/meta.json'" in capsys.readouterr().err
