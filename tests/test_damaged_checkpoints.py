"""Whatever a checkpoint's file holds instead of weights, its reader gets one line, and nothing in it runs."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch

from aigc_cli import checkpoints
from aigc_cli.checkpoints.reading import FORMAT, MANIFEST, STATE, WEIGHTS
from aigc_cli.errors import CheckpointError
from tests.toy_checkpoints import META, rewrite_manifest, save


def _header(header: bytes, data: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + data


def _with_meta(text: object, shape: list[int] | None = None, end: int = 4) -> bytes:
    entry = {"dtype": "F32", "shape": shape or [1], "data_offsets": [0, end]}
    return _header(json.dumps({"__metadata__": {"aigc": text}, "w": entry}).encode(), b"\0" * 4)


GOOD_META = json.dumps({**META, "format": FORMAT, "aigc": "0.1.0", "step": 1})


class Payload:
    """Make a file when unpickled."""

    def __reduce__(self):
        return (open, ("canary", "w"))


# What a .safetensors file may hold instead of weights, and what its reader is told.
DAMAGED = {
    "empty": (b"", r"is empty \(0 bytes\)"),
    "few bytes": (b"\x01\x02\x03", "is no .safetensors file"),
    "html": (b"<!DOCTYPE html><html><body>404</body></html>" * 9, "web page"),
    "text": (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\n", "is a text file"),
    "random": (bytes(range(200, 256)) * 20, "is no .safetensors file"),
    "pickle": (pickle.dumps({"w": Payload()}), "is a pickle under another name"),
    "old pickle": (pickle.dumps({"w": Payload()}, protocol=0), "is a text file"),
    "torch zip": (b"PK\x03\x04" + b"\0" * 500, "is a pickle under another name"),
    "header cut": (_header(b'{"w":' + b" " * 900)[:500], "is truncated"),
    "data cut": (_with_meta(GOOD_META)[:-2], "is truncated: it declares 4 bytes of tensors and has 2"),
    "huge tensors": (_with_meta(GOOD_META, [2**40], 2**42), "is truncated: it declares 4398046511104 bytes"),
    "shape lies": (_with_meta(GOOD_META, [2**40], 4), "is damaged"),
    "data too long": (_with_meta(GOOD_META) + b"x", "is damaged"),
    "offsets lie": (_with_meta(GOOD_META, end=-4), "is damaged"),
    "no offsets": (_header(b'{"w": 1}'), "does not say where"),
    "header no json": (_header(b"{" + b"\xff" * 90), "no JSON object"),
    "deep json": (_header(b'{"a":' * 50000), "no JSON object"),
    "of another program": (safetensors.torch.save({"w": torch.ones(1)}), "not written by aigc"),
    "metadata a list": (_header(b'{"__metadata__": [1]}'), "not written by aigc"),
    "meta no json": (_with_meta("{"), "no JSON object"),
    "meta deep": (_with_meta("[" * 50000), "no JSON object"),
    "meta number": (_with_meta("1"), "no JSON object"),
    "meta not text": (_with_meta(7), "not written by aigc"),
    "no format": (_with_meta("{}"), "names no format"),
    "newer": (_with_meta(json.dumps({"format": 99, "aigc": "7.0.0"})), r"format 99.*Install aigc '7\.0\.0' or newer"),
    "newer, hostile": (_with_meta(json.dumps({"format": 99, "aigc": "\x1b[2J\n" * 99})), "format 99"),
    "no step": (_with_meta(json.dumps({"format": 1, "config": {}})), "no step"),
    "step a text": (_with_meta(json.dumps({"format": 1, "step": "1", "config": {}})), "no step"),
    "no digest": (_with_meta(GOOD_META), "differs from the SHA-256"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGED)
def test_every_damaged_file_is_one_line_and_runs_nothing(tmp_path, monkeypatch, case):
    content, expected = DAMAGED[case]
    monkeypatch.chdir(tmp_path)
    good = save(tmp_path / "run" / "checkpoints", 10)
    broken = good.with_name("step-00000020")
    shutil.copytree(good, broken)
    (broken / WEIGHTS).write_bytes(content)
    Path("lone.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=expected) as caught:
        checkpoints.resolve("lone.safetensors")
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    # In its folder the manifest finds it, and the neighbour is named.
    with pytest.raises(CheckpointError, match=r"newest good one beside it: .*step-00000010") as caught:
        checkpoints.resolve(broken)
    assert "\n" not in str(caught.value)
    # A forger may have written the manifest as well.
    entry = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    rewrite_manifest(broken, files={WEIGHTS: entry})
    if content and case != "no digest":
        with pytest.raises(CheckpointError):
            checkpoints.resolve(broken).tensors()
    if not case.startswith("newer"):
        assert checkpoints.resolve(tmp_path / "run", warn=lambda _: None).step in (1, 10)
    assert not Path("canary").exists()


@pytest.mark.parametrize("suffix", ["pt", "pth", "ckpt", "pkl", "bin"])
def test_pickles_given_by_the_user_are_refused_with_the_reason(tmp_path, monkeypatch, suffix):
    monkeypatch.chdir(tmp_path)
    torch.save({"w": Payload()}, tmp_path / f"model.{suffix}")
    with pytest.raises(CheckpointError, match="pickles, which can run code"):
        checkpoints.resolve(tmp_path / f"model.{suffix}")
    assert not Path("canary").exists()


STATES = [b"", b"junk", b"<html>", b"e" * 99, pickle.dumps(Payload()), b"PK\x03\x04junk", "zip", "list"]


@pytest.mark.parametrize("content", STATES, ids=range(len(STATES)))
def test_a_forged_trainer_state_is_one_line_and_runs_nothing(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path, 10)
    if isinstance(content, str):
        torch.save(Payload() if content == "zip" else [1, 2], path / STATE)
    else:
        (path / STATE).write_bytes(content)
    with pytest.raises(CheckpointError):
        checkpoints.resolve(path).state()
    content = (path / STATE).read_bytes()
    entry = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    manifest = json.loads((path / MANIFEST).read_text())
    rewrite_manifest(path, files={**manifest["files"], STATE: entry})
    with pytest.raises(CheckpointError) as caught:
        checkpoints.resolve(path).state()
    assert "\n" not in str(caught.value)
    assert not Path("canary").exists()


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"format": 1}', '{"format": 1, "files": {"model.safetensors": 3}}', '{"format": true}']
)
def test_a_damaged_manifest_is_one_line(tmp_path, content):
    path = save(tmp_path, 10)
    (path / MANIFEST).write_text(content)
    with pytest.raises(CheckpointError, match=r"manifest\.json is damaged"):
        checkpoints.resolve(path)


@pytest.mark.parametrize("name", [WEIGHTS, STATE, MANIFEST])
def test_a_missing_file_is_named(tmp_path, name):
    path = save(tmp_path, 10)
    (path / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        checkpoints.resolve(path).state()
