"""Decode the samples of a source into raw arrays, in worker processes. No torch: each worker would pay for it."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from aigc_cli.data.shards import ShardWriter, rows_a_shard
from aigc_cli.data.source import OUTSIDE, Contents, Key, Reader, Rejected, Rows, Source, arrays_of
from aigc_cli.errors import DataError
from aigc_cli.wording import shown

FEW = 512  # samples that are decoded sooner than worker processes start
CHUNK_BYTES, CHUNK_SAMPLES = 8 * 2**20, 128  # what a worker decodes at a time; a few chunks per worker are in memory
NAMED = 3  # rejected files that an error names

Bad: TypeAlias = tuple[str, str]  # (path, reason)
Chunk: TypeAlias = tuple[dict[str, NDArray], list[int], list[Bad]]  # rows, which of the keys they are, the rejected


@dataclass
class Packed:
    """Say what was written."""

    counts: dict[str, int] = field(default_factory=dict)
    files: dict[str, dict[str, int | str]] = field(default_factory=dict)  # name -> bytes, sha256
    given: int = 0  # files, or texts: those that cannot be used as well
    rejected: list[Bad] = field(default_factory=list)
    ignored: int = 0  # files that are none of the kind: counted, never an error
    notes: list[str] = field(default_factory=list)  # what the user should know of how they were packed
    per_shard: int | None = None  # records of a file; None: all


def write_pack(
    source: Source, contents: Contents, folder: Path, *, workers: int, max_bad: float, progress: bool
) -> Packed:
    """Write every split's samples and labels, and the list of the rejected; OSError where the disk refuses."""
    listed = [(shown(path), reason) for path, reason in contents.rejected]
    counts = dict.fromkeys(contents.splits, 0)
    packed = Packed(counts, rejected=listed, ignored=contents.ignored, notes=contents.notes)
    samples = sum(len(split.keys) for split in contents.splits.values())
    total = samples + len(packed.rejected)
    packed.given = (samples if contents.files is None else contents.files) + len(packed.rejected)
    quiet, arrays = not progress or not sys.stderr.isatty(), arrays_of(source.spec())
    per_shard = packed.per_shard = rows_a_shard(arrays.values(), samples)
    with decoding(source, contents, workers) as decode, tqdm(
        total=total, desc=f"packing {source.name}", unit="sample", disable=quiet, leave=False, dynamic_ncols=True
    ) as bar:  # fmt: skip
        for name, split in contents.splits.items():
            told: set[str] = set()
            with contextlib.ExitStack() as stack:
                files = {each: stack.enter_context(ShardWriter(folder, name, each, per_shard)) for each in arrays}
                if split.labels is not None:
                    files["labels"] = stack.enter_context(ShardWriter(folder, name, "labels", None))
                for start, keys, (rows, good, bad) in decode(name, split.keys):
                    if split.labels is not None:
                        rows["labels"] = np.asarray(split.labels[start : start + len(keys)], np.int64)[good]
                    for each, file in files.items():
                        file.write(rows[each])
                    packed.counts[name] += len(good)
                    for path, reason in bad:
                        if path not in told:  # several samples may be of one file
                            told.add(path)
                            packed.rejected.append((path, reason))
                    too_many(packed.rejected, packed.given, max_bad)
                    bar.update(len(keys))
            for file in files.values():
                packed.files |= file.about()
    write_rejected(packed.rejected, folder)
    none_to_train_on(packed, total)
    return packed


def write_rejected(rejected: Sequence[Bad], folder: Path) -> None:
    """List what could not be used, a JSON object a line."""
    lines = [json.dumps({"path": path, "reason": reason}) + "\n" for path, reason in rejected]
    (folder / "rejected.jsonl").write_text("".join(lines))


def none_to_train_on(packed: Packed, total: int) -> None:
    """Raise DataError where nothing of the training split could be used."""
    if not packed.counts["train"]:
        raise DataError(
            f"data: none of the {total} samples can be trained on.{_named(packed.rejected)} Type data.root= and others."
        )


def too_many(rejected: Sequence[Bad], total: int, max_bad: float, what: str = "files") -> None:
    """Raise DataError once the unreadable are more than the share that is allowed; what: they are called."""
    if len(rejected) > max_bad * total:
        outside = any(reason == OUTSIDE for _, reason in rejected)
        move = "Move them into one, type data.labels=false" if outside else "Remove them"
        remedy = f"{move}, or type data.max_bad=1 to go on without them, however many there are."
        raise DataError(
            f"data: more than max_bad={max_bad:g} of the {total:,} {what} cannot be used.{_named(rejected)} {remedy}"
        )


def _named(rejected: Sequence[Bad]) -> str:
    listed = "; ".join(f"{path} ({reason})" for path, reason in rejected[:NAMED])
    return f" {listed}{'; ...' if len(rejected) > NAMED else '.'}" if rejected else ""


class Decoder:
    """Decode chunks of keys; every split's reader is made once."""

    def __init__(self, source: Source, arrays: Mapping[str, Rows]) -> None:
        self.source, self.arrays = source, arrays
        self.readers: dict[str, Reader] = {}

    def __call__(self, split: str, keys: Sequence[Key]) -> Chunk:
        if split not in self.readers:
            self.readers[split] = self.source.reader(split)
        read, good, bad = self.readers[split], [], []
        rows = {name: np.empty((len(keys), *row.shape), row.dtype) for name, row in self.arrays.items()}
        for index, key in enumerate(keys):
            try:
                stored = read(key)
            except Rejected as reason:
                bad.append((shown(str(key[0] if isinstance(key, tuple) else key)), shown(str(reason))))
                continue
            for array, row in zip(rows.values(), stored if isinstance(stored, tuple) else (stored,), strict=True):
                array[len(good)] = row
            good.append(index)
        return {name: array[: len(good)] for name, array in rows.items()}, good, bad


Decode: TypeAlias = Callable[[str, Sequence[Key]], Iterator[tuple[int, Sequence[Key], Chunk]]]


@contextlib.contextmanager
def decoding(source: Source, contents: Contents, workers: int) -> Iterator[Decode]:
    """Yield what decodes a split's keys chunk by chunk, in their order: in worker processes, if that is worth it."""
    arrays = arrays_of(source.spec())
    size = max(1, min(CHUNK_SAMPLES, CHUNK_BYTES // sum(row.nbytes for row in arrays.values())))
    total = sum(len(split.keys) for split in contents.splits.values())
    workers = min(workers, 1 + total // FEW)  # a server's hundred cores would start longer than they decode
    if not (workers and total >= FEW and source.parallel) or multiprocessing.current_process().daemon:
        decoder = Decoder(source, arrays)

        def here(split: str, keys: Sequence[Key]) -> Iterator[tuple[int, Sequence[Key], Chunk]]:
            for start in range(0, len(keys), size):
                yield start, keys[start : start + size], decoder(split, keys[start : start + size])

        yield here
        return
    spawn = multiprocessing.get_context("spawn")  # a forked child would inherit threads' locks
    pool = ProcessPoolExecutor(workers, spawn, _start_worker, (source, arrays))
    try:
        yield lambda split, keys: _in_pool(pool, split, keys, size, 2 * workers + 1)
    except BrokenProcessPool:
        raise DataError(
            "data: a worker process was killed, most likely for want of memory. Type data.workers=1."
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _script_hidden() -> Iterator[None]:
    """Keep workers from running the user's script again: without a guard, it would wait for the pack it is making."""
    script = sys.modules["__main__"].__dict__
    kept = {key: script[key] for key in ("__file__", "__spec__") if key in script}
    script.pop("__file__", None)
    script["__spec__"] = None
    try:
        yield
    finally:
        script.update(kept)


def _in_pool(
    pool: ProcessPoolExecutor, split: str, keys: Sequence[Key], size: int, ahead: int
) -> Iterator[tuple[int, Sequence[Key], Chunk]]:
    waiting: deque[tuple[int, Sequence[Key], Future[Chunk]]] = deque()
    for start in range(0, len(keys), size):
        part = keys[start : start + size]
        with _script_hidden():  # a task may start a worker
            waiting.append((start, part, pool.submit(_work, split, part)))
        if len(waiting) > ahead:  # so that memory is bounded
            first, done, future = waiting.popleft()
            yield first, done, future.result()
    while waiting:
        first, done, future = waiting.popleft()
        yield first, done, future.result()


_decoder: Decoder | None = None  # a worker's own


def _start_worker(source: Source, arrays: Mapping[str, Rows]) -> None:
    global _decoder
    os.environ["OMP_NUM_THREADS"] = "1"  # for a source that will need torch: there are as many of us as cores
    _decoder = Decoder(source, arrays)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends us
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # it was killed: nobody waits for our chunks


def _work(split: str, keys: Sequence[Key]) -> Chunk:
    assert _decoder is not None
    return _decoder(split, keys)
