"""Whatever a checkpoint's file holds instead of weights, its reader gets one line, and nothing in it runs."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from aigc_cli import checkpoints
from aigc_cli.checkpoints import Checkpoint
from aigc_cli.checkpoints.reading import FORMAT, MANIFEST, STATE, WEIGHTS
from aigc_cli.checkpoints.restoring import read_spec
from aigc_cli.errors import CheckpointError, ConfigError
from aigc_cli.interfaces import Classes, DataSpec, Text
from aigc_cli.texts.reading import vocabulary
from aigc_cli.texts.vocabulary import _opened
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


# What a spec says of text -------------------------------------------------------------------------------------------


def tokenizer(vocab: dict[str, int], **changes: Any) -> str:
    """Return the JSON of a tokenizer of words, as the tokenizers library writes it."""
    model = {"type": "WordLevel", "vocab": vocab, "unk_token": "a"}
    parts = ("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder")
    return json.dumps({"version": "1.0", "added_tokens": [], **dict.fromkeys(parts), "model": model, **changes})


LETTERS = ("a", "b", "c")
WORDS = tokenizer({"a": 0, "b": 1})
SPECS = {
    "running": DataSpec("text", (7,), 3, text=Text(LETTERS)),
    "pieces": DataSpec("text", (7,), 4, Classes(("one", "other")), text=Text(LETTERS, end=3)),
    "bytes": DataSpec("text", (7,), 257, text=Text(end=256)),
    "words": DataSpec("text", (7,), 3, text=Text(tokenizer=WORDS, end=2)),
    "gaps": DataSpec("text", (7,), 11, text=Text(tokenizer=tokenizer({"a": 0, "b": 9}), end=10)),
    "large": DataSpec("text", (7,), 119_548, text=Text(
        tokenizer=tokenizer({"a": 0} | {f"w{number}": number for number in range(1, 119_547)}), end=119_547)),
    "pairs": DataSpec("text", (7,), 4, DataSpec("text", (5,), 3, text=Text(tokenizer=WORDS, end=2)),
                      text=Text(LETTERS, end=3)),
}  # fmt: skip


def spec_of(plain: object) -> DataSpec:
    return read_spec(Checkpoint(Path("stranger"), 1, {"spec": plain}))


@pytest.mark.parametrize("name", SPECS)
def test_a_spec_of_text_is_read_as_it_was_written(name):
    assert spec_of(json.loads(json.dumps(SPECS[name].to_dict()))) == SPECS[name]


HOSTILE: list[tuple[str, dict[str, Any], dict[str, Any]]] = [  # of a spec, and of its text
    *(("pieces", {}, {"end": end}) for end in ("x", [1], 9999, -5, 2, 4, 3.0, True, None, {})),
    *(("running", {}, {"symbols": symbols}) for symbols in (
        ["ab", "c", "d"], ["1"], [1, 2, 3], [["a"], ["b"], ["c"]], "ab", ["a", "a", "b"], [""] * 3, 5, None, [], {})),
    *(("words", {}, {"tokenizer": each}) for each in (
        "{}", "", 5, ["a"], None, "[" * 5000, "x", '{"model": {}}', '{"model": {"type": "\\u001b[31m\\n"}}', "\ud800",
        tokenizer({}), tokenizer({"a": 0}), tokenizer({"a": 0, "b": 2}), tokenizer({"a": 0, "b": 2**32 - 1}),
        tokenizer({"a": -1, "b": 1}), tokenizer({"a": 0, "b": 1}, padding=5))),
    ("words", {"levels": 1 << 21}, {"tokenizer": tokenizer({"a": 0, "b": (1 << 21) - 2}), "end": (1 << 21) - 1}),
    ("words", {"levels": 2}, {}), ("words", {}, {"symbols": ["a", "b"]}), ("bytes", {"levels": 13}, {"end": 12}),
    ("bytes", {"levels": 13}, {"end": None}), ("running", {"shape": [2, 7]}, {}), ("running", {"shape": []}, {}),
    ("running", {"kind": "image", "shape": [1, 7, 7]}, {}),
    *(("running", {"text": text}, {}) for text in (None, 5, [], ["a"], "text", {"symbols": ["a", "b", "c"]})),
]  # fmt: skip


@pytest.mark.parametrize("within", [False, True], ids=["alone", "source"])
@pytest.mark.parametrize("case", range(len(HOSTILE)))
def test_a_hostile_spec_of_text_is_one_line(case, within):
    name, of_spec, of_text = HOSTILE[case]
    plain = SPECS[name].to_dict()
    plain = {**plain, "text": {**plain["text"], **of_text}, **of_spec}
    with pytest.raises(CheckpointError, match=r"^stranger: (its spec describes no data|the vocabulary of its)") as told:
        spec_of({**SPECS["pieces"].to_dict(), "classes": None, "source": plain} if within else plain)
    assert str(told.value).isprintable()
    assert len(str(told.value)) < 400


@pytest.mark.parametrize("depth", [2, 100, sys.getrecursionlimit()])
def test_a_source_of_a_source_is_one_line(depth):
    plain: dict[str, Any] = SPECS["running"].to_dict()
    for _ in range(depth):
        plain = {**SPECS["running"].to_dict(), "source": plain}
    with pytest.raises(CheckpointError, match="describes no data"):
        read_spec(Checkpoint(Path("stranger"), 1, {"spec": plain}))


def test_a_strangers_tokenizer_fills_no_memory():
    filled = {"strategy": {"Fixed": 1 << 44}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
              "pad_type_id": 0, "pad_token": "a"}  # fmt: skip
    text = Text(tokenizer=tokenizer({"a": 0, "b": 1}, padding=filled), end=2)
    spec = spec_of(DataSpec("text", (7,), 3, text=text).to_dict())
    assert vocabulary(spec).encode("b").tolist() == [1]


def test_without_the_tokenizers_library_the_way_out_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    _opened.cache_clear()
    with pytest.raises(ConfigError, match=r"pip install 'aigc\[text\]'"):
        spec_of(SPECS["words"].to_dict())
    assert spec_of(SPECS["running"].to_dict()) == SPECS["running"]
