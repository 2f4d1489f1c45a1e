"""MNIST and Fashion-MNIST in idx files: plain or gzipped, wherever they lie, and never half read."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torchvision.datasets
from packs import node

from aigc_cli.data.idx import Mnist, read_idx
from aigc_cli.data.pack import open_data
from aigc_cli.errors import ConfigError, DataError

REAL = os.environ.get("AIGC_TEST_DATA")
COUNTS = {"train": 40, "t10k": 20}


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Let every download fail as one does without a network."""

    def offline(self, root, *arguments, **settings):
        raise URLError("Name or service not known")

    for name in ("MNIST", "FashionMNIST"):
        monkeypatch.setattr(torchvision.datasets, name, type(name, (), {"__init__": offline}))


def idx(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def pictures(prefix: str) -> np.ndarray:
    return np.random.default_rng(COUNTS[prefix]).integers(0, 256, (COUNTS[prefix], 28, 28), np.uint8)


def write_set(folder: Path, *, zipped: bool = False) -> dict[str, Path]:
    """Write the four files; labels take turns."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {f"{prefix}-images-idx3-ubyte": idx(pictures(prefix)) for prefix in COUNTS}
    contents |= {f"{p}-labels-idx1-ubyte": idx(np.arange(n, dtype=np.uint8) % 10) for p, n in COUNTS.items()}
    for name, content in contents.items():
        (folder / (f"{name}.gz" if zipped else name)).write_bytes(gzip.compress(content) if zipped else content)
    return {path.name.removesuffix(".gz"): path for path in folder.iterdir()}


def opened(tmp_path: Path, **settings):
    return open_data(node("mnist", tmp_path / "cache", **{"root": str(tmp_path / "data"), "size": 28, **settings}))


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("layout", ["MNIST/raw", "MNIST", "raw", "."])
def test_both_forms_and_all_layouts_are_read(tmp_path, layout, zipped):
    write_set(tmp_path / "data" / layout, zipped=zipped)
    pack = opened(tmp_path)
    assert pack.counts == {"train": 40, "test": 20}
    assert pack.about["classes"] == list("0123456789")
    for split, prefix in (("train", "train"), ("test", "t10k")):
        samples, labels = pack.split(split)
        assert np.array_equal(samples[:, 0], pictures(prefix))
        assert labels is not None
        assert (labels.dtype, labels.tolist()) == (np.int64, [i % 10 for i in range(COUNTS[prefix])])


def test_fashion_is_another_set_of_the_same_names(tmp_path):
    write_set(tmp_path / "data" / "MNIST" / "raw")
    write_set(tmp_path / "data" / "FashionMNIST" / "raw")
    settings = {"root": str(tmp_path / "data"), "size": 28}
    packs = [open_data(node(name, tmp_path / "cache", **settings)) for name in ("mnist", "fashion_mnist")]
    assert packs[0].path != packs[1].path
    assert packs[1].about["classes"][9] == "ankle boot"


@pytest.mark.parametrize(("size", "before"), [(28, 0), (29, 0), (32, 2), (64, 18)])
def test_larger_sizes_have_black_around(tmp_path, size, before):
    write_set(tmp_path / "data")
    samples, _ = opened(tmp_path, size=size).split("train")
    inner = slice(before, before + 28)
    assert samples.shape == (40, 1, size, size)
    assert np.array_equal(samples[:, 0, inner, inner], pictures("train"))
    assert samples.sum() == pictures("train").sum()


def test_smaller_sizes_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"data\.size: given 27, allowed: whole number >= 28 and <= 256"):
        opened(tmp_path, size=27)


def test_the_fingerprint_changes_with_the_files(tmp_path):
    files = write_set(tmp_path)
    before = Mnist(root=str(tmp_path), size=28).fingerprint()
    assert Mnist(root=str(tmp_path), size=28).fingerprint() == before
    assert Mnist(root=str(tmp_path), size=32).fingerprint() != before
    os.utime(files["train-labels-idx1-ubyte"], ns=(0, 0))
    assert Mnist(root=str(tmp_path), size=28).fingerprint() != before


def test_absent_files_without_a_network_name_the_way_by_hand(tmp_path, capsys):
    with pytest.raises(DataError) as caught:
        opened(tmp_path)
    root = tmp_path / "data"
    assert str(caught.value) == (
        f"data.root: no MNIST in '{root}', and it cannot be downloaded (<urlopen error Name or service not known>). "
        f"Without a network: put train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz, "
        f"t10k-labels-idx1-ubyte.gz into {root / 'MNIST' / 'raw'}, or type data.root= and its folder."
    )
    assert capsys.readouterr().err == f"aigc: MNIST is not in '{root}': downloading it.\n"
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("error", [RuntimeError("Error downloading x\nand more"), OSError(28, "No space left"),
                                   EOFError(), PermissionError(13, "Permission denied")], ids=repr)  # fmt: skip
def test_whatever_stops_a_download_is_one_line(tmp_path, monkeypatch, error):
    def failing(self, root, download):
        raise error

    monkeypatch.setattr(torchvision.datasets, "MNIST", type("MNIST", (), {"__init__": failing}))
    with pytest.raises(DataError, match="cannot be downloaded") as caught:
        opened(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("there", [False, True])
def test_a_failed_download_leaves_no_folders_but_those_that_were_there(tmp_path, monkeypatch, there):
    root = tmp_path / "mistyped" / "data"
    if there:
        root.mkdir(parents=True)

    def failing(self, root, download):
        (Path(root) / "MNIST" / "raw").mkdir(parents=True)
        raise URLError("Name or service not known")

    monkeypatch.setattr(torchvision.datasets, "MNIST", type("MNIST", (), {"__init__": failing}))
    with pytest.raises(DataError, match="cannot be downloaded"):
        opened(tmp_path, root=str(root))
    assert [path.name for path in tmp_path.rglob("*")] == (["mistyped", "data"] if there else [])


def test_what_was_downloaded_is_used(tmp_path, monkeypatch):
    def online(self, root, download):
        assert download
        write_set(Path(root) / "MNIST" / "raw", zipped=True)

    monkeypatch.setattr(torchvision.datasets, "MNIST", type("MNIST", (), {"__init__": online}))
    assert opened(tmp_path).counts == {"train": 40, "test": 20}


def test_a_set_of_which_a_file_is_missing_is_not_packed(tmp_path):
    write_set(tmp_path / "data")["t10k-labels-idx1-ubyte"].unlink()
    with pytest.raises(DataError, match="no MNIST in"):
        opened(tmp_path)


def test_files_of_two_places_are_not_mixed(tmp_path):
    write_set(tmp_path / "data" / "MNIST" / "raw")["train-labels-idx1-ubyte"].unlink()
    write_set(tmp_path / "data" / "raw")
    # Of those above, some are another set's for all we know; a whole set is there, though.
    assert opened(tmp_path).counts == {"train": 40, "test": 20}


BROKEN = {
    "empty": (lambda data: b"", "no idx file of 3 dimensions"),
    "head only": (lambda data: data[:10], "no idx file of 3 dimensions"),
    "cut": (lambda data: data[:-1], "31,359 bytes of data, where its header says 31,360"),
    "longer": (lambda data: data + b"x", "31,361 bytes of data, where its header says 31,360"),
    "html": (lambda data: b"<html>" * 100, "no idx file of 3 dimensions"),
    "floats": (lambda data: b"\0\0\x0d\3" + data[4:], "no idx file of 3 dimensions"),
    "half a gz": (lambda data: gzip.compress(data)[:999], "cannot be read"),
    "broken gz": (lambda data: gzip.compress(data)[:500] + b"x" * 600, "cannot be read"),
    "fewer": (lambda data: idx(pictures("train")[:39]), r"pictures of shape \(39, 28, 28\), allowed: \(40, 28, 28\)"),
    "larger": (lambda data: idx(np.zeros((40, 32, 32), np.uint8)), r"allowed: \(40, 28, 28\)"),
}


@pytest.mark.parametrize("damage", BROKEN)
def test_a_damaged_file_is_one_line_that_names_it_and_nothing_is_packed(tmp_path, damage):
    path = write_set(tmp_path / "data")["train-images-idx3-ubyte"]
    change, message = BROKEN[damage]
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=message) as caught:
        opened(tmp_path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert [name for name in os.listdir(tmp_path / "cache") if not name.startswith(".lock-")] == []


def test_labels_that_are_no_classes_are_refused(tmp_path):
    path = write_set(tmp_path / "data")["train-labels-idx1-ubyte"]
    path.write_bytes(idx(np.full(40, 10, np.uint8)))
    with pytest.raises(DataError, match="label 10, allowed: 0 to 9"):
        opened(tmp_path)


@pytest.mark.skipif(not REAL, reason="set AIGC_TEST_DATA to a folder with MNIST/raw to test the real data")
def test_the_real_mnist(tmp_path):
    pack = opened(tmp_path, root=REAL)
    assert pack.counts == {"train": 60_000, "test": 10_000}
    samples, labels = pack.split("train")
    assert labels is not None
    assert labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert np.bincount(labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert abs(samples.mean() / 255 - 0.1307) < 1e-4
    raw = Mnist(root=REAL or "", size=28).files["train-images-idx3-ubyte"]
    assert np.array_equal(samples[:, 0], read_idx(raw, 3))
