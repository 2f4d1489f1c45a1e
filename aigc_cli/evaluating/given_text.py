"""Measure texts that are there already: which are new, and how near translations come to those that are held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from aigc_cli.data.pack import Pack
from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import DataSpec
from aigc_cli.texts.pages import Passage
from aigc_cli.texts.reading import row_of, safe, vocabulary
from aigc_cli.texts.vocabulary import UnknownSymbols, Vocabulary

AT_ONCE = 1 << 20  # symbols of running text that are searched at a time
SHOWN = 40  # characters of a text that an error shows


def novelty(passages: Sequence[Passage], pack: Pack) -> float:
    """Return the share of texts that are no training sample, or of running text, that occur nowhere in it."""
    words, (train, _) = vocabulary(pack.spec), pack.split("train")
    symbols = [_known(passage.text, words, number) for number, passage in enumerate(passages, 1)]
    if words.end is None:
        occurring = _occurring({passage.text for passage in passages}, train, words)
        return sum(passage.text not in occurring for passage in passages) / len(passages)
    known = {row.tobytes() for row in train}
    return sum(row_of(each, pack.spec).numpy().tobytes() not in known for each in symbols) / len(passages)


def references(passages: Sequence[Passage], pack: Pack, split: str) -> list[str]:
    """Return what each text should be: the target of its source among a split's pairs, the first of several.

    Texts without a source are translations of all of the split's sources, in the data's order.
    """
    (targets, sources), words, source_spec = pack.split(split), vocabulary(pack.spec), pack.spec.condition
    assert isinstance(source_spec, DataSpec)
    assert sources is not None
    if without := sum(passage.source is None for passage in passages):
        if without < len(passages) or without != len(targets):
            raise ConfigError(f"samples: given {len(passages):,} texts, {without:,} of them without a source, allowed: "
                              f"a .jsonl with the source of each, or {len(targets):,} texts, one for each pair of the "
                              f"{split} split in its order. Or leave translation out of metrics=.")  # fmt: skip
        return [words.decode(row) for row in targets]
    places = {row.tobytes(): place for place, row in reversed(list(enumerate(sources)))}
    found = []
    for number, passage in enumerate(passages, 1):
        place = _place(str(passage.source), places, source_spec)
        if place is None:
            raise ConfigError(f"samples, text {number}: its source {safe(str(passage.source))[:SHOWN]!r} is none of "
                              f"the {split} split's, whose targets it would be compared with. Take it out, or leave "
                              "translation out of metrics=.")  # fmt: skip
        found.append(words.decode(targets[place]))
    return found


def _known(text: str, words: Vocabulary, number: int) -> NDArray[np.int32]:
    try:
        return words.encode(text)
    except UnknownSymbols as unknown:
        odd = unknown.characters[:SHOWN]
        raise ConfigError(f"samples, text {number}: the data know no {odd!r}. Take it out, or leave novelty out of "
                          "metrics=.") from None  # fmt: skip


def _place(source: str, places: Mapping[bytes, int], spec: DataSpec) -> int | None:
    """Return the place of a stored source; None where it is not there."""
    try:
        return places.get(row_of(vocabulary(spec).encode(source), spec).numpy().tobytes())
    except UnknownSymbols:
        return None


def _occurring(texts: set[str], rows: NDArray, words: Vocabulary) -> set[str]:
    """Return those of the texts that occur in running text (N, T), however its symbols cut it."""
    found, longest = set[str](), max(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    each = max(1, AT_ONCE // rows.shape[1])
    more = -(-longest // rows.shape[1])  # rows, which may hold the end of a text: a symbol is a byte or more
    for start in tqdm(range(0, len(rows), each), desc="searching", leave=False, disable=None, dynamic_ncols=True):
        text = words.decode(rows[start : start + each + more].reshape(-1).tolist())
        found |= {each for each in texts - found if each in text}
    return found
