"""Pairs of texts, what is given and what is to be made of it: a source, a tab and a target in each line."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from aigc_cli.data.folders import File
from aigc_cli.data.pieces import Piece, Pieces
from aigc_cli.data.text_file import Length
from aigc_cli.data.text_reading import LONGEST_LINE, existing_path, files_at, lines, readable
from aigc_cli.errors import DataError
from aigc_cli.texts.learning import VocabularyKind, VocabularySize, ready_made, tokenizer_of
from aigc_cli.texts.vocabulary import Vocabulary
from aigc_cli.wording import shown

HELD_OUT = (".val.tsv", ".test.tsv")  # endings of a folder's file that is held out, the first that is there
NO_TAB = "no tab: a line is a source, a tab and its target"


class SentencePairs(Pieces):
    """Pairs with one vocabulary for both sides, unless the source's is ready made.

    Further columns, where others note who wrote a pair, are passed over and counted.
    """

    name: ClassVar[str] = "pairs"
    arrays = ("samples", "sources")
    settings = ("direction", "source_vocabulary")

    def __init__(
        self,
        *,
        root: str,
        test: str | None,
        direction: Literal["a_to_b", "b_to_a"],
        length: Length,
        source_length: Length,
        vocabulary: VocabularyKind,
        vocabulary_size: VocabularySize,
        source_vocabulary: str | None,
        encoding: str,
    ) -> None:
        super().__init__(root, (length, source_length), vocabulary, vocabulary_size, encoding)
        self.test, self.direction, self.source_vocabulary = test, direction, source_vocabulary
        self.wider = 0  # lines of more than two columns, in the last reading

    @functools.cached_property
    def paths(self) -> dict[str | None, Path]:
        """Return the file of each split; None: of one file that is split by a hash."""
        root = existing_path(self.root)
        train, folder = (_trained_on(root), root) if root.is_dir() else (root, root.parent)
        held_out = self._held_out(folder, train if root.is_dir() else None)
        if held_out is None:
            return {None: train}
        if held_out.samefile(train):
            raise DataError(f"data.test: '{self.test}' is the file that is trained on. Type data.test= and another "
                            "file, or data.test=null, which holds out a twentieth of it.")  # fmt: skip
        return {"train": train, "test": held_out}

    def _held_out(self, folder: Path, train: Path | None) -> Path | None:
        if self.test is not None:
            below = folder / Path(self.test).expanduser()
            return below if below.is_file() else existing_path(self.test, "data.test")
        if train is None or not train.name.endswith("train.tsv"):
            return None
        stem = train.name.removesuffix("train.tsv").removesuffix(".")
        named = [folder / f"{stem}{ending}".removeprefix(".") for ending in HELD_OUT]
        return next((each for each in named if each.is_file()), None)

    def files(self) -> list[File]:
        """List the files of pairs, and of the source's vocabulary."""
        tokenizer = [tokenizer_of(self.source_vocabulary, "data.source_vocabulary")] if self.source_vocabulary else []
        return [file for path in [*self.paths.values(), *tokenizer] for file in files_at(path)[1]]

    def pieces(self, count: Callable[[int], object]) -> Iterator[Piece]:
        """Read all pairs."""
        self.wider = 0
        for split, path in self.paths.items():
            with readable(path):
                for number, line in enumerate(lines(path, self.codec, count=count), 1):
                    yield self._piece(f"{path.name}:{number}", line, split)

    def _piece(self, place: str, line: str, split: str | None) -> Piece:
        columns = [column.strip() for column in line.split("\t")]
        if len(line) >= LONGEST_LINE:
            return Piece(place, fault=f"over {LONGEST_LINE:,} characters")
        if not any(columns):
            return Piece(place, fault="an empty line" if len(columns) == 1 else "an empty source and target")
        if len(columns) == 1:
            return Piece(place, fault=NO_TAB)
        self.wider += any(columns[2:])
        source, target = columns[:2] if self.direction == "a_to_b" else columns[1::-1]
        if not source or not target:
            return Piece(place, fault=f"an empty {'target' if source else 'source'}")
        return Piece(place, (target, source), split=split)

    @functools.cached_property
    def vocabularies(self) -> tuple[Vocabulary, ...]:
        """Return the vocabularies of targets and sources."""
        if self.source_vocabulary is None:
            return (self.learnt(2),) * 2
        return self.learnt(1), ready_made(self.source_vocabulary, "data.source_vocabulary")

    def fitted(self, ids: Sequence[NDArray[np.int32]]) -> str:
        """Say which side is too long, its end symbol included."""
        for side, key, length, each in zip(("target", "source"), ("length", "source_length"), self.lengths, ids,
                                           strict=True):  # fmt: skip
            if len(each) >= length:
                needed = len(each) + 1
                return f"its {side} is of {needed:,} symbols, the end symbol included (data.{key}={needed} takes it)"
        return ""

    def remarks(self) -> tuple[int, list[str]]:
        """Say how many lines have further columns."""
        lines_are = "line has" if self.wider == 1 else "lines have"
        note = f"{self.wider:,} {lines_are} more than a source, a tab and its target: what follows is not read."
        return 0, [note] if self.wider else []


def _trained_on(folder: Path) -> Path:
    """Return the file of a folder that is trained on."""
    tables = sorted(path for path in folder.iterdir() if path.name.lower().endswith(".tsv") and path.is_file())
    chosen = [path for path in tables if path.name == "train.tsv" or path.name.endswith(".train.tsv")] or tables
    if len(chosen) == 1:
        return chosen[0]
    if not chosen:
        raise DataError(f"data.root: no .tsv in '{folder}'. Type data.root= and a file of pairs: {NO_TAB[8:]}.")
    named = ", ".join(shown(path.name) for path in chosen[:5])
    raise DataError(f"data.root: {len(chosen)} files to choose from in '{folder}': {named}. "
                    f"Type data.root={shown(str(chosen[0]))}, or another.")  # fmt: skip
