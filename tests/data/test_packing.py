"""A pack is opened, known again, rebuilt where it is damaged, and refused in one line where it cannot be written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from packs import Dots, folder_node, glyphs_node, litter, write_pictures

from aigc_cli.data import pack
from aigc_cli.data.cache import cache_folder
from aigc_cli.data.pack import open_data
from aigc_cli.data.packing import write_pack
from aigc_cli.errors import DataError

ROOT = Path(__file__).parents[2]
NOBODY = 65534  # a user that owns nothing


def test_the_second_opening_packs_nothing_and_reads_the_same(cache, monkeypatch):
    first = open_data(glyphs_node(cache))
    monkeypatch.setattr(pack, "write_pack", None)
    second = open_data(glyphs_node(cache))
    assert (first.fresh, second.fresh) == (True, False)
    assert second.counts == first.counts == {"train": 64, "test": 10}
    for split in first.counts:
        for one, other in zip(first.split(split), second.split(split), strict=True):
            assert one is not None
            assert np.array_equal(one, other)
    assert second.damage() == []
    assert second.spec.shape == (1, 16, 16)
    assert second.spec.classes == 10
    assert litter(cache) == []


def test_another_setting_or_another_file_is_another_pack(tmp_path, cache):
    write_pictures(tmp_path / "photos", 10)
    opened = [open_data(folder_node(tmp_path / "photos", cache, size=size)) for size in (8, 4)]
    write_pictures(tmp_path / "photos", 1, start=10)
    opened.append(open_data(folder_node(tmp_path / "photos", cache)))
    assert all(each.fresh for each in opened)
    assert len({each.path for each in opened}) == 3
    assert not open_data(folder_node(tmp_path / "photos", cache)).fresh


def test_pipeline_settings_make_no_other_pack(cache):
    assert open_data(glyphs_node(cache)).fresh
    assert not open_data(glyphs_node(cache, workers=2, max_bad=0.5, augment=["flip"])).fresh


@pytest.mark.parametrize("damage", ["truncated", "longer", "absent", "no meta", "half a meta", "strange meta"])
def test_a_damaged_pack_is_packed_again_with_a_warning(cache, capsys, damage):
    path = open_data(glyphs_node(cache)).path
    samples, meta = path / "train.samples", path / "meta.json"
    whole = samples.read_bytes()
    if damage == "truncated":
        os.truncate(samples, 1000)
    elif damage == "longer":
        samples.write_bytes(whole + b"x")
    elif damage == "absent":
        samples.unlink()
    elif damage == "no meta":
        meta.unlink()
    else:
        meta.write_text("{" if damage == "half a meta" else "[1, 2]")
    again = open_data(glyphs_node(cache))
    assert again.fresh
    assert samples.read_bytes() == whole
    warning = capsys.readouterr().err
    assert f"{path} is damaged ({'meta.json' if 'meta' in damage else 'train.samples'}): packing again." in warning
    assert litter(cache) == []


def test_a_damaged_pack_is_not_taken_from_under_who_reads_it(cache):
    opened = open_data(glyphs_node(cache))
    samples, _ = opened.split("train")
    before = samples.copy()
    (opened.path / "test.samples").unlink()
    assert open_data(glyphs_node(cache)).fresh
    assert np.array_equal(samples, before)


def test_a_flipped_byte_is_found_by_its_checksum(cache):
    opened = open_data(glyphs_node(cache))
    with (opened.path / "test.samples").open("r+b") as file:
        file.seek(100)
        byte = file.read(1)[0]
        file.seek(100)
        file.write(bytes([byte ^ 1]))
    again = open_data(glyphs_node(cache))
    assert not again.fresh  # which only sizes are looked at
    assert again.damage() == ["test.samples"]


def test_samples_and_labels_of_rejected_keys_are_left_out_together(cache, dots):
    opened = open_data(dots(cache, count=250, faults={"0": "bad", "7": "bad", "199": "bad"}, max_bad=0.5))
    kept = [index for index in range(250) if index not in (0, 7, 199)]  # of two chunks
    samples, labels = opened.split("train")
    assert samples[:, 0, 0, 0].tolist() == kept
    assert labels is not None
    assert labels.tolist() == [index % 3 for index in kept]
    assert opened.rejections() == [(str(index), "marked bad") for index in (0, 7, 199)]
    empty, none = opened.split("test")
    assert empty.shape == (0, 1, 4, 4)
    assert none is not None
    assert len(none) == 0


def test_worker_processes_write_the_same_bytes(tmp_path, cache):
    write_pictures(tmp_path / "photos", 600)
    (tmp_path / "photos" / "0300.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    packs = [open_data(folder_node(tmp_path / "photos", cache / str(workers), workers=workers)) for workers in (0, 2)]
    assert packs[0].rejections() == packs[1].rejections() == [("0300.png", "a damaged picture")]
    names = sorted(os.listdir(packs[0].path))
    assert names == ["meta.json", "rejected.jsonl", "test.samples", "train.samples"]
    for name in names:
        assert (packs[0].path / name).read_bytes() == (packs[1].path / name).read_bytes()


def test_a_killed_worker_is_one_line(tmp_path):
    source = Dots(count=600, faults={"300": "kill"})
    with pytest.raises(DataError, match=r"a worker process was killed.* Type data\.workers=1\.$"):
        write_pack(source, source.contents(), tmp_path, workers=2, max_bad=0, progress=False)


def test_too_little_room_is_said_before_anything_is_decoded(cache, monkeypatch):
    monkeypatch.setattr(pack.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    monkeypatch.setattr(pack, "write_pack", None)
    with pytest.raises(DataError, match=r"^data\.cache: .* has 0 MB left, and 0 MB are needed\. Type data\.cache="):
        open_data(glyphs_node(cache))
    assert litter(cache) == []


def test_a_cache_below_a_file_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"^data\.cache: cannot write to .*Not a directory\)\. Type data\.cache="):
        open_data(glyphs_node(tmp_path / "file" / "cache"))
    with pytest.raises(DataError, match=r"^data\.cache: cannot write to .*\)\. Type data\.cache="):
        open_data(glyphs_node(tmp_path / "file"))
    assert capsys.readouterr().err == ""


def test_a_cache_of_someone_else_is_one_line(tmp_path, capsys):
    open_data(glyphs_node(tmp_path / "mine"))  # all modules are imported
    (tmp_path / "theirs").mkdir(mode=0o700)
    capsys.readouterr()
    ours = os.geteuid()
    if ours != 0:
        (tmp_path / "theirs").chmod(0)
    try:
        os.seteuid(NOBODY if ours == 0 else ours)
        with pytest.raises(DataError, match=r"^data\.cache: cannot write to .*Permission denied\)\. Type data\.cache="):
            open_data(glyphs_node(tmp_path / "theirs"))
    finally:
        os.seteuid(ours)
        (tmp_path / "theirs").chmod(0o700)
    assert capsys.readouterr().err == ""


def test_the_cache_is_the_setting_else_the_environments_else_the_homes(monkeypatch):
    monkeypatch.setenv("AIGC_CACHE", "/somewhere")
    assert cache_folder("/here") == Path("/here")
    assert cache_folder(None) == Path("/somewhere")
    monkeypatch.delenv("AIGC_CACHE")
    assert cache_folder(None) == Path.home() / ".cache" / "aigc"


def test_workers_do_not_pay_for_torch():
    modules = ", ".join(f"aigc_cli.data.{name}" for name in ("packing", "decode", "image_folder", "glyphs", "idx"))
    code = f"import sys, {modules}, aigc_cli.data.pack; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_workers_do_not_run_a_script_again_that_has_no_guard(tmp_path, cache):
    (tmp_path / "script.py").write_text(
        "from aigc_cli.data.pack import open_data\n"
        f"print(open_data({glyphs_node(cache, count=2000, workers=2)!r}).fresh)\n"
    )
    command, environment = [sys.executable, "script.py"], {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("True\n", "")
