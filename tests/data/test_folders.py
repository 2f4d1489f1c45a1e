"""Listing a folder, knowing it again, and holding some of it out."""

from __future__ import annotations

import os

import pytest
from packs import write_pictures

from aigc_cli.data.folders import TEST_SHARE, is_held_out, list_files, split_by_hash
from aigc_cli.data.image_folder import ImageFolder

SETTINGS = {"size": 8, "channels": 3, "fit": "crop", "labels": False}


def test_nested_files_count_and_hidden_and_system_files_do_not(tmp_path):
    write_pictures(tmp_path / "a" / "b" / "c", 2)
    write_pictures(tmp_path, 1)
    for hidden in (".hidden", "__MACOSX", "@eaDir", "a/.thumbnails"):
        write_pictures(tmp_path / hidden, 1)
    (tmp_path / "._0000.png").write_bytes(b"\0\5\26\7")
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    assert [path for path, _, _ in list_files(tmp_path)] == ["0000.png", "a/b/c/0000.png", "a/b/c/0001.png"]


def test_links_are_followed_once_and_pipes_are_not_waited_for(tmp_path):
    write_pictures(tmp_path / "photos", 1)
    write_pictures(tmp_path / "elsewhere", 1, start=5)
    (tmp_path / "photos" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "photos" / "back").symlink_to(tmp_path / "photos")
    (tmp_path / "photos" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "photos" / "itself.png").symlink_to(tmp_path / "photos" / "itself.png")
    os.mkfifo(tmp_path / "photos" / "pipe.png")
    assert [path for path, _, _ in list_files(tmp_path / "photos")] == ["0000.png", "linked/0005.png"]


@pytest.mark.parametrize("change", [{"size": 9}, {"channels": 1}, {"fit": "pad"}, {"labels": True}], ids=str)
def test_the_fingerprint_changes_with_every_setting(tmp_path, change):
    write_pictures(tmp_path, 2)
    before = ImageFolder(root=str(tmp_path), **SETTINGS).fingerprint()
    assert ImageFolder(root=str(tmp_path), **SETTINGS).fingerprint() == before
    assert ImageFolder(root=str(tmp_path), **{**SETTINGS, **change}).fingerprint() != before


@pytest.mark.parametrize("change", ["content", "time", "name", "more", "fewer"])
def test_the_fingerprint_changes_with_every_file(tmp_path, change):
    first, _ = write_pictures(tmp_path, 2)
    before = ImageFolder(root=str(tmp_path), **SETTINGS).fingerprint()
    stat = first.stat()
    if change == "content":
        first.write_bytes(first.read_bytes() + b"x")
        os.utime(first, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    elif change == "time":
        os.utime(first, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    elif change == "name":
        first.rename(tmp_path / "else.png")
    elif change == "more":
        write_pictures(tmp_path, 1, start=2)
    else:
        first.unlink()
    assert ImageFolder(root=str(tmp_path), **SETTINGS).fingerprint() != before


def test_the_fingerprint_does_not_depend_on_where_the_folder_lies(tmp_path):
    write_pictures(tmp_path / "here", 2)
    before = ImageFolder(root=str(tmp_path / "here"), **SETTINGS).fingerprint()
    (tmp_path / "here").rename(tmp_path / "there")
    assert ImageFolder(root=str(tmp_path / "there"), **SETTINGS).fingerprint() == before


def test_the_held_out_stay_so_when_files_are_added():
    few, many = ([f"{number}.jpg" for number in range(count)] for count in (2000, 4000))
    before, after = split_by_hash(few), split_by_hash(many)
    assert set(before["test"]) <= set(after["test"])
    assert set(before["train"]) <= set(after["train"])
    assert len(few) / TEST_SHARE * 0.7 < len(before["test"]) < len(few) / TEST_SHARE * 1.3
    assert is_held_out(before["test"][0])
