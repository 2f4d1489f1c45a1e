"""A large folder is known again without looking at each of its files; what changed there is noticed."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from packs import folder_node, write_pictures

from aigc_cli.data import folders, image_folder, noticing
from aigc_cli.data.folders import list_files
from aigc_cli.data.pack import Pack, open_data


@pytest.fixture
def photos(tmp_path, monkeypatch) -> Path:
    """Return a folder of pictures that counts as large, last changed an hour ago."""
    monkeypatch.setattr(noticing, "MANY", 30)
    monkeypatch.setattr(noticing, "LOOKED_AT", 10)
    for name in "ab":
        write_pictures(tmp_path / "photos" / name, 20)
    return settled(tmp_path / "photos")


def settled(root: Path, seconds: float = 3600) -> Path:
    for place in (root, root / "a", root / "b"):
        os.utime(place, (time.time() - seconds,) * 2)
    return root


def opened(photos: Path, cache: Path, **more) -> Pack:
    return open_data(folder_node(photos, cache), **more)


def listings(monkeypatch) -> list[Path]:
    """Return the folders that are listed from now on."""
    seen: list[Path] = []
    monkeypatch.setattr(image_folder, "list_files", lambda root: (seen.append(root), list_files(root))[1])
    return seen


def test_a_start_lists_nothing(photos, cache, monkeypatch):
    first = opened(photos, cache)
    listed = listings(monkeypatch)
    monkeypatch.setattr(folders.os, "scandir", None)
    again = opened(photos, cache)
    assert (again.path, again.fresh, listed) == (first.path, False, [])


def test_a_small_folder_is_looked_at_whole(photos, cache, monkeypatch):
    monkeypatch.setattr(noticing, "MANY", 40)
    opened(photos, cache)
    listed = listings(monkeypatch)
    assert not opened(photos, cache).fresh
    assert len(listed) == 1
    (photos / "a" / "0003.png").write_bytes((photos / "a" / "0004.png").read_bytes())
    assert opened(photos, cache).fresh


@pytest.mark.parametrize("change", ["added", "removed", "renamed", "replaced", "a folder more", "most written over"])
def test_what_changed_is_noticed(photos, cache, change):
    first = opened(photos, cache)
    picture = photos / "a" / "0003.png"
    if change == "added":
        write_pictures(photos / "b", 1, start=90)
    elif change == "removed":
        picture.unlink()
    elif change == "renamed":
        picture.rename(picture.with_name("other.png"))
    elif change == "replaced":
        (photos / "new.png").write_bytes((photos / "a" / "0004.png").read_bytes())
        os.replace(photos / "new.png", picture)
    elif change == "a folder more":
        write_pictures(photos / "c", 1)
    else:
        for path in sorted(photos.glob("*/*.png"))[:35]:  # of 40; 10 are looked at
            path.write_bytes((photos / "a" / "0004.png").read_bytes() + b" ")
    second = opened(photos, cache)
    assert second.fresh
    assert second.fingerprint != first.fingerprint


def test_one_file_written_over_is_noticed_by_data_pack(photos, cache):
    opened(photos, cache)
    (note,) = cache.glob(".seen-*.json")
    looked_at = {path for path, *_ in json.loads(note.read_text())["files"]}
    other = next(path for path in photos.glob("*/*.png") if str(path.relative_to(photos)) not in looked_at)
    other.write_bytes(other.read_bytes() + b" ")
    assert not opened(photos, cache).fresh, "as noticing.py says"
    assert opened(photos, cache, anew=True).fresh
    assert not opened(photos, cache).fresh


def test_a_folder_that_may_be_changing_is_not_trusted(photos, cache, monkeypatch):
    settled(photos, seconds=1)
    opened(photos, cache)
    assert not list(cache.glob(".seen-*.json"))
    settled(photos)
    opened(photos, cache)
    assert len(list(cache.glob(".seen-*.json"))) == 1


@pytest.mark.parametrize("note", ["", "{}", "[]", '{"folders": 3}', '{"folders": {"gone/": 1}, "files": []}'])
def test_a_broken_note_is_none(photos, cache, note):
    opened(photos, cache)
    (path,) = cache.glob(".seen-*.json")
    path.write_text(note)
    assert not opened(photos, cache).fresh
    assert len(path.read_text()) > 100, "noted again"


def test_a_damaged_pack_is_packed_of_what_is_there_now(photos, cache, capsys):
    first = opened(photos, cache)
    (first.path / "train.samples").unlink()
    assert opened(photos, cache).fresh
    assert "is damaged" in capsys.readouterr().err


def test_other_settings_and_other_folders_are_other_packs(photos, cache, tmp_path):
    first = opened(photos, cache)
    assert open_data(folder_node(photos, cache, size=4)).fresh
    photos.rename(tmp_path / "moved")
    moved = opened(tmp_path / "moved", cache)
    assert moved.fingerprint == first.fingerprint
    assert not moved.fresh


def test_a_listing_is_a_sequence_of_files(photos):
    listing = list_files(photos)
    assert len(listing) == 40
    assert list(listing) == sorted(listing)
    path, size, stamp = listing[3]
    about = (photos / path).stat()
    assert (size, stamp) == (about.st_size, about.st_mtime_ns)
    assert listing[1:3] == list(listing)[1:3]
    assert listing.folders.keys() == {"", "a/", "b/"}
