"""Speech Commands: 105,829 one-second recordings of 35 words, 16 kHz (arXiv:1804.03209)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from annotated_types import Len

from aigc_cli.data.downloads import download
from aigc_cli.data.folders import list_files
from aigc_cli.data.recordings import contents_of, reader_of
from aigc_cli.data.sound import Bands, Clips, SampleRate, Seconds, View
from aigc_cli.data.source import Contents, Reader, digest
from aigc_cli.errors import DataError
from aigc_cli.wording import suggestion

FOLDERS = ("SpeechCommands/speech_commands_v0.02", "speech_commands_v0.02", "")  # below the root
HELD_OUT = "testing_list.txt"
SOURCE = "http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz"


class SpeechCommands:
    """Words said by many people, of the official test list and all others; the validation list is trained on."""

    name: ClassVar[str] = "speech_commands"
    parallel: ClassVar[bool] = True

    def __init__(
        self,
        *,
        root: str,
        words: Annotated[list[str], Len(1)] | None,
        seconds: Seconds,
        sample_rate: SampleRate,
        features: View,
        bands: Bands,
        mu_law: bool,
        normalise: bool,
    ) -> None:
        self.root, self.words = root, words
        self.clips = Clips(seconds, sample_rate, features, bands, mu_law, normalise)

    @functools.cached_property
    def folder(self) -> Path:
        """Find the folder of the words, downloading it where it is absent."""
        found = self._find()
        if found is None:
            download("SPEECHCOMMANDS", self.root, f"unpack {SOURCE} into {Path(self.root) / FOLDERS[0]}", "torchaudio")
            found = self._find()
        if found is None:
            raise DataError(f"data.root: '{self.root}' has no {HELD_OUT} beside folders of words.")
        return found

    @functools.cached_property
    def files(self) -> list[tuple[str, int, int]]:
        """List the recordings of the words, and the list of those that are held out."""
        words = {*self.classes, HELD_OUT}
        return [each for each in self._all if each[0].partition("/")[0] in words]

    @functools.cached_property
    def classes(self) -> Sequence[str]:
        """List the words that are wanted."""
        known = sorted({path.partition("/")[0] for path, _, _ in self._all if path != HELD_OUT})
        for word in self.words or ():
            if word not in known:
                raise DataError(f"data.words: no {word!r}.{suggestion(word, known)} There are: {', '.join(known)}.")
        return known if self.words is None else list(dict.fromkeys(self.words))

    @functools.cached_property
    def _all(self) -> list[tuple[str, int, int]]:
        """List what is in folders of words, which the folder of noises is not, and which of these are held out."""
        return [each for each in list_files(self.folder) if _is_word(each[0]) or each[0] == HELD_OUT]

    def fingerprint(self) -> str:
        """Return a digest of the settings and of the files' names, sizes and times."""
        return digest(self.name, {**self.clips.settings, "words": self.words}, self.files)

    def spec(self) -> dict[str, Any]:
        """Describe a clip."""
        return self.clips.spec(self.classes)

    def contents(self) -> Contents:
        """List the recordings of each split."""
        held_out = set((self.folder / HELD_OUT).read_text().split())
        said = [path for path, _, _ in self.files if path != HELD_OUT]
        labels = {path: self.classes.index(path.partition("/")[0]) for path in said}
        paths = {"train": [path for path in labels if path not in held_out],
                 "test": [path for path in labels if path in held_out]}  # fmt: skip
        return contents_of(self.folder, paths, labels.__getitem__, self.clips, "first")

    def reader(self, split: str) -> Reader:
        """Return the function that decodes a recording."""
        return reader_of(self.folder, self.clips)

    def _find(self) -> Path | None:
        root = Path(self.root).expanduser()
        return next((root / each for each in FOLDERS if (root / each / HELD_OUT).is_file()), None)

    def __getstate__(self) -> dict:
        """Leave the lists of files behind: worker processes are told what to read."""
        return {key: value for key, value in self.__dict__.items() if key not in ("files", "_all", "classes")}


def _is_word(path: str) -> bool:
    return "/" in path and not path.startswith("_") and path.lower().endswith(".wav")
