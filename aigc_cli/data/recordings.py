"""Recordings in files: what is read of each, by its head alone, and how a clip of it is decoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aigc_cli.data.sound import Clips
from aigc_cli.data.source import Contents, Key, Reader, Rejected, Split
from aigc_cli.sounds.reading import Head, read_clip, read_head

Cut: TypeAlias = Literal["first", "windows"]
MOST_RATES = 4  # that a note counts


def contents_of(
    root: Path, paths: Mapping[str, list[str]], labels: Callable[[str], int] | None, clips: Clips, cut: Cut,
    ignored: int = 0,
) -> Contents:  # fmt: skip
    """List the clips of each split's files; labels: of every file.

    cut: the first so many seconds of each file, or one window after another, a last one that is half full or more too.
    """
    splits, rejected, heads = {}, [], []
    for split, files in paths.items():
        keys: list[Key] = []
        kept: list[str] = []
        for path in files:
            try:
                head = read_head(root / path)
            except Rejected as reason:
                rejected.append((path, str(reason)))
                continue
            heads.append(head)
            begins = _windows(head.samples_at(clips.sample_rate), clips.samples) if cut == "windows" else [0]
            keys += [(path, begin) for begin in begins]
            kept += [path] * len(begins)
        splits[split] = Split(keys, np.fromiter(map(labels, kept), np.int64, len(kept)) if labels else None)
    return Contents(splits, ignored, rejected, list(_notes(heads, clips)), files=len(heads))


def reader_of(root: Path, clips: Clips, trim: bool = False) -> Reader:
    """Return the function that decodes a clip: a path and the sample it begins with."""

    def read(key: tuple[str, int]) -> NDArray:
        path, begin = key
        wave = read_clip(root / path, clips.sample_rate, clips.samples, clips.channels, begin=begin, trim=trim)
        return clips.stored(wave)

    return read


def _windows(samples: int, each: int) -> Sequence[int]:
    """Return where the windows of a recording begin."""
    return range(0, max(1, samples - max(1, each // 2) + 1), each)


def _notes(heads: list[Head], clips: Clips) -> Iterable[str]:
    rates = Counter(head.sample_rate for head in heads)
    if any(rate != clips.sample_rate for rate in rates):
        counted = ", ".join(f"{count:,} of {rate:,} Hz" for rate, count in rates.most_common(MOST_RATES))
        if others := sum(rates.values()) - sum(count for _, count in rates.most_common(MOST_RATES)):
            counted += f", {others:,} of other rates"
        yield f"{counted}: all are resampled to data.sample_rate={clips.sample_rate}."
    short = sum(head.samples_at(clips.sample_rate) < clips.samples for head in heads)
    longest = max((head.frames / head.sample_rate for head in heads), default=0.0)
    if short:
        yield (f"{short:,} of {len(heads):,} recordings are shorter than data.seconds={clips.seconds:g} (the longest "
               f"has {longest:.3g}): silence is added to them.")  # fmt: skip
