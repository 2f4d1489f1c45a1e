"""Your own text: a file, or the .txt files of a folder, read as one running text."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeAlias

import numpy as np
from annotated_types import Ge, Le

from aigc_cli.data.folders import File
from aigc_cli.data.source import Part, digest
from aigc_cli.data.text_reading import at_blanks, batched, blocks, codec_of, existing_path, files_at, ignore, readable
from aigc_cli.errors import DataError
from aigc_cli.texts.learning import VocabularyKind, VocabularySize, learn
from aigc_cli.texts.vocabulary import Vocabulary
from aigc_cli.wording import shown

Length: TypeAlias = Annotated[int, Ge(2), Le(1 << 20)]

READING = 1  # raised when text is read otherwise, so that old packs are not taken for new ones
TEST_SHARE = 10  # the last tenth is held out
PASSAGE, PASSAGES = 1 << 14, 16  # characters that are encoded together, and how many such at a time
LOOKED_AT = 64  # of these, at most, to foresee how much room all will take


class TextFile:
    """Windows of one running text, one after the other, so that the samples of a split are its text."""

    name: ClassVar[str] = "text_file"

    def __init__(
        self,
        *,
        root: str,
        length: Length,
        vocabulary: VocabularyKind,
        vocabulary_size: VocabularySize,
        encoding: str,
    ) -> None:
        self.root, self.length, self.vocabulary_size = root, length, vocabulary_size
        self.kind: VocabularyKind = vocabulary
        self.codec = codec_of(encoding)

    def found(self) -> Path:
        """Return the file, or the folder."""
        return existing_path(self.root)

    @functools.cached_property
    def listed(self) -> tuple[Path, list[File], int]:
        """Return a folder, the files of text in it, sorted by path, and how many others there are."""
        path = self.found()
        folder, files = files_at(path)
        texts = [file for file in files if file[0].lower().endswith(".txt")] if path.is_dir() else files
        if not texts:
            raise DataError(f"data.root: no .txt among the {len(files)} files of '{self.root}'. Type data.root= and a "
                            "folder of .txt files, or one file of any name.")  # fmt: skip
        holding = [file for file in texts if file[1]]
        if not holding:
            raise DataError(f"data.root: '{shown(str(folder / texts[0][0]))}' is empty.")
        return folder, holding, len(files) - len(holding)

    def fingerprint(self) -> str:
        """Return a digest of the settings and of the files' names, sizes and times."""
        settings = {"length": self.length, "vocabulary": self.kind, "codec": self.codec, "reading": READING}
        settings |= {"vocabulary_size": self.vocabulary_size} if self.kind == "bpe" else {}
        return digest(self.name, settings, self.listed[1])

    @functools.cached_property
    def vocabulary(self) -> Vocabulary:
        """Learn the vocabulary."""
        return learn(self.kind, self.vocabulary_size, self._passages, total=self.size(), ends=False)

    def spec(self) -> dict[str, Any]:
        """Describe a window."""
        words = self.vocabulary
        return {
            "kind": "text", "shape": [self.length], "levels": words.size, "classes": None, "text": words.plain()
        }  # fmt: skip

    def size(self) -> int:
        """Count the bytes of the files."""
        return sum(size for _, size, _ in self.listed[1])

    def parts(self, count: Callable[[int], object]) -> Iterator[Part]:
        """Yield the windows; of each split, symbols that do not fill a last one are left out."""
        symbols = {"train": 0, "test": 0}
        for split, passages in itertools.groupby(self._passages(count), lambda passage: passage[0]):
            rest = np.empty(0, np.int32)
            for some in batched((text for _, text in passages), PASSAGES):
                ids = np.concatenate([rest, *self.vocabulary.encode_all(some)])
                symbols[split] += len(ids) - len(rest)
                whole = len(ids) // self.length * self.length
                rest = ids[whole:]
                yield Part(split, {"samples": ids[:whole].reshape(-1, self.length)})
        self._refuse_short(symbols)

    def expected(self) -> int:
        """Return about how many windows parts will yield, by passages from all over the text."""
        apart = max(1, self.size() // (PASSAGE * LOOKED_AT))
        symbols = read = 0
        for _, text in itertools.islice(self._passages(ignore), 0, None, apart):
            symbols += len(self.vocabulary.encode(text))
            read += len(text.encode(self.codec, "replace"))
        return symbols * self.size() // (max(1, read) * self.length)

    def remarks(self) -> tuple[int, list[str]]:
        """Count the files that are no .txt, or empty."""
        return self.listed[2], []

    def _refuse_short(self, symbols: dict[str, int]) -> None:
        train, test = symbols["train"], symbols["test"]
        if min(train, test) >= self.length:
            return
        few = f"'{self.root}' has {train:,} symbols to train on and {test:,} held out (its last tenth)"
        fitting = 2 ** (min(train, test).bit_length() - 1) if min(train, test) > 1 else 0
        way = f"Type data.length={fitting}, or give it more text" if fitting else "Give it more text"
        raise DataError(f"data.length: given {self.length}, but {few}: no window of each. {way}.")

    def _passages(self, count: Callable[[int], object]) -> Iterator[tuple[str, str]]:
        """Yield (split, text) of all files, cut before blanks."""
        for split, texts in itertools.groupby(self._texts(count), lambda text: text[0]):
            for passage in at_blanks((text for _, text in texts), PASSAGE):
                yield split, passage

    def _texts(self, count: Callable[[int], object]) -> Iterator[tuple[str, str]]:
        """Yield (split, text) of all files, whose ends are line ends."""
        folder, files, _ = self.listed
        before, total = 0, self.size()
        cut = total - total // TEST_SHARE
        for name, size, _ in files:
            last = "\n"
            with readable(folder / name):
                for read, text in blocks(folder / name, self.codec, cut=cut - before, count=count):
                    split, last = "train" if before + read <= cut else "test", text[-1:] or last
                    yield split, text
            before += size
            if last != "\n" and before < total:
                yield "train" if before <= cut else "test", "\n"
