"""Texts with labels, such as reviews that are for or against: a table, or a folder for each label."""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from aigc_cli.data.folders import File
from aigc_cli.data.pieces import Piece, Pieces
from aigc_cli.data.source import Rejected
from aigc_cli.data.text_file import Length
from aigc_cli.data.text_reading import LONGEST_LINE, blocks, existing_path, files_at, lines, readable
from aigc_cli.errors import DataError
from aigc_cli.texts.learning import VocabularyKind, VocabularySize
from aigc_cli.wording import shown, suggestion

Column: TypeAlias = Annotated[int, Ge(1)] | str | None  # by number, by name, or found by a usual name
Found: TypeAlias = tuple[str | None, str | None, File]  # split and label as the file's path says them, and the file

USUAL = {
    "label": ("label", "sentiment", "class", "category", "polarity", "rating", "stars", "target"),
    "text": ("text", "review", "sentence", "phrase", "content", "comment", "body"),
}
TABLES = (".csv", ".tsv")
BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)  # HTML's line break, of which aclImdb is full
UNLABELLED = "unsup"  # aclImdb's folder of reviews that nobody has labelled


class Reviews(Pieces):
    """Texts with a label each; held out as the files' names say (train, test), else by a hash of the text."""

    name: ClassVar[str] = "reviews"
    settings = ("columns", "longer")

    def __init__(
        self,
        *,
        root: str,
        label: Column,
        text: Column,
        longer: Literal["cut", "reject"],
        length: Length,
        vocabulary: VocabularyKind,
        vocabulary_size: VocabularySize,
        encoding: str,
    ) -> None:
        if isinstance(label, int) is not isinstance(text, int):
            other = "text" if isinstance(label, int) else "label"
            raise DataError(f"data.{other}: not a number, but the other column is. Type data.{other}= and its number, "
                            "from 1, where the first line holds no names.")  # fmt: skip
        super().__init__(root, (length,), vocabulary, vocabulary_size, encoding)
        self.columns, self.longer = {"label": label, "text": text}, longer
        self.cut_off = 0

    @functools.cached_property
    def layout(self) -> tuple[Path, list[Found]]:
        """Return a folder and (split, label, file) of what is in it; label None: a table."""
        root = existing_path(self.root)
        folder, files = files_at(root / "aclImdb" if (root / "aclImdb" / "train").is_dir() else root)
        if not root.is_dir():
            return folder, [(None, None, files[0])]
        if labelled := _labelled(files):
            return folder, labelled
        tables = {path: file for file in files if (path := file[0]).lower().endswith(TABLES) and "/" not in path}
        official: list[Found] = [(split, None, tables[path]) for path in sorted(tables) for split in ("train", "test")
                                 if Path(path).stem.lower() == split]  # fmt: skip
        if [split for split, _, _ in official] == ["test", "train"]:
            return folder, official
        if len(tables) == 1:
            return folder, [(None, None, next(iter(tables.values())))]
        there = f"{len(tables)} tables: {', '.join(map(shown, sorted(tables)[:5]))}" if tables else "no .csv or .tsv"
        raise DataError(f"data.root: '{self.root}' has {there}, and no folders such as train/pos and train/neg. "
                        "Type data.root= and the path of a table.")  # fmt: skip

    def files(self) -> list[File]:
        """List the tables, or the files of text."""
        return [file for _, _, file in self.layout[1]]

    def pieces(self, count: Callable[[int], object]) -> Iterator[Piece]:
        """Read all texts."""
        folder, found = self.layout
        for split, label, (path, _, _) in found:
            if label is None:
                yield from self._of_table(folder / path, split, count)
            else:
                yield self._of_file(folder / path, path, split, label, count)

    def _of_file(
        self, file: Path, path: str, split: str | None, label: str, count: Callable[[int], object]
    ) -> Piece:  # fmt: skip
        text = ""
        try:
            for _, block in blocks(file, self.codec, count=count):
                text += block
                if len(text) > LONGEST_LINE:
                    return Piece(path, fault=f"over {LONGEST_LINE:,} characters")
        except Rejected as reason:
            return Piece(path, fault=str(reason))
        return _piece(path, text, label, split)

    def _of_table(self, path: Path, split: str | None, count: Callable[[int], object]) -> Iterator[Piece]:
        with readable(path):
            read = (line + "\n" for line in lines(path, self.codec, count=count))
            head = next(read, "")
            places = self._places(path, head)
            named = not isinstance(self.columns["label"], int)
            rows = csv.reader(read if named else _again(head, read), **_dialect(path, head))
            for number, row, fault in _numbered(rows, 2 if named else 1):
                place = f"{path.name}:{number}"
                if fault or len(row) <= max(places):
                    few = f"{len(row)} columns, allowed: {max(places) + 1} or more" if row else "an empty line"
                    yield Piece(place, fault=fault or few)
                else:
                    yield _piece(place, row[places[1]], row[places[0]].strip(), split)

    def _places(self, path: Path, head: str) -> tuple[int, int]:
        """Return the indices of the columns of labels and texts."""
        names = [name.strip() for name in next(csv.reader([head], **_dialect(path, head)), [])]
        known = {name.lower(): index for index, name in reversed(list(enumerate(names)))}
        found = []
        for key, wanted in self.columns.items():
            if isinstance(wanted, int):
                found.append(wanted - 1)
                continue
            name = next((each for each in ((wanted,) if wanted else USUAL[key]) if each.lower() in known), None)
            if name is None:
                what = f"no column {wanted!r}.{suggestion(wanted, names)}" if wanted else f"no column of {key}s found."
                listed = ", ".join(shown(each)[:30] for each in names[:10])
                raise DataError(f"data.{key}: {what} The first line of '{path.name}' holds: {listed}. Type data.{key}= "
                                "and one of these, or data.label=1 data.text=2 and the like, the columns' numbers, "
                                "where it holds no names.")  # fmt: skip
            found.append(known[name.lower()])
        return found[0], found[1]

    def fitted(self, ids: Sequence[NDArray[np.int32]]) -> str:
        """Say that a text is too long, its end symbol included, where such are not cut."""
        needed = len(ids[0]) + 1
        if needed <= self.lengths[0]:
            return ""
        self.cut_off += 1
        if self.longer == "cut":
            return ""
        ways = f"data.length={needed} takes it, data.longer=cut its beginning"
        return f"{needed:,} symbols, the end symbol included ({ways})"

    def remarks(self) -> tuple[int, list[str]]:
        """Say how many texts were cut."""
        if not self.cut_off or self.longer == "reject":
            return 0, []
        return 0, [f"{self.cut_off:,} texts are longer than data.length={self.lengths[0]} symbols: of these "
                   "the beginnings are kept."]  # fmt: skip


def _piece(place: str, text: str, label: str, split: str | None) -> Piece:
    text = " ".join(filter(None, map(str.strip, BREAK.split(text))))
    fault = "" if text and label else f"no {'label' if text else 'text'}"
    return Piece(place, fault=fault) if fault else Piece(place, (text,), shown(label), split)


def _labelled(files: Sequence[File]) -> list[Found]:
    """Return the texts that lie in folders of their labels: train/pos/1.txt, or pos/1.txt."""
    found: list[Found] = []
    for file in files:
        *folders, name = file[0].split("/")
        split = folders.pop(0) if len(folders) == 2 and folders[0] in ("train", "test") else None
        if len(folders) == 1 and folders[0] != UNLABELLED and name.lower().endswith(".txt"):
            found.append((split, folders[0], file))
    official = [each for each in found if each[0]]
    chosen = official or found
    both = {split for split, _, _ in chosen} == {"train", "test"}
    return [(split if both else None, label, file) for split, label, file in chosen]


def _dialect(path: Path, head: str) -> dict:
    """Return how csv.reader is to read a table: tabs quote nothing, and what divides others is told by their head."""
    if path.suffix.lower() == ".tsv" or "\t" in head:
        return {"delimiter": "\t", "quoting": csv.QUOTE_NONE}
    return {"delimiter": ";" if head.count(";") > head.count(",") else ","}


def _numbered(rows: Any, first: int) -> Iterator[tuple[int, list[str], str]]:
    """Yield (number of its first line, row, what is wrong with it) of a csv.reader's rows."""
    while True:
        number = first + rows.line_num
        try:
            yield number, next(rows), ""
        except StopIteration:
            return
        except csv.Error as error:
            yield number, [], f"{error}: a quote may not be closed"


def _again(head: str, read: Iterator[str]) -> Iterator[str]:
    yield head
    yield from read
