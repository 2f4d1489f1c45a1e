"""Say whether a meta.json is of a pack, and which files that pack has: nothing in it is believed before. No torch."""

from __future__ import annotations

import json
import math
import re
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aigc_cli.data.shards import shard_names
from aigc_cli.data.source import arrays_of

FORMAT, FORMATS = 1, (1, 2)  # of packs of a file for each array; and of shards as well, which an older aigc knows not
DIMENSIONS = {"image": 3, "audio": 2, "text": 1}  # of a sample's shape
LARGEST_SAMPLE = 1 << 26  # values
NUMBERS = {"sample_rate": 1, "samples": 1, "bands": 0}  # of a sound, and the least that each may be
LABEL_BYTES = 8


class AnotherError(ValueError):
    """Say that a meta.json is sound as far as can be told, but of another format or fingerprint than is asked for."""


def read_meta(said: bytes, fingerprint: str | None = None) -> dict[str, Any]:
    """Return what a meta.json says; ValueError names what is wrong with it.

    fingerprint: the one that it must have; None: any digest, which may then be part of a path.
    """
    try:
        meta = json.loads(said)
    except (ValueError, RecursionError):
        raise ValueError("it is no JSON") from None
    _want(isinstance(meta, dict) and _whole(meta.get("format"), 1), "it has no 'format'")
    given = meta.get("fingerprint")
    if meta["format"] not in FORMATS or (fingerprint is not None and given != fingerprint):
        raise AnotherError("it is of another pack")
    digest = isinstance(given, str) and re.fullmatch("[0-9a-f]{12,64}", given)
    _want(digest or fingerprint is not None, f"'fingerprint' is {reprlib.repr(given)}, not 12 to 64 of 0-9 and a-f")
    _check_spec(meta.get("spec"), "spec")
    _check_numbers(meta)
    _check_files(meta)
    return meta


def cut_off(folder: Path, meta: Mapping[str, Any]) -> list[str]:
    """Name the files of a folder whose size is not what the meta says; OSError where one is not there."""
    return [name for name, about in meta["files"].items() if (folder / name).stat().st_size != about["bytes"]]


def _want(right: object, wrong: str) -> None:
    if not right:
        raise ValueError(wrong)


def _whole(value: object, least: int = 0) -> bool:
    return type(value) is int and least <= value < 2**63


def _group(value: object) -> bool:
    return isinstance(value, dict)


def _check_numbers(meta: Mapping[str, Any]) -> None:
    counts, per_shard = meta.get("counts", {}), meta.get("per_shard")
    _want(isinstance(counts, dict) and {"train", "test"} <= set(counts), "'counts' names no train and test")
    for split, count in counts.items():
        _want(re.fullmatch("[a-z]{1,20}", split), f"'counts' names a split {reprlib.repr(split)}")
        least = int(split == "train")  # without any to train on nothing is packed
        _want(_whole(count, least), f"'counts.{split}' is {reprlib.repr(count)}, not a whole number >= {least}")
    for name in ("rejected", "ignored"):
        _want(_whole(meta.get(name)), f"'{name}' is {reprlib.repr(meta.get(name))}, not a whole number >= 0")
    given = meta.get("given")
    _want(given is None or _whole(given), f"'given' is {reprlib.repr(given)}, not a whole number >= 0")
    right = per_shard is None or _whole(per_shard, 1)
    _want(right, f"'per_shard' is {reprlib.repr(per_shard)}, not a whole number >= 1")


def _check_files(meta: Mapping[str, Any]) -> None:
    """Compare the files that are listed with those that spec and counts ask for: names, and bytes."""
    listed, counts, per_shard = meta.get("files", {}), meta["counts"], meta.get("per_shard")
    _want(isinstance(listed, dict), "'files' is no list of files")
    needed = sum(max(1, math.ceil(count / per_shard)) if per_shard else 1 for count in counts.values())
    if needed > len(listed):  # told before so many names are made
        raise ValueError(f"'files' names {len(listed):,}, but 'counts' and 'per_shard' ask for {needed:,}")
    sizes = _sizes(meta)
    for name in listed.keys() - sizes.keys():
        raise ValueError(f"'files' names {reprlib.repr(name)}, which no such pack has")
    for name in sizes.keys() - listed.keys():
        raise ValueError(f"'files' names no {name!r}")
    for name, about in listed.items():
        _want(isinstance(about, dict), f"'files.{name}' does not say bytes and sha256")
        right = type(about.get("bytes")) is int and about["bytes"] == sizes[name]
        _want(right, f"'files.{name}.bytes' is {reprlib.repr(about.get('bytes'))}, where there must be {sizes[name]}")
        digest = about.get("sha256")
        right = isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest)
        _want(right, f"'files.{name}.sha256' is {reprlib.repr(digest)}, not 64 of 0-9 and a-f")


def _sizes(meta: Mapping[str, Any]) -> dict[str, int]:
    """Return the bytes of each file that a pack of such spec and counts has."""
    spec, per_shard, sizes = meta["spec"], meta.get("per_shard"), {}
    for split, count in meta["counts"].items():
        for array, row in arrays_of(spec).items():
            names = shard_names(split, array, count, per_shard)
            most = per_shard or count  # rows of a file
            sizes |= {name: row.nbytes * min(most, count - place * most) for place, name in enumerate(names)}
        if spec["classes"]:
            sizes[f"{split}.labels"] = LABEL_BYTES * count
    return sizes


def _check_spec(spec: Any, at: str) -> None:
    """Compare a spec with what DataSpec.to_dict writes: types and ranges of all that it says."""
    _want(_group(spec) and spec.get("kind") in [*DIMENSIONS], f"'{at}.kind' is none of {[*DIMENSIONS]}")
    kind, shape, levels, classes = spec["kind"], spec.get("shape"), spec.get("levels"), spec.get("classes")
    right = isinstance(shape, list) and len(shape) == DIMENSIONS[kind] and all(_whole(size, 1) for size in shape)
    _want(right and math.prod(shape) <= LARGEST_SAMPLE, f"'{at}.shape' is {reprlib.repr(shape)}, which no {kind} has")
    most = 2**31 if kind == "text" else 2**16
    _want(_whole(levels, 2) and levels <= most, f"'{at}.levels' is {reprlib.repr(levels)}, which no {kind} has")
    right = classes is None or (isinstance(classes, list) and all(isinstance(name, str) for name in classes))
    _want(right and "classes" in spec, f"'{at}.classes' is {reprlib.repr(classes)}, not a list of names or null")
    _want(spec.get("sound") or kind != "audio", f"'{at}.sound' is not there")
    if spec.get("sound"):
        _check_sound(spec["sound"], f"{at}.sound")
    _want(bool(spec.get("text")) == (kind == "text"), f"'{at}.text' is there, or not, against the kind")
    if kind == "text":
        _check_text(spec["text"], levels, f"{at}.text")
    if spec.get("source"):
        _check_spec(spec["source"], f"{at}.source")
        _want(not spec["source"].get("source"), f"'{at}.source' has a source of its own")


def _check_sound(sound: Any, at: str) -> None:
    _want(_group(sound) and {*sound} <= {*NUMBERS, "mu_law"}, f"'{at}' is of no sound")
    for name, least in NUMBERS.items():
        right = _whole(sound.get(name, least if name == "bands" else None), least)
        _want(right, f"'{at}.{name}' is {reprlib.repr(sound.get(name))}, not a whole number >= {least}")
    _want(type(sound.get("mu_law", False)) is bool, f"'{at}.mu_law' is neither true nor false")


def _check_text(text: Any, levels: int, at: str) -> None:
    _want(_group(text), f"'{at}' is of no text")
    symbols, end = text.get("symbols"), text.get("end")
    right = isinstance(symbols, list) and all(isinstance(each, str) and len(each) == 1 for each in symbols)
    _want(right and len(set(symbols)) == len(symbols), f"'{at}.symbols' is no list of characters, each there once")
    right = isinstance(text.get("tokenizer"), str) and not (symbols and text["tokenizer"])
    _want(right, f"'{at}.tokenizer' is no text, or there are symbols beside it")
    right = "end" in text and (end is None or (_whole(end) and end < levels))
    _want(right, f"'{at}.end' is {reprlib.repr(end)}, not the number of a symbol or null")
