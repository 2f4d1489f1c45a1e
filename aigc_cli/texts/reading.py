"""Stored symbols as text, text as symbols, and text as a terminal may see it."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aigc_cli.abilities import Transforms
from aigc_cli.data.pieces import rows_of
from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import DataSpec
from aigc_cli.texts.vocabulary import Characters, UnknownSymbols, Vocabulary, vocabulary_of

MOST_NAMED = 100  # characters that an error lists
PASSAGE = 500  # symbols of running text that are written where nobody says how many
UNREADABLE = "\N{REPLACEMENT CHARACTER}"


def vocabulary(spec: DataSpec) -> Vocabulary:
    """Return the vocabulary of a spec of text."""
    assert spec.text, "only text has a vocabulary"
    return vocabulary_of(asdict(spec.text))


def usual_length(spec: DataSpec) -> int | None:
    """Return how many symbols are written where nobody says how many; None: as many as a piece of text takes."""
    return PASSAGE if spec.text is not None and spec.text.end is None else None


def source_of(model: Any) -> DataSpec | None:
    """Return the spec of the text that a model makes text of; None where it makes it of nothing, or of a label."""
    return model.source if isinstance(model, Transforms) and model.source.text else None


def texts_of(symbols: Tensor, spec: DataSpec) -> list[str]:
    """Return the texts of stored symbols (N, T), each up to its first end symbol."""
    words = vocabulary(spec)
    return [words.decode(row) for row in symbols.cpu().tolist()]


def symbols_of(text: str, spec: DataSpec, setting: str) -> Tensor:
    """Return the symbols (P,) int64 of a text that was typed as a setting; ConfigError where it cannot be written."""
    words = vocabulary(spec)
    try:
        return torch.from_numpy(words.encode(text).astype(np.int64))
    except UnknownSymbols as unknown:
        known = words.symbols if isinstance(words, Characters) else ()
        named = safe("".join(known[:MOST_NAMED])).replace("\n", "\\n")
        more = f" and {len(known) - MOST_NAMED} more" if len(known) > MOST_NAMED else ""
        raise ConfigError(f"{setting}: the model knows no {unknown.characters!r}, its {len(known)} characters are "
                          f"{named!r}{more}. Leave it out.") from None  # fmt: skip


def row_of(symbols: NDArray[np.int32], spec: DataSpec) -> Tensor:
    """Return symbols as a pack of pieces has them, (T,): cut, or closed by the end symbol and filled up with it."""
    end = vocabulary(spec).end
    assert end is not None, "of pieces only"
    return torch.from_numpy(rows_of([symbols], spec.shape[0], end)[0]).to(spec.dtype)


def stored_sources(texts: list[str], spec: DataSpec, setting: str) -> Tensor:
    """Return texts as a spec of pieces stores them, (N, T); ConfigError where one is empty or too long."""
    most, rows = spec.shape[0] - 1, []
    for text in texts:
        ids = symbols_of(text, spec, setting)
        if not 0 < len(ids) <= most:
            given = f"{len(ids)} symbols ({safe(text)[:40]!r})" if len(ids) else "nothing"
            how = "Type less at once" if len(ids) else "Type a text"
            raise ConfigError(f"{setting}: given {given}, allowed: 1 to {most} symbols, so long as the model has "
                              f"learnt to read. {how}.")  # fmt: skip
        rows.append(row_of(ids.numpy(), spec))
    return torch.stack(rows)


def safe(text: str) -> str:
    """Return a text without the control characters that would steer a terminal; newlines and tabs stay."""
    harmless = ("\n", "\t")
    return "".join(
        each if each in harmless or unicodedata.category(each) not in ("Cc", "Cf", "Cs", "Co", "Cn") else UNREADABLE
        for each in text
    )


class Teller:
    """Hand a text on as its symbols come: whole characters only, of which one may take several symbols."""

    def __init__(self, spec: DataSpec, show: Callable[[str], None]) -> None:
        self.words, self.show = vocabulary(spec), show
        self.waiting: list[int] = []
        self.ended = False

    def __call__(self, symbols: Tensor) -> None:
        """Take the next symbol of the first row."""
        symbol = int(symbols[0])
        self.ended = self.ended or symbol == self.words.end
        if self.ended:
            return
        self.waiting.append(symbol)
        text = self.words.decode(self.waiting)
        if not text.endswith(UNREADABLE) or len(self.waiting) > 8:  # bytes of one character are at most 4
            self.finish()

    def finish(self) -> None:
        """Hand on what waits, whole or not."""
        if self.waiting:
            self.show(safe(self.words.decode(self.waiting)))
        self.waiting.clear()
