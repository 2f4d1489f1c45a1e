"""Text in pieces, one a sample: what reviews and pairs of sentences have in common."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from aigc_cli.data.folders import File, hash_of, is_held_out
from aigc_cli.data.source import Part, digest
from aigc_cli.data.text_reading import batched, codec_of, ignore
from aigc_cli.errors import DataError
from aigc_cli.texts.learning import VocabularyKind, VocabularySize, learn
from aigc_cli.texts.vocabulary import Vocabulary
from aigc_cli.wording import shown

READING = 1  # raised when pieces are read otherwise, so that old packs are not taken for new ones
TOGETHER = 1024  # pieces that are encoded at a time
MOST_CLASSES = 1000


@dataclass(frozen=True)
class Piece:
    """One sample as it was found."""

    place: str  # file, and line where a file has many
    texts: tuple[str, ...] = ()  # one for each array of the pack: the text, or target and source
    label: str | None = None
    split: str | None = None  # as the data set says itself; None: by a hash of the last text
    fault: str = ""  # why it cannot be used


@dataclass(frozen=True)
class Survey:
    """Say what reading all pieces has shown."""

    classes: list[str]
    pieces: int  # that may be stored, so long as they are not too long
    moved: int | None  # the hash of the one that changes its split, so that none is empty


class Pieces(ABC):
    """A stream of pieces, each closed by the end symbol and filled up with it."""

    name: ClassVar[str]
    arrays: ClassVar[tuple[str, ...]] = ("samples",)
    settings: ClassVar[tuple[str, ...]] = ()  # attributes that the pack depends on, beside those of text

    def __init__(
        self, root: str, lengths: Sequence[int], kind: VocabularyKind, vocabulary_size: VocabularySize, encoding: str
    ) -> None:
        self.root, self.lengths, self.vocabulary_size = root, tuple(lengths), vocabulary_size
        self.kind: VocabularyKind = kind
        self.codec = codec_of(encoding)

    @abstractmethod
    def files(self) -> list[File]:
        """List the files that the pack depends on."""

    @abstractmethod
    def pieces(self, count: Callable[[int], object]) -> Iterator[Piece]:
        """Read all pieces, faulty ones included; count is told the bytes that were read."""

    @abstractmethod
    def fitted(self, ids: Sequence[NDArray[np.int32]]) -> str:
        """Say why the symbols of a piece, one array for each text, cannot be stored; nothing where they can."""

    def fingerprint(self) -> str:
        """Return a digest of the settings and of the files' names, sizes and times."""
        settings = {"lengths": self.lengths, "vocabulary": self.kind, "codec": self.codec, "reading": READING}
        settings |= {"vocabulary_size": self.vocabulary_size} if self.kind == "bpe" else {}
        return digest(self.name, settings | {key: getattr(self, key) for key in self.settings}, self.files())

    def size(self) -> int:
        """Count the bytes of the files."""
        return sum(size for _, size, _ in self.files())

    @functools.cached_property
    def survey(self) -> Survey:
        """Read all pieces once, for their labels and their splits."""
        labels: set[str] = set()
        count, first = {"train": 0, "test": 0}, ""
        least, greatest = 1 << 64, 0
        for piece in self.pieces(ignore):
            if piece.fault:
                first = first or f" {piece.place}: {piece.fault}."
                continue
            labels |= {piece.label} if piece.label is not None else set()
            place = hash_of(piece.texts[-1])
            least, greatest = min(place, least), max(place, greatest)
            count[piece.split or _split_of(piece.texts[-1])] += 1
            if len(labels) > MOST_CLASSES:
                raise DataError(f"data.label: over {MOST_CLASSES:,} different labels, such as {shown(min(labels))!r}. "
                                "Type data.label= and the name of another column.")  # fmt: skip
        if not sum(count.values()):
            raise DataError(f"data.root: nothing in '{self.root}' can be used.{shown(first)}")
        moved = least if not count["test"] and least != greatest else greatest if not count["train"] else None
        return Survey(sorted(labels), sum(count.values()), moved)

    def split(self, piece: Piece) -> str:
        """Return the split of a piece: its own, or by a hash, so that equal texts are in the same one."""
        if piece.split:
            return piece.split
        split = _split_of(piece.texts[-1])
        if hash_of(piece.texts[-1]) == self.survey.moved:
            return "train" if split == "test" else "test"
        return split

    @functools.cached_property
    def vocabularies(self) -> tuple[Vocabulary, ...]:
        """Return the vocabulary of each text of a piece: one for all."""
        return (self.learnt(len(self.arrays)),) * len(self.arrays)

    def learnt(self, sides: int) -> Vocabulary:
        """Learn a vocabulary of the first so many texts of each piece."""

        def read(count: Callable[[int], object]) -> Iterator[tuple[str, str]]:
            whole = (piece for piece in self.pieces(count) if not piece.fault)
            return ((self.split(piece), text) for piece in whole for text in piece.texts[:sides])

        return learn(self.kind, self.vocabulary_size, read, total=self.size(), ends=True)

    def spec(self) -> dict[str, Any]:
        """Describe a piece, and its source where there is one."""
        specs = [
            {"kind": "text", "shape": [length], "levels": words.size, "classes": None, "text": words.plain()}
            for words, length in zip(self.vocabularies, self.lengths, strict=True)
        ]
        return {**specs[0], "classes": self.survey.classes or None} | ({"source": specs[1]} if specs[1:] else {})

    def parts(self, count: Callable[[int], object]) -> Iterator[Part]:
        """Yield the pieces as rows of symbols."""
        for some in batched(self.pieces(count), TOGETHER):
            whole = [piece for piece in some if not piece.fault]
            sides = [words.encode_all([piece.texts[side] for piece in whole])
                     for side, words in enumerate(self.vocabularies)]  # fmt: skip
            symbols = iter(list(zip(*sides, strict=True)))
            kept: dict[str, list[tuple[Piece, tuple]]] = {"train": [], "test": []}
            rejected = []
            for piece in some:
                ids = () if piece.fault else next(symbols)
                if fault := piece.fault or self.fitted(ids):
                    rejected.append((piece.place, fault))
                else:
                    kept[self.split(piece)].append((piece, ids))
            yield self._part("train", kept["train"], rejected)
            yield self._part("test", kept["test"], [])

    def _part(self, split: str, kept: Sequence[tuple[Piece, tuple]], rejected: list[tuple[str, str]]) -> Part:
        rows = {
            array: rows_of([ids[side] for _, ids in kept], self.lengths[side], self.vocabularies[side].size - 1)
            for side, array in enumerate(self.arrays)
        }  # fmt: skip
        index = {label: number for number, label in enumerate(self.survey.classes)}
        labels = np.array([index[str(piece.label)] for piece, _ in kept], np.int64) if index else None
        return Part(split, rows, labels, rejected)

    def expected(self) -> int:
        """Return how many pieces parts will yield at most."""
        return self.survey.pieces

    def remarks(self) -> tuple[int, list[str]]:
        """Say nothing: no file is ignored, since each was named."""
        return 0, []


def rows_of(symbols: Sequence[NDArray[np.int32]], length: int, end: int) -> NDArray[np.int32]:
    """Return rows (n, length) of symbols, each closed by the end symbol and filled up with it; longer ones are cut."""
    rows = np.full((len(symbols), length), end, np.int32)
    for row, ids in zip(rows, symbols, strict=True):
        row[: len(ids)] = ids[:length]
    return rows


def _split_of(text: str) -> str:
    return "test" if is_held_out(text) else "train"
