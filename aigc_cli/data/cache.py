"""Keep packs in a folder that several processes share: one writes a pack at a time, aside, and renames it."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

TEMPORARY, LOCK = ".packing-", ".lock-"


def cache_folder(cache: str | None) -> Path:
    """Return the folder of packs."""
    return Path(cache or os.environ.get("AIGC_CACHE") or "~/.cache/aigc").expanduser()


def into_place(folder: Path, path: Path) -> None:
    """Move a finished folder to its path."""
    if path.exists():  # damaged: who maps its files keeps them until it ends
        aside = folder.with_name(f"{folder.name}.old")
        path.rename(aside)
        folder.rename(path)
        shutil.rmtree(aside, ignore_errors=True)
    else:
        folder.rename(path)


@contextlib.contextmanager
def locked(cache: Path, name: str) -> Iterator[None]:
    """Let one process pack a data set at a time; what killed ones left is swept."""
    from filelock import FileLock, Timeout

    cache.mkdir(parents=True, exist_ok=True)
    lock = FileLock(cache / f"{LOCK}{name}")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("aigc: another process is packing these data: waiting for it.", file=sys.stderr)
        lock.acquire()
    try:
        _sweep(cache, name)
        yield
    finally:
        lock.release()


def _sweep(cache: Path, ours: str) -> None:
    """Remove temporaries whose owner is dead: its lock is free."""
    from filelock import FileLock, Timeout

    for folder in cache.glob(f"{TEMPORARY}*"):
        name = folder.name.removeprefix(TEMPORARY).rpartition(".")[0]  # without the process's number
        owner = contextlib.nullcontext() if name == ours else FileLock(cache / f"{LOCK}{name}", timeout=0)
        with contextlib.suppress(Timeout), owner:
            shutil.rmtree(folder, ignore_errors=True)
