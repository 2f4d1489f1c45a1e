"""Write the samples of a stream into raw arrays as they come: memory does not grow with them."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from aigc_cli.data.packing import Packed, none_to_train_on, too_many, write_rejected
from aigc_cli.data.shards import ShardWriter, rows_a_shard
from aigc_cli.data.source import Stream, arrays_of
from aigc_cli.wording import shown

SPLITS = ("train", "test")


def write_stream(stream: Stream, folder: Path, *, max_bad: float, progress: bool) -> Packed:
    """Write both splits' samples and labels, and the list of the rejected; OSError where the disk refuses."""
    spec, packed = stream.spec(), Packed(counts=dict.fromkeys(SPLITS, 0))
    quiet, arrays = not progress or not sys.stderr.isatty(), arrays_of(spec)
    kinds = {name: row.dtype for name, row in arrays.items()}
    packed.per_shard = rows_a_shard(arrays.values(), stream.expected())
    if spec["classes"]:
        kinds["labels"] = np.dtype(np.int64)
    with contextlib.ExitStack() as stack:
        bar = stack.enter_context(
            tqdm(total=stream.size(), desc=f"packing {stream.name}", unit="B", unit_scale=True, disable=quiet,
                 leave=False, dynamic_ncols=True)
        )  # fmt: skip
        files = {
            (split, name): stack.enter_context(
                ShardWriter(folder, split, name, packed.per_shard if name in arrays else None)
            )
            for split in SPLITS for name in kinds
        }  # fmt: skip
        for part in stream.parts(bar.update):
            for name, kind in kinds.items():
                rows = part.labels if name == "labels" else part.rows[name]
                assert rows is not None, "labels come with every part"
                files[part.split, name].write(rows.astype(kind, copy=False))
            packed.counts[part.split] += len(part.rows["samples"])
            packed.rejected += [(shown(path), shown(reason)) for path, reason in part.rejected]
    for file in files.values():
        packed.files |= file.about()
    packed.ignored, packed.notes = stream.remarks()
    packed.given = sum(packed.counts.values()) + len(packed.rejected)
    too_many(packed.rejected, packed.given, max_bad, "texts")
    write_rejected(packed.rejected, folder)
    none_to_train_on(packed, packed.given)
    return packed
