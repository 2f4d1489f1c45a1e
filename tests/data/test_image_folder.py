"""A folder of pictures is what people have: nested, labelled, and with whatever else lies around in it."""

from __future__ import annotations

import io
import json
import os

import numpy as np
import pytest
from packs import bomb, folder_node, packed_values, trained_on, write_pictures
from PIL import Image

from aigc_cli.data.folders import is_held_out
from aigc_cli.data.pack import open_data
from aigc_cli.errors import DataError


def noise(format: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(file, format)
    return file.getvalue()


HOSTILE = {
    "bomb.png": (bomb(50_000, 50_000), "more than 80,000,000 pixels"),
    "cut.jpg": (noise("JPEG")[:900], "damaged"),
    "cut.png": (noise("PNG")[:900], "damaged"),
    "nothing.png": (b"", "an empty file"),
    "page.png": (b"<html><body>404</body></html>", "no picture: it begins with b'<html><body>'"),
    "text.JPG": (b"these are words", "no picture: it begins with b'these are wo'"),
}


def one_line(caught) -> str:
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 700
    return line


def test_a_hostile_folder_packs_and_lists_what_it_cannot_use(tmp_path, cache, capsys):
    good = write_pictures(tmp_path / "photos", 40)
    for name, (content, _) in HOSTILE.items():
        (tmp_path / "photos" / name).write_bytes(content)
    (tmp_path / "photos" / "notes.txt").write_text("no picture, and none by its name")
    pack = open_data(folder_node(tmp_path / "photos", cache, max_bad=0.2))
    assert sum(pack.counts.values()) == 40
    assert (pack.rejected, pack.ignored) == (6, 1)
    listed = [json.loads(line) for line in (pack.path / "rejected.jsonl").read_text().splitlines()]
    assert sorted(line["path"] for line in listed) == sorted(HOSTILE)
    for line in listed:
        assert line["reason"].startswith(HOSTILE[line["path"]][1])
    kept = trained_on([path.name for path in good])
    assert packed_values(pack.split("train")[0]) == [7 * int(name[:4]) % 256 for name in kept]
    assert "6 files cannot be used" in capsys.readouterr().err


def test_more_bad_files_than_max_bad_are_an_error_that_names_some(tmp_path, cache):
    write_pictures(tmp_path / "photos", 20)
    for name, (content, _) in HOSTILE.items():
        (tmp_path / "photos" / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        open_data(folder_node(tmp_path / "photos", cache, max_bad=0.05))
    line = one_line(caught)
    assert "max_bad=0.05 of the 26 files" in line
    assert any(name in line for name in HOSTILE)
    assert "data.max_bad=" in line
    assert not [name for name in os.listdir(cache) if not name.startswith(".lock")]


def test_a_pack_of_a_tolerant_start_is_still_refused_by_a_strict_one(tmp_path, cache):
    write_pictures(tmp_path / "photos", 9)
    (tmp_path / "photos" / "cut.png").write_bytes(noise("PNG")[:900])
    assert open_data(folder_node(tmp_path / "photos", cache, max_bad=0.5)).rejected == 1
    with pytest.raises(DataError, match=r"max_bad=0\.01 of the 10 files"):
        open_data(folder_node(tmp_path / "photos", cache))


def test_only_bad_files_are_an_error_whatever_is_allowed(tmp_path, cache):
    (tmp_path / "photos").mkdir()
    for name, (content, _) in HOSTILE.items():
        (tmp_path / "photos" / name).write_bytes(content)
    with pytest.raises(DataError, match="none of the 6 samples can be trained on") as caught:
        open_data(folder_node(tmp_path / "photos", cache, max_bad=1.0))
    one_line(caught)


def test_an_empty_folder_and_one_without_pictures_are_told_apart_by_their_counts(tmp_path, cache):
    (tmp_path / "photos").mkdir()
    with pytest.raises(DataError, match=r"no pictures .* among the 0 files of") as caught:
        open_data(folder_node(tmp_path / "photos", cache))
    one_line(caught)
    (tmp_path / "photos" / "notes.txt").write_text("words")
    with pytest.raises(DataError, match=r"no pictures .* among the 1 files of"):
        open_data(folder_node(tmp_path / "photos", cache))


def test_an_absent_folder_is_named_with_what_may_have_been_meant(tmp_path, cache, monkeypatch):
    (tmp_path / "photos").mkdir()
    with pytest.raises(DataError, match=r"data\.root: no folder .*fotos'\. Did you mean 'photos'\?") as caught:
        open_data(folder_node(tmp_path / "fotos", cache))
    one_line(caught)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=f"It was looked for in {tmp_path}"):
        open_data({**folder_node(tmp_path, cache), "root": "else/where"})


def test_a_file_is_no_folder(tmp_path, cache):
    (file,) = write_pictures(tmp_path / "photos", 1)
    with pytest.raises(DataError, match=f"which is a file, allowed: a folder. Type data.root={file.parent}"):
        open_data(folder_node(file, cache))


def test_subfolders_are_labels_in_the_order_of_their_names(tmp_path, cache):
    for name, start in (("zebra", 0), ("ant", 12), ("cat", 24)):
        write_pictures(tmp_path / "photos" / name / "deeper", 12, start=start)
    pack = open_data(folder_node(tmp_path / "photos", cache, labels=True))
    assert pack.about["classes"] == ["ant", "cat", "zebra"]
    for split in ("train", "test"):
        samples, labels = pack.split(split)
        assert labels is not None
        assert labels.dtype == np.int64
        expected = {0: range(12, 24), 1: range(24, 36), 2: range(12)}
        for value, label in zip(packed_values(samples), labels, strict=True):
            assert value in [7 * number % 256 for number in expected[int(label)]]
    assert sum(pack.counts.values()) == 36


def test_a_picture_in_no_class_is_listed_and_no_classes_at_all_are_an_error(tmp_path, cache):
    write_pictures(tmp_path / "photos", 1)
    with pytest.raises(DataError, match=r"has no sub-folders to be classes\. Type data\.labels=false"):
        open_data(folder_node(tmp_path / "photos", cache, labels=True))
    write_pictures(tmp_path / "photos" / "ant", 30)
    pack = open_data(folder_node(tmp_path / "photos", cache, labels=True, max_bad=0.1))
    assert pack.rejections() == [("0000.png", "lies in no class's sub-folder")]


def test_pad_and_grey_change_the_samples(tmp_path, cache):
    (tmp_path / "photos").mkdir()
    for number in range(8):
        Image.new("RGB", (16, 8), (255, 0, 0)).save(tmp_path / "photos" / f"{number}.png")
    cut, padded, grey = (
        open_data(folder_node(tmp_path / "photos", cache, **settings)).split("train")[0][0]
        for settings in ({}, {"fit": "pad"}, {"channels": 1})
    )
    assert (cut[0] == 255).all()
    assert (padded[0][[0, 1, 6, 7]] == 0).all()
    assert (padded[0][2:6] == 255).all()
    assert grey.shape == (1, 8, 8)
    assert (grey == 76).all()  # luma of red


def test_pictures_without_a_suffix_are_told_by_their_content(tmp_path, cache):
    for path in write_pictures(tmp_path / "photos", 10):
        path.rename(path.with_suffix("" if path.stem < "0005" else ".PNG"))
    assert sum(open_data(folder_node(tmp_path / "photos", cache)).counts.values()) == 10


def test_names_that_are_no_utf8_are_packed_and_listed(tmp_path, cache):
    write_pictures(tmp_path / "photos", 10)
    root = os.fsencode(tmp_path / "photos")
    try:
        os.rename(root + b"/0003.png", root + b"/\xff\xfe.png")
    except OSError:
        pytest.skip("this file system refuses names that are no UTF-8")
    with open(root + b"/\xfd.jpg", "wb") as file:
        file.write(b"words")
    pack = open_data(folder_node(tmp_path / "photos", cache, max_bad=0.2))
    assert sum(pack.counts.values()) == 10
    assert [path for path, _ in pack.rejections()] == [r"\udcfd.jpg"]


def test_names_cannot_break_lines_colour_the_terminal_or_stop_the_printing(tmp_path, cache, capsys):
    root = os.fsencode(tmp_path / "photos")
    for number, name in enumerate((b"\xff", b"\x1b[31m", b"plain")):
        write_pictures(tmp_path / str(number), 20)
        os.makedirs(root, exist_ok=True)
        os.rename(tmp_path / str(number), root + b"/" + name)
    for name in (b"above\xfe.png", b"plain/two\nlines.png"):
        with open(root + b"/" + name, "wb") as file:
            file.write(b"words")
    pack = open_data(folder_node(tmp_path / "photos", cache, labels=True, max_bad=0.2))
    assert pack.about["classes"] == [r"\x1b[31m", "plain", r"\udcff"]
    assert {path for path, _ in pack.rejections()} == {r"above\udcfe.png", r"plain/two\nlines.png"}
    with pytest.raises(DataError) as caught:
        open_data(folder_node(tmp_path / "photos", cache, labels=True, max_bad=0.0))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(("count", "held_out"), [(1, True), (3, True), (3, False)])
def test_few_pictures_are_split_so_that_each_part_has_some(tmp_path, cache, count, held_out):
    names = [f"{number}.png" for number in range(1000) if is_held_out(f"{number}.png") is held_out][:count]
    (tmp_path / "photos").mkdir()
    for name in names:
        Image.new("RGB", (8, 8)).save(tmp_path / "photos" / name)
    counts = open_data(folder_node(tmp_path / "photos", cache)).counts
    assert sum(counts.values()) == count
    assert counts["train"]
    assert counts["test"] or count == 1
