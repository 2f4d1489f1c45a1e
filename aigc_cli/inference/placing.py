"""Put a finished file or folder where it belongs without losing what is there."""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path


@dataclass
class Place:
    """Where to write, and where it lies afterwards."""

    aside: Path
    path: Path


@contextmanager
def put_in_place(target: Path) -> Iterator[Place]:
    """Lend a path to write at, then move what was written to the target, or beside it (name-2) if others lie there."""
    target = target.absolute()
    place = Place(target.with_name(f".tmp-{os.getpid()}-{target.name}"), target)
    try:
        yield place
        place.path = _free_name(place.aside, target)
        if not _exists(place.path):
            os.replace(place.aside, place.path)
    finally:
        _remove(place.aside)


def _free_name(written: Path, target: Path) -> Path:
    """Return the first of name, name-2, name-3 ... that is free or holds the same already."""
    names = (target if i == 1 else target.with_name(f"{target.stem}-{i}{target.suffix}") for i in count(1))
    return next(name for name in names if not _exists(name) or _same(written, name))


def _exists(path: Path) -> bool:
    """Tell whether anything is there; an empty folder is not."""
    return path.is_file() or (path.is_dir() and any(path.iterdir()))


def _same(one: Path, other: Path) -> bool:
    if one.is_dir() != other.is_dir():
        return False
    if one.is_file():
        return filecmp.cmp(one, other, shallow=False)
    names = sorted(str(path.relative_to(one)) for path in one.rglob("*") if path.is_file())
    if names != sorted(str(path.relative_to(other)) for path in other.rglob("*") if path.is_file()):
        return False
    return not any(filecmp.cmpfiles(one, other, names, shallow=False)[1:])


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
