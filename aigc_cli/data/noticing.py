"""Know a large folder again without looking at each of its files, so that a start does not grow with them.

Below MANY files, every one is looked at. Above, it is noticed when files were added, removed, renamed or replaced by
others of the same name (their folder's time changes), and when one of LOOKED_AT files, chosen at random, has another
size or time. What is not noticed: few files that were written over in place. `aigc data pack` looks at all of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aigc_cli.data.source import DECODING, Source, Stream, Watched
from aigc_cli.files import atomic_write

MANY = 20_000  # files that are looked at in less than half a second
LOOKED_AT = 1000  # of more: if one in a hundred was written over, one of these was, but for one time in 20,000
SETTLED = 2.0  # seconds: a folder that was changed later than this before it was listed may change in the same tick


def remembered(source: Source | Stream, settings: Mapping[str, Any], cache: Path) -> str | None:
    """Return the fingerprint that was noted of a large folder, if nothing there is seen to have changed."""
    if not isinstance(source, Watched):
        return None
    root = _root(source)
    try:
        noted = json.loads(_note(settings, root, cache).read_bytes())
        changed = any(os.stat(root / path).st_mtime_ns != stamp for path, stamp in noted["folders"].items())
        for path, size, stamp in noted["files"] if not changed else ():
            about = os.stat(root / path)
            changed = changed or (about.st_size, about.st_mtime_ns) != (size, stamp)
        return None if changed else noted["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # no note, or nothing that can be trusted
        return None


def fingerprint_of(source: Source | Stream, settings: Mapping[str, Any], cache: Path) -> str:
    """Look at every file; note a large folder in the cache, if there is one."""
    began, fingerprint = time.time(), source.fingerprint()
    if isinstance(source, Watched) and len(files := source.listing()) > MANY:
        settled = max(files.folders.values()) < (began - SETTLED) * 1e9
        chosen = [files[place] for place in sorted(random.SystemRandom().sample(range(len(files)), LOOKED_AT))]
        noted = {"fingerprint": fingerprint, "folders": dict(files.folders), "files": chosen}
        with contextlib.suppress(OSError):  # a start without a note takes longer, that is all
            path = _note(settings, _root(source), cache)
            if settled:
                path.parent.mkdir(parents=True, exist_ok=True)
                atomic_write(path, json.dumps(noted).encode("utf-8", "surrogateescape"), durable=False)
            else:
                path.unlink(missing_ok=True)
    return fingerprint


def _root(source: Watched) -> Path:
    return Path(source.root).expanduser().resolve()


def _note(settings: Mapping[str, Any], root: Path, cache: Path) -> Path:
    """Return where a folder is noted; the same folder by other settings is another pack."""
    key = json.dumps([DECODING, dict(settings), str(root)], sort_keys=True)
    return cache / f".seen-{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
