"""CIFAR-10 and CelebA, in each of their layouts, on tiny sets made here."""

from __future__ import annotations

import contextlib
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image

from aigc_cli.data.celeba import MOST_BYTES
from aigc_cli.data.cifar import BATCHES, CLASSES, read_batch
from aigc_cli.data.pack import open_data
from aigc_cli.errors import DataError

PIPELINE = {"workers": 0, "max_bad": 0.01, "augment": []}


def node(tmp_path, **settings) -> dict:
    return {"cache": str(tmp_path / "cache"), **PIPELINE, **settings}


def cifar_arrays(name: str) -> tuple[np.ndarray, list[int]]:
    random = np.random.default_rng(sum(name.encode()))
    return random.integers(256, size=(4, 3072), dtype=np.uint8), random.integers(10, size=4).tolist()


@pytest.mark.parametrize("layout", ["cifar-10-batches-py", "cifar-10-batches-bin"])
def test_cifar_has_its_official_splits(tmp_path, layout):
    folder = tmp_path / "data" / layout
    folder.mkdir(parents=True)
    for name in [*BATCHES["train"], *BATCHES["test"]]:
        data, labels = cifar_arrays(name)
        if layout.endswith("py"):
            (folder / name).write_bytes(pickle.dumps({b"data": data, b"labels": labels}, protocol=2))
        else:
            rows = np.concatenate([np.array(labels, np.uint8)[:, None], data], axis=1)
            (folder / f"{name}.bin").write_bytes(rows.tobytes())
    pack = open_data(node(tmp_path, name="cifar10", root=str(tmp_path / "data")), progress=False)
    samples, labels = pack.split("test")
    assert pack.counts == {"train": 20, "test": 4}
    assert pack.about["classes"] == list(CLASSES)
    np.testing.assert_array_equal(samples.reshape(4, -1), cifar_arrays("test_batch")[0])
    np.testing.assert_array_equal(labels, cifar_arrays("test_batch")[1])


class Payload:
    def __init__(self, canary) -> None:
        self.canary = canary

    def __reduce__(self):
        return os.mkdir, (str(self.canary),)


def test_cifar_pickles_run_no_code(tmp_path):
    path, canary = tmp_path / "data_batch_1", tmp_path / "canary"
    path.write_bytes(pickle.dumps({b"data": Payload(canary), b"labels": []}))
    with pytest.raises(DataError, match="mkdir, which no data set needs"):
        read_batch(path)
    assert not canary.exists()


@pytest.mark.parametrize("content", [b"", b"hello", pickle.dumps({b"data": 1}), pickle.dumps([1, 2])])
def test_no_cifar_batch_is_one_line(tmp_path, content):
    path = tmp_path / "data_batch_1"
    path.write_bytes(content)
    with pytest.raises(DataError, match="no CIFAR-10 batch") as caught:
        read_batch(path)
    assert "\n" not in str(caught.value)


def as_python_2_wrote(data: np.ndarray, labels: list[int]) -> bytes:
    """Return the pickle of the original files: protocol 2, byte strings, numpy.core, dtype('u1', 0, 1)."""

    def text(value: bytes) -> bytes:
        return b"T" + struct.pack("<i", len(value)) + value

    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85" + text(b"b") + b"\x87R"
    kind = b"cnumpy\ndtype\n" + text(b"u1") + b"K\0K\1\x87R(K\3" + text(b"|") + b"NNN" + 2 * b"J\xff\xff\xff\xff"
    shape = b"K" + bytes([len(data)]) + b"M" + struct.pack("<H", data.shape[1]) + b"\x86"
    array += b"(K\1" + shape + kind + b"K\0tb\x89" + text(data.tobytes()) + b"tb"
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\2}(" + text(b"data") + array + text(b"labels") + numbers + b"u."


def test_the_original_pickles_of_cifar_are_read(tmp_path):
    (tmp_path / "test_batch").write_bytes(as_python_2_wrote(*cifar_arrays("test_batch")))
    pictures, labels = read_batch(tmp_path / "test_batch")
    np.testing.assert_array_equal(pictures.reshape(4, -1), cifar_arrays("test_batch")[0])
    np.testing.assert_array_equal(labels, cifar_arrays("test_batch")[1])


def test_a_cifar_pickle_that_asks_for_a_petabyte_is_one_line(tmp_path):
    huge = b"\x80\2cnumpy\nndarray\nJ\xff\xff\xff\x7fJ\xff\xff\0\0\x86\x85R."
    (tmp_path / "test_batch").write_bytes(huge)
    with pytest.raises(DataError, match="no CIFAR-10 batch"):
        read_batch(tmp_path / "test_batch")


def test_damaged_cifar_pickles_are_one_line_whatever_is_damaged(tmp_path):
    random = np.random.default_rng(0)
    whole = as_python_2_wrote(*cifar_arrays("test_batch"))
    for _ in range(1000):
        damaged = bytearray(whole)
        damaged[random.integers(200)] = random.integers(256)  # where the structure is: the rest are pixels
        (tmp_path / "test_batch").write_bytes(damaged)
        with contextlib.suppress(DataError):
            read_batch(tmp_path / "test_batch")
    assert np.zeros(3, np.uint8).dtype == np.dtype("u1")  # no pickle reached numpy's own types


def faces(folder, count: int = 12) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        picture = Image.new("RGB", (178, 218), (0, 0, 255))
        picture.paste((10 * number, 0, 0), (0, 20, 178, 198))  # the middle square, which the crop keeps
        picture.save(folder / f"{number:06d}.jpg", quality=95)


def lists(folder, count: int = 12) -> None:
    rows = [f"{number:06d}.jpg {'1' if number % 2 else '-1'} -1" for number in range(count)]
    (folder / "list_attr_celeba.txt").write_text("\n".join([str(count), "Smiling Young", *rows]))
    parts = [f"{number:06d}.jpg {0 if number < 8 else 1 if number < 10 else 2}" for number in range(count)]
    (folder / "list_eval_partition.txt").write_text("\n".join(parts))


def layout(tmp_path, kind: str):
    root = tmp_path / "data"
    base = root / "celeba" if kind == "torchvision" else root
    faces(base / "img_align_celeba")
    lists(base)
    if kind == "zip":
        with zipfile.ZipFile(base / "img_align_celeba.zip", "w") as archive:
            for path in sorted((base / "img_align_celeba").iterdir()):
                archive.write(path, f"img_align_celeba/{path.name}")
                path.unlink()
        (base / "img_align_celeba").rmdir()
    if kind == "folder":
        return base / "img_align_celeba"
    return base / "img_align_celeba.zip" if kind == "zip itself" else root


@pytest.mark.parametrize("kind", ["torchvision", "zip", "folder"])
def test_celeba_in_each_layout(tmp_path, kind):
    root = layout(tmp_path, kind)
    settings = node(tmp_path, name="celeba", root=str(root), size=64, attribute="Smiling")
    pack = open_data(settings, progress=False)
    samples, labels = pack.split("train")
    assert pack.counts == {"train": 8, "valid": 2, "test": 2}
    assert pack.about["classes"] == ["not Smiling", "Smiling"]
    assert labels.tolist() == [0, 1] * 4
    assert samples[:, 2].max() < 30  # no blue: the bars above and below were cut off
    assert np.abs(samples[:, 0].mean((1, 2)) - 10 * np.arange(8)).max() < 3


def test_celeba_without_lists_is_split_by_hash(tmp_path):
    faces(tmp_path / "faces", 60)
    settings = node(tmp_path, name="celeba", root=str(tmp_path / "faces"), size=32, attribute=None)
    pack = open_data(settings, progress=False)
    assert sum(pack.counts.values()) == 60
    assert pack.counts["test"] > 0
    assert pack.split("train")[1] is None


def test_what_blows_up_or_is_no_picture_in_a_celeba_zip_is_left_out(tmp_path):
    faces(tmp_path / "faces", 12)
    with zipfile.ZipFile(tmp_path / "img_align_celeba.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((tmp_path / "faces").iterdir()):
            archive.write(path, f"img_align_celeba/{path.name}")
        archive.writestr("__MACOSX/._000001.jpg", b"metadata")
        archive.writestr("img_align_celeba/bomb.jpg", bytes(MOST_BYTES + 1))
    settings = node(tmp_path, name="celeba", root=str(tmp_path), size=32, attribute=None)
    pack = open_data({**settings, "max_bad": 0.1}, progress=False)
    assert pack.rejections() == [("img_align_celeba/bomb.jpg", f"more than {MOST_BYTES:,} bytes in the zip")]
    assert sum(pack.counts.values()) == 12


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damaged_members_of_a_celeba_zip_are_left_out(tmp_path, method):
    faces(tmp_path / "faces", 30)
    path = tmp_path / "img_align_celeba.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for face in sorted((tmp_path / "faces").iterdir()):
            archive.write(face, face.name)
    data = bytearray(path.read_bytes())
    data[300:320] = bytes(20)
    path.write_bytes(data)
    settings = node(tmp_path, name="celeba", root=str(tmp_path), size=32, attribute=None)
    pack = open_data({**settings, "max_bad": 0.1}, progress=False)
    assert [name for name, _ in pack.rejections()] == ["000000.jpg"]
    assert sum(pack.counts.values()) == 29


def test_an_unusual_zip_is_one_line(tmp_path):
    faces(tmp_path / "faces", 3)
    with zipfile.ZipFile(tmp_path / "img_align_celeba.zip", "w", zipfile.ZIP_BZIP2) as archive:
        for face in sorted((tmp_path / "faces").iterdir()):
            archive.write(face, face.name)
    with pytest.raises(DataError, match="zipped by an unusual method"):
        open_data(node(tmp_path, name="celeba", root=str(tmp_path), size=32, attribute=None), progress=False)


@pytest.mark.parametrize("content", [b"", b"12\nSmiling Young\n", b"12\nSmiling Young\n\xff\xfe 1\n"])
def test_a_list_of_attributes_without_any_is_one_line(tmp_path, content):
    root = layout(tmp_path, "torchvision")
    (root / "celeba" / "list_attr_celeba.txt").write_bytes(content)
    settings = node(tmp_path, name="celeba", root=str(root), size=64, attribute="Smiling")
    with pytest.raises(DataError, match=r"no picture has attributes|no 'Smiling'"):
        open_data(settings, progress=False)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"attribute": "Smilling"}, "Did you mean 'Smiling'"),
        ({"root": "nowhere"}, "It is not downloaded: put img_align_celeba.zip there"),
    ],
)
def test_celeba_mistakes_are_one_line(tmp_path, settings, said):
    root = layout(tmp_path, "torchvision")
    with pytest.raises(DataError, match=said) as caught:
        open_data(node(tmp_path, **{"name": "celeba", "root": str(root), "size": 64, "attribute": None, **settings}))
    assert "\n" not in str(caught.value)
