"""Read text as symbols, the ids that models see, and symbols as text. No torch: sources run in worker processes."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from aigc_cli.errors import ConfigError, DataError

BYTES = 256
NONE = -1  # id of a character that a vocabulary has not
LARGEST = 1 << 20  # symbols of any vocabulary; that of BERT for 104 languages has 119,547
LONGEST = 1 << 24  # characters of a tokenizer's JSON: a checkpoint's header takes 100 MB, and there they are escaped
UNREAD = "cannot read a text by this vocabulary"


class UnknownSymbols(Exception):  # noqa: N818 (what to do about it depends on where the text is from)
    """Hold the characters of a text that a vocabulary has not."""

    def __init__(self, characters: Iterable[str]) -> None:
        self.characters = "".join(dict.fromkeys(characters))
        super().__init__(f"unknown characters: {self.characters!r}")


class Vocabulary(Protocol):
    """Map text to ids in [0, size); one id less where pieces of text end with a symbol of their own."""

    size: int
    end: int | None  # the last id; None: running text
    specials: int  # ids at the end of the range that stand for no text

    def encode(self, text: str) -> NDArray[np.int32]:
        """Return ids, without an end symbol; UnknownSymbols where characters have none."""
        ...

    def encode_all(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        """Return the ids of each text, as encode does."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids up to the first end symbol; bytes that are no UTF-8 become U+FFFD."""
        ...

    def plain(self) -> dict[str, Any]:
        """Return what the `text` of a spec says: interfaces.Text, as plain values."""
        ...


class Characters:
    """One id a character, in the order of their code points."""

    def __init__(self, symbols: Sequence[str], *, ends: bool) -> None:
        self.symbols = tuple(symbols)
        self.ids = {symbol: index for index, symbol in enumerate(self.symbols)}
        self.specials = int(ends)
        self.size = len(self.symbols) + self.specials
        self.end = self.size - 1 if ends else None
        points = [ord(symbol) for symbol in self.symbols]
        self._table = np.full(max(points, default=0) + 2, NONE, np.int32)  # the last stands for all higher ones
        self._table[points] = range(len(points))

    def encode(self, text: str) -> NDArray[np.int32]:
        """Return an id for each character."""
        points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        ids = self._table[np.minimum(points, len(self._table) - 1)]
        if ids.min(initial=0) == NONE:
            raise UnknownSymbols(character for character in text if character not in self.ids)
        return ids

    def encode_all(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        """Return the ids of each text."""
        return [self.encode(text) for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        """Join the characters."""
        return "".join(self.symbols[index] for index in until(ids, self.end))

    def plain(self) -> dict[str, Any]:
        """Return the characters."""
        return {"symbols": list(self.symbols), "tokenizer": "", "end": self.end}


class Bytes:
    """One id a byte of UTF-8: any text can be written."""

    def __init__(self, *, ends: bool) -> None:
        self.specials = int(ends)
        self.size = BYTES + self.specials
        self.end = BYTES if ends else None

    def encode(self, text: str) -> NDArray[np.int32]:
        """Return the bytes."""
        return np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8).astype(np.int32)

    def encode_all(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        """Return the ids of each text."""
        return [self.encode(text) for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        """Read the bytes."""
        return bytes(until(ids, self.end)).decode("utf-8", "replace")

    def plain(self) -> dict[str, Any]:
        """Say that it needs nothing."""
        return {"symbols": [], "tokenizer": "", "end": self.end}


class Pairs:
    """Byte-pair encoding (arXiv:1508.07909) over bytes, by the tokenizers library; any text can be written.

    Other tokenizers of that library do as well, those that need an unknown symbol and lack it excepted. DataError where
    the library refuses one, or a text by it, and where it is larger than any that is of use.
    """

    def __init__(self, tokenizer: str, *, ends: bool) -> None:
        self.tokenizer = tokenizer
        self._tokenizer = tokenizer_from(tokenizer)
        self.specials = int(ends)
        known = self._tokenizer.get_vocab(with_added_tokens=True).values()
        self.size = max(known, default=-1) + 1 + self.specials  # ids may have gaps
        if not known or self.size > LARGEST:
            raise DataError(f"its ids take {self.size:,} symbols, the end included, allowed: 2 to {LARGEST:,}")
        self.end = self.size - 1 if ends else None

    def encode(self, text: str) -> NDArray[np.int32]:
        """Return the merged pairs' ids."""
        with refusals(UNREAD):
            return np.array(self._tokenizer.encode(_valid(text), add_special_tokens=False).ids, np.int32)

    def encode_all(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        """Return the ids of each text, on all cores."""
        with refusals(UNREAD):
            encoded = self._tokenizer.encode_batch_fast([_valid(text) for text in texts], add_special_tokens=False)
        return [np.array(each.ids, np.int32) for each in encoded]

    def decode(self, ids: Sequence[int]) -> str:
        """Join what the ids stand for."""
        with refusals("cannot write a text by this vocabulary"):
            return self._tokenizer.decode(until(ids, self.end), skip_special_tokens=False)

    def plain(self) -> dict[str, Any]:
        """Return the library's own description."""
        return {"symbols": [], "tokenizer": self.tokenizer, "end": self.end}


def tokenizer_from(described: str) -> Any:
    """Return the library's tokenizer of a JSON text, which neither fills texts up nor cuts them; DataError as Pairs."""
    if len(described) > LONGEST:
        raise DataError(f"its JSON has {len(described):,} characters, allowed: {LONGEST:,}")
    with refusals("cannot read it"):
        tokenizer = library().Tokenizer.from_str(described)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


@contextlib.contextmanager
def refusals(what: str) -> Iterator[None]:
    """Make DataErrors of what the tokenizers library refuses."""
    try:
        yield
    except Exception as error:  # the library raises no narrower one; subclasses are ours, or Python's, and go on
        if type(error) is not Exception:
            raise
        reason = ascii(str(error))[1:-1][:200]  # a stranger's words may be in it
        raise DataError(f"the tokenizers library {what}: {reason}") from None


def _valid(text: str) -> str:
    """Return a text whose lone surrogates, which the library cannot take, are U+FFFD."""
    return text if text.isascii() else text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def until(ids: Sequence[int], end: int | None) -> list[int]:
    """Return ids as plain numbers, up to the first end symbol."""
    plain = [int(index) for index in ids]
    return plain[: plain.index(end)] if end is not None and end in plain else plain


def vocabulary_of(text: Mapping[str, Any]) -> Vocabulary:
    """Return the vocabulary of a spec's text, in plain values."""
    return _opened(tuple(text["symbols"]), text["tokenizer"], text["end"] is not None)


@functools.lru_cache(maxsize=8)
def _opened(symbols: tuple[str, ...], tokenizer: str, ends: bool) -> Vocabulary:
    if symbols:
        return Characters(symbols, ends=ends)
    return Pairs(tokenizer, ends=ends) if tokenizer else Bytes(ends=ends)


def library() -> Any:
    """Return the tokenizers library, or say how to get it."""
    try:
        import tokenizers
    except ImportError:
        raise ConfigError("data.vocabulary: a byte-pair vocabulary needs the tokenizers library. "
                          "Type pip install 'aigc[text]', or data.vocabulary=bytes.") from None  # fmt: skip
    return tokenizers
