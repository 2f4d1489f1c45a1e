"""Find the run that a mistyped path was to name; no torch here."""

from __future__ import annotations

import difflib
from pathlib import Path

LISTED = 3  # runs worth naming


def near_runs(path: str | Path, setting: str = "ckpt") -> str:
    """Return what to type: the run whose name is nearest to the path's, else the newest, else what makes one."""
    path = Path(path)
    places = dict.fromkeys(place for place in (path.parent, Path("outputs")) if place.is_dir())
    known = {entry.name: entry for place in places for entry in place.iterdir() if is_run(entry)}
    close = difflib.get_close_matches(path.name, known, n=1, cutoff=0.5)
    if close:
        return f" Did you mean {setting}={known[close[0]]}?"
    newest = sorted(known.values(), key=lambda entry: entry.stat().st_mtime, reverse=True)
    others = f" (or {', '.join(map(str, newest[1:LISTED]))})" if newest[1:] else ""
    return f" Type {setting}={newest[0]}{others}." if newest else " Train one first: aigc train"


def is_run(path: Path) -> bool:
    """Tell what can be sampled: a run with checkpoints, or a file of weights."""
    return (path / "checkpoints").is_dir() or path.suffix == ".safetensors"
