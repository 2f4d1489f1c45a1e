"""Say what packed text is: its vocabulary, how long its pieces are, and some of it. No torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aigc_cli.texts.vocabulary import BYTES, vocabulary_of

if TYPE_CHECKING:
    from aigc_cli.data.pack import Pack

AT_ONCE = 1 << 16  # rows that are counted at a time


def vocabulary_said(about: Mapping[str, Any]) -> str:
    """Name the vocabulary of a spec's text, in plain values, and its size."""
    text = about["text"]
    size = about["levels"] - (text["end"] is not None)
    if text["symbols"]:
        said = f"{size:,} characters"
    elif text["tokenizer"]:
        said = f"{size:,} symbols of {json.loads(text['tokenizer'])['model']['type']}"
    else:
        said = f"{BYTES} bytes"
    return said if text["end"] is None else f"{said} and an end symbol"


def lengths_said(pack: Pack) -> list[str]:
    """Return lines: how long the pieces that are trained on are, and their sources; of running text how much it is."""
    about, (samples, sources) = pack.about, pack.split("train")
    if about["text"]["end"] is None:
        return [f"{samples.size:,} symbols to train on, {pack.counts['test'] * about['shape'][0]:,} held out"]
    said = [_lengths(samples, about["text"]["end"])]
    if about.get("source") and sources is not None:
        said.append(f"from {_lengths(sources, about['source']['text']['end'])}")
    return said


def _lengths(rows: NDArray, end: int) -> str:
    """Return least, mean and greatest length, without the end symbol."""
    counts = np.concatenate([_counted(rows[start : start + AT_ONCE], end) for start in range(0, len(rows), AT_ONCE)])
    return f"{counts.min():,} to {counts.max():,} symbols, {counts.mean():,.1f} on average"


def _counted(rows: NDArray, end: int) -> NDArray[np.int64]:
    """Count the symbols of rows (n, T) before the first end symbol."""
    ended = rows == end
    return np.where(ended.any(1), ended.argmax(1), rows.shape[1])


def examples(pack: Pack, picked: Sequence[int] | NDArray) -> list[str]:
    """Return the training samples of an index as text, after their labels, or below the sources they come with."""
    about, (samples, condition) = pack.about, pack.split("train")
    words, source = vocabulary_of(about["text"]), about.get("source")
    texts = []
    for index in picked:
        text = words.decode(samples[index])
        if condition is not None and source:
            text = f"{vocabulary_of(source['text']).decode(condition[index])}\n{text}"
        elif condition is not None:
            text = f"{about['classes'][condition[index]]}: {text}"
        texts.append(text)
    return texts
