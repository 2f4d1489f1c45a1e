"""Fetch a known data set through torchvision or torchaudio; where that fails, say which files to put where."""

from __future__ import annotations

import contextlib
import importlib
import sys
from pathlib import Path

from aigc_cli.errors import DataError


def download(name: str, root: str, by_hand: str, library: str = "torchvision") -> None:
    """Download a library's data set of this name into root; DataError tells the way without a network."""
    place = Path(root).expanduser()
    created = [folder for folder in (place / name / "raw", place / name, place, *place.parents) if not folder.exists()]
    print(f"aigc: {name} is not in '{root}': downloading it.", file=sys.stderr)
    try:
        place.mkdir(parents=True, exist_ok=True)  # torchaudio makes none
        getattr(importlib.import_module(f"{library}.datasets"), name)(str(place), download=True)
    except (ImportError, OSError, RuntimeError, ValueError, EOFError) as error:  # torchvision's own are RuntimeErrors
        for folder in created:  # a mistyped root is not to stay behind as an empty folder
            with contextlib.suppress(OSError):
                folder.rmdir()
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120].rstrip(".: ")
        raise DataError(f"data.root: no {name} in '{root}', and it cannot be downloaded ({reason}). "
                        f"Without a network: {by_hand}, or type data.root= and its folder.") from None  # fmt: skip
