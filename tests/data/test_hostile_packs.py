"""A pack from elsewhere is believed in nothing: its meta.json, what its server sends, how reading it fails."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from filelock import FileLock
from packs import node

from aigc_cli.data import cache as caches
from aigc_cli.data import remote, shards
from aigc_cli.data.pack import Pack, open_data
from aigc_cli.errors import DataError
from aigc_cli.sounds.seen import seen_pack

fsspec = pytest.importorskip("fsspec", reason="the extra 'remote' is not installed")

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def pack(tmp_path, dots, monkeypatch) -> Pack:
    """Return a pack of 500 samples of 16 bytes in 10 shards."""
    monkeypatch.setattr(shards, "LARGE", 100)
    monkeypatch.setattr(shards, "SHARD_BYTES", 16 * 50)
    return open_data(dots(tmp_path / "made", count=500, faults=None))


def opened(root: object, cache: Path) -> Pack:
    return open_data(node("packed", cache, root=str(root), room=1.0))


def rewrite(pack: Pack, change: Change) -> None:
    path = pack.path / "meta.json"
    meta = json.loads(path.read_text())
    change(meta)
    path.write_text(json.dumps(meta))


def setting(*keys: str, to: Any) -> Change:
    """Return what sets a value deep in a meta."""

    def change(meta: dict[str, Any]) -> None:
        for key in keys[:-1]:
            meta = meta[key]
        meta[keys[-1]] = to

    return change


def without(key: str) -> Change:
    return lambda meta: meta.pop(key)


SHARD = "train-00003.samples"
BAD: dict[str, Change] = {
    **{f"no {key}": without(key) for key in ("spec", "counts", "files", "rejected", "ignored", "per_shard")},
    **{f"format {value!r}": setting("format", to=value) for value in (None, "1", 0, True)},
    **{f"counts {value!r}": setting("counts", to=value) for value in ({}, [], {"train": 500}, {"../x": 1})},
    **{f"count {value!r}": setting("counts", "train", to=value) for value in (-5, "9", 10**9, 10**30, 1.5, True, 0)},
    **{f"per shard {value!r}": setting("per_shard", to=value) for value in (0, -3, "x", 100, 1, 2**70)},
    **{f"files {value!r}": setting("files", to=value) for value in ([], {}, "x")},
    **{f"file {value!r}": setting("files", SHARD, to=value) for value in ("x", {}, 5, None)},
    **{f"bytes {value!r}": setting("files", SHARD, "bytes", to=value) for value in ("x", -1, 801, 800.0, None)},
    **{f"sha256 {value!r}": setting("files", SHARD, "sha256", to=value) for value in ("x", 5, None)},
    **{f"a file {name}": setting("files", name, to={"bytes": 1, "sha256": "0" * 64})
       for name in ("../../evil", "/etc/evil", ".hidden", "evil.samples", "train.sources", "meta.json")},
    **{f"rejected {value!r}": setting("rejected", to=value) for value in ("x", -1, None)},
    **{f"given {value!r}": setting("given", to=value) for value in ("x", -1)},
    **{f"spec {value!r}": setting("spec", to=value) for value in ({}, [], "x", None)},
    **{f"kind {value!r}": setting("spec", "kind", to=value) for value in ("zzz", "text", "audio", [])},
    **{f"shape {value!r}": setting("spec", "shape", to=value)
       for value in ([1, 10**7, 10**7], [-1, 4, 4], [4, 4], [1, 2, 4], "x", [1, 4, 4.0], None)},
    **{f"levels {value!r}": setting("spec", "levels", to=value) for value in (1, -1, "x", 10**9, 1000)},
    **{f"classes {value!r}": setting("spec", "classes", to=value) for value in (None, 3, [1, 2], "abc", {})},
    **{f"sound {value!r}": setting("spec", "sound", to=value) for value in ("x", {"sample_rate": 8000}, {"a": 1})},
    **{f"source {value!r}": setting("spec", "source", to=value) for value in ("x", {"kind": "image"})},
}  # fmt: skip
UNSAFE = ("../../../xx", "/nowhere/at/all", 5, None, "", "abc", "0" * 65, "ABCDEF012345", "0123456789ab\n", "é" * 12)


SOME = [*BAD.values()][::6]


@pytest.mark.parametrize(
    ("prefix", "change"), [*(("", change) for change in BAD.values()), *(("file://", change) for change in SOME)]
)
def test_a_meta_of_no_pack_is_one_line(pack, cache, change, prefix):
    rewrite(pack, change)
    with pytest.raises(DataError) as caught:
        opened(f"{prefix}{pack.path}", cache)
    said = str(caught.value)
    assert said.startswith(f"data.root: '{prefix}{pack.path}/meta.json' is of no pack: ")
    assert said.isprintable()
    assert len(said) < 450 + len(str(pack.path))
    assert not cache.exists(), "nothing is fetched"


@pytest.mark.parametrize("change", SOME)
def test_our_own_is_packed_again(pack, tmp_path, dots, capsys, change):
    rewrite(pack, change)
    assert open_data(dots(tmp_path / "made", count=500, faults=None)).fresh
    assert capsys.readouterr().err == f"aigc: {pack.path} is damaged (meta.json): packing again.\n" * 2


@pytest.mark.parametrize("prefix", ["", "file://"])
@pytest.mark.parametrize("fingerprint", UNSAFE)
def test_a_fingerprint_that_is_no_digest_is_refused(pack, tmp_path, fingerprint, prefix):
    rewrite(pack, setting("fingerprint", to=fingerprint))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match=r"is of no pack: 'fingerprint' is .*, not 12 to 64 of 0-9 and a-f\. Type"):
        opened(f"{prefix}{pack.path}", tmp_path / "deep" / "a" / "cache")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("text", ["", "[" * 100_000, "null", "5", '"x"', "\ud800", '{"format": NaN}', "1" * 5000])
def test_what_is_no_json_of_a_pack_is_one_line(pack, cache, text):
    (pack.path / "meta.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(DataError, match="is of no pack: it "):
        opened(pack.path, cache)


def test_so_many_names_are_not_made(pack, cache):
    rewrite(pack, lambda meta: meta.update(per_shard=1, counts={"train": 10**12, "test": 0}))
    began = time.perf_counter()
    with pytest.raises(DataError, match="'files' names 13, but 'counts' and 'per_shard' ask for 1,000,000,000,001"):
        opened(pack.path, cache)
    assert time.perf_counter() - began < 1


TEXTS: dict[str, Change] = {
    "levels": setting("spec", "levels", to=200),
    "a symbol twice": setting("spec", "text", "symbols", to=["1"] * 14),
    **{f"symbols {value!r}": setting("spec", "text", "symbols", to=value) for value in ([], ["a"], "x", [1])},
    **{f"only a tokenizer {value!r}": setting("spec", "text", to={"symbols": [], "tokenizer": value, "end": 12})
       for value in ("x", "{}")},
    **{f"tokenizer {value!r}": setting("spec", "text", "tokenizer", to=value) for value in ("x", "{}", 5, None)},
    **{f"end {value!r}": setting("spec", "text", "end", to=value) for value in (None, 0, 14, -1, "x")},
    "no text": setting("spec", "text", to=None),
}  # fmt: skip


@pytest.mark.parametrize("change", TEXTS.values(), ids=TEXTS)
def test_a_vocabulary_that_does_not_go_with_the_symbols_is_refused(tmp_path, cache, change):
    sums = open_data(node("sums", tmp_path / "made", digits=1, operations=["add"], count=20))
    assert opened(sums.path, cache).counts == sums.counts
    rewrite(sums, change)
    with pytest.raises(DataError, match=r"is of no pack: .*\. Type data\.root="):
        opened(sums.path, cache)


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_labels_beyond_the_classes_are_refused(pack, cache, prefix):
    """The checksum is right: the labels were made so."""
    labels = b"\x03" + bytes(8 * 500 - 1)
    (pack.path / "train.labels").write_bytes(labels)
    rewrite(pack, setting("files", "train.labels", "sha256", to=hashlib.sha256(labels).hexdigest()))
    with pytest.raises(DataError, match=r"train\.labels has others than 0 to 2\. Remove that folder"):
        opened(f"{prefix}{pack.path}", cache).split("train")


@pytest.mark.parametrize("lines", [None, "x", "[]", "5", '{"path": 5, "reason": "x"}', '{"path": "x"}', "[" * 100_000])
def test_a_damaged_list_of_the_rejected_is_one_line(pack, cache, lines):
    path = pack.path / "rejected.jsonl"
    path.unlink() if lines is None else path.write_text(lines)
    with pytest.raises(DataError, match=r"rejected\.jsonl is not there, or damaged\. Remove that folder"):
        opened(pack.path, cache)


@pytest.mark.parametrize(
    "url",
    [
        "strange://a/b",
        "S3://a/b",
        "zip://a::file:///b",
        "simplecache::memory://a",
        "reference://a",
        "local:///a",
        "://a",
    ],
)
def test_only_plain_urls_of_known_protocols_are_read(cache, url):
    with pytest.raises(DataError) as caught:
        opened(url, cache)
    assert str(caught.value) == (
        f"data.root: '{url}' is no URL that is read. Type a folder, or one URL that begins with one of: s3, gs, gcs, "
        "az, abfs, hdfs, hf, http, https, ftp, sftp, file, memory, and ://."
    )
    assert not cache.exists()


class Endless:
    """A file that a server sends without end."""

    def __init__(self) -> None:
        self.sent = 0

    def __enter__(self) -> Endless:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def read(self, size: int) -> bytes:
        self.sent += size
        return bytes(size)


def serving(monkeypatch, name: str, served: Callable[[], Any]) -> None:
    """Let one file of any folder be served otherwise."""
    system = type(fsspec.filesystem("file"))
    usual = system.open
    monkeypatch.setattr(
        system, "open", lambda self, path, *rest: served() if path.endswith(name) else usual(self, path, *rest)
    )


def test_no_more_is_taken_than_is_listed(pack, cache, monkeypatch):
    endless = Endless()
    serving(monkeypatch, SHARD, lambda: endless)
    with pytest.raises(DataError, match=r"train-00003\.samples' is not what its checksum says"):
        opened(f"file://{pack.path}", cache).split("train")[0][:]
    assert endless.sent == 801
    assert not list(cache.glob("remote-*/*/.packing-*"))


@pytest.mark.parametrize("name", ["meta.json", "rejected.jsonl"])
def test_no_more_is_taken_of_what_is_not_listed(pack, cache, monkeypatch, name):
    endless = Endless()
    serving(monkeypatch, name, lambda: endless)
    monkeypatch.setattr(remote, "LARGEST_SMALL", 3 * 10**6)
    with pytest.raises(DataError, match=f"{name}' is larger than that of any pack"):
        opened(f"file://{pack.path}", cache)
    assert endless.sent == 3 * 10**6 + 1


def test_what_the_disk_has_no_room_for_is_not_fetched(pack, cache, monkeypatch):
    other, endless = opened(f"file://{pack.path}", cache), Endless()
    serving(monkeypatch, SHARD, lambda: endless)
    monkeypatch.setattr(remote.shutil, "disk_usage", lambda path: SimpleNamespace(free=799))
    with pytest.raises(DataError, match=rf"^data\.cache: cannot write to '.*' \({os.strerror(errno.ENOSPC)}; 0 GB are"):
        other.split("train")[0][:]
    assert endless.sent == 0


@pytest.mark.parametrize("name", ["meta.json", SHARD])
def test_whatever_a_library_raises_is_one_line(pack, cache, monkeypatch, name):
    class NoCredentialsError(Exception):
        """As botocore's, of no kind that Python knows."""

    def refuse() -> None:
        raise NoCredentialsError("Unable to locate \x1bcredentials\nand more")

    serving(monkeypatch, name, refuse)
    with pytest.raises(DataError) as caught:
        opened(f"file://{pack.path}", cache).split("train")[0][:]
    assert str(caught.value) == (
        f"data.root: cannot read 'file://{pack.path}/{name}' (Unable to locate \\x1bcredentials). "
        "Type data.root= and the URL of a pack, or try again."
    )


def test_what_killed_processes_left_is_swept(pack, cache):
    folder = opened(f"file://{pack.path}", cache).path
    other = cache / "remote-0123456789ab" / "0123456789ab"
    other.mkdir(parents=True)
    dead = [folder / ".packing-train-00001.samples", other / ".packing-train-00001.samples"]
    alive = other / ".packing-train-00002.samples"
    for path in (*dead, alive):
        path.write_bytes(b"x")
    with FileLock(other / ".lock-train-00002.samples"):
        opened(f"file://{pack.path}", cache)
    assert [path.exists() for path in (*dead, alive)] == [False, False, True]


def test_a_part_of_a_pack_is_swept_when_its_own_lock_is_free(cache):
    """What is made beside a pack has a lock of its own."""
    cache.mkdir()
    aside = cache / ".packing-tones-0123456789ab.spectrograms.17"
    aside.mkdir()
    with FileLock(cache / ".lock-tones-0123456789ab.spectrograms"), caches.locked(cache, "another"):
        assert aside.exists()
    with caches.locked(cache, "another"):
        assert not aside.exists()


def test_one_thread_fetches_whatever_is_wanted_by_several(pack, cache, monkeypatch):
    class Slow(threading.Thread):
        def start(self) -> None:
            time.sleep(0.05)
            super().start()

    monkeypatch.setattr(remote, "threading", SimpleNamespace(Thread=Slow, Lock=threading.Lock))
    place = opened(f"file://{pack.path}", cache).place
    assert isinstance(place, remote.Remote)
    fetching, peak, done = [0], [0], list[str]()

    def fetch(self: remote.Remote, name: str) -> None:
        fetching[0] += 1
        peak[0] = max(peak[0], fetching[0])
        time.sleep(0.002)
        fetching[0] -= 1
        done.append(name)

    monkeypatch.setattr(remote.Remote, "__call__", fetch)
    names = [f"{number}" for number in range(40)]
    wanting = [threading.Thread(target=place.want, args=[names[start::8]]) for start in range(8)]
    for thread in wanting:
        thread.start()
    for thread in wanting:
        thread.join()
    until = time.time() + 20
    while len(done) < len(names) and time.time() < until:
        time.sleep(0.01)
    assert sorted(done) == sorted(names)
    assert peak == [1]


def test_another_users_cache_is_read(pack, cache, monkeypatch):
    opened(f"file://{pack.path}", cache).split("train")[0][:]

    def refuse(*given: object, **more: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(remote.os, "utime", refuse)
    monkeypatch.setattr(remote, "atomic_write", refuse)
    assert len(opened(f"file://{pack.path}", cache).split("train")[0][:]) == 500


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_what_is_made_of_a_pack_is_kept_in_the_cache(tmp_path, cache, prefix):
    """The pack may lie on a share that cannot be written to."""
    clips = {"seconds": 0.25, "features": "wave", "bands": 80, "mu_law": False, "normalise": False}
    made = open_data(node("tones", tmp_path / "made", count=12, sample_rate=8000, **clips))
    before = sorted(tmp_path.rglob("*"))
    seen = seen_pack(opened(f"{prefix}{made.path}", cache))
    assert seen.fresh
    assert seen.path.parent == cache
    assert not seen_pack(opened(f"{prefix}{made.path}", cache)).fresh
    assert [path for path in sorted(tmp_path.rglob("*")) if not path.is_relative_to(cache)] == before
