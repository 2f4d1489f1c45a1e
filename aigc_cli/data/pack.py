"""Decode a data set once into plain memory-mapped bytes; training reads only these. DESIGN: decode once, then only bytes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aigc_cli.config import bind
from aigc_cli.interfaces import DataSpec

PIPELINE = ("cache", "workers", "max_bad", "augment")


@dataclass(frozen=True)
class Pack:
    spec: DataSpec
    path: Path
    counts: dict[str, int]
    rejected: int
    fingerprint: str

    def split(self, name: str):
        shape = (self.counts[name], *self.spec.shape)
        samples = np.memmap(self.path / f"{name}.samples", np.uint8, "c", shape=shape)
        labels = self.path / f"{name}.labels"
        return samples, np.fromfile(labels, np.int64) if labels.exists() else None


def open_data(node: Mapping[str, Any], *, progress: bool = True) -> Pack:
    settings = {k: v for k, v in node.items() if k not in PIPELINE}
    source = bind("datasets", settings, "data")()
    fingerprint = source.fingerprint()
    cache = Path(node["cache"] or os.environ.get("AIGC_CACHE", "~/.cache/aigc")).expanduser()
    path = cache / f"{source.name}-{fingerprint[:12]}"
    if not (path / "meta.json").exists():
        path.mkdir(parents=True, exist_ok=True)
        contents = source.contents()
        counts = {}
        for name, split in contents.splits.items():
            read = source.reader(name)
            array = np.stack([read(key) for key in split.keys])
            array.tofile(path / f"{name}.samples")
            counts[name] = len(array)
            if split.labels is not None:
                np.asarray(split.labels, np.int64).tofile(path / f"{name}.labels")
        (path / "meta.json").write_text(json.dumps({"spec": contents.spec, "counts": counts}))
    meta = json.loads((path / "meta.json").read_text())
    return Pack(DataSpec.from_dict(meta["spec"]), path, meta["counts"], 0, fingerprint)
