"""Find the run that a mistyped path was to name; no torch here."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

LISTED = 3  # runs worth naming


def near_runs(path: str | Path, setting: str = "ckpt", otherwise: str | None = None) -> str:
    """Return what to type: the run whose name is nearest to the path's, else the newest, else what makes one.

    otherwise: what makes one where not every run would do; then only a slip of the keyboard is put right.
    """
    path = Path(path)
    known = {entry.name: entry for place in (path.parent, Path("outputs")) for entry in _runs_in(place)}
    close = difflib.get_close_matches(path.name, known, n=1, cutoff=0.5 if otherwise is None else 0.8)
    if close:
        return f" Did you mean {setting}={known[close[0]]}?"
    if otherwise:
        return f" Train it first: {otherwise}."
    newest = sorted(known.values(), key=os.path.getmtime, reverse=True)
    others = f" (or {', '.join(map(str, newest[1:LISTED]))})" if newest[1:] else ""
    return f" Type {setting}={newest[0]}{others}." if newest else " Train one first: aigc train"


def _runs_in(place: Path) -> list[Path]:
    try:
        return [entry for entry in place.iterdir() if is_run(entry)]
    except OSError:  # absent, or not ours to read
        return []


def is_run(path: Path) -> bool:
    """Tell what can be sampled: a run with checkpoints, or a file of weights."""
    return os.path.isdir(path / "checkpoints") or path.suffix == ".safetensors"
