"""The Free Spoken Digit Dataset: recordings named {digit}_{speaker}_{take}.wav, 8 kHz (Jackson et al. 2018)."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any, ClassVar

from aigc_cli.data.folders import existing_folder, list_files
from aigc_cli.data.recordings import contents_of, reader_of
from aigc_cli.data.sound import Bands, Clips, SampleRate, Seconds, View
from aigc_cli.data.source import Contents, Reader, digest
from aigc_cli.errors import DataError
from aigc_cli.wording import suggestion

NAME = re.compile(r"(?:.*/)?(\d)_([^_/]+)_(\d+)\.(?:wav|flac)", re.IGNORECASE)
DIGITS = "0123456789"
HELD_OUT = 5  # takes 0 to 4 of every speaker and digit: the data set's own split
SOURCE = "https://github.com/Jakobovski/free-spoken-digit-dataset"


class SpokenDigits:
    """Digits 0 to 9, spoken in English; held out are the first takes of all, or all that one speaker said."""

    name: ClassVar[str] = "spoken_digits"
    parallel: ClassVar[bool] = True

    def __init__(
        self,
        *,
        root: str,
        seconds: Seconds,
        sample_rate: SampleRate,
        speaker: str | None,
        features: View,
        bands: Bands,
        mu_law: bool,
        normalise: bool,
    ) -> None:
        self.root, self.speaker = root, speaker
        self.clips = Clips(seconds, sample_rate, features, bands, mu_law, normalise)

    @functools.cached_property
    def files(self) -> list[tuple[str, int, int]]:
        """List the recordings, in `recordings` below the root or in the root itself."""
        return [each for each in list_files(self._folder()) if NAME.fullmatch(each[0])]

    def fingerprint(self) -> str:
        """Return a digest of the settings and of the files' names, sizes and times."""
        return digest(self.name, {**self.clips.settings, "speaker": self.speaker}, self.files)

    def spec(self) -> dict[str, Any]:
        """Describe a clip."""
        return self.clips.spec(DIGITS)

    def contents(self) -> Contents:
        """List the recordings of each split."""
        paths: dict[str, list[str]] = {"train": [], "test": []}
        labels, speakers = {}, set()
        for path, _, _ in self.files:
            found = NAME.fullmatch(path)
            assert found
            digit, speaker, take = found.groups()
            speakers.add(speaker)
            labels[path] = int(digit)
            held_out = int(take) < HELD_OUT if self.speaker is None else speaker == self.speaker
            paths["test" if held_out else "train"].append(path)
        if not labels:
            raise DataError(f"data.root: no files such as 0_jackson_0.wav in '{self.root}'. Put the recordings of "
                            f"{SOURCE} there, or type data.root= and their folder.")  # fmt: skip
        if self.speaker is not None and self.speaker not in speakers:
            known = ", ".join(sorted(speakers))
            raise DataError(f"data.speaker: nobody is called {self.speaker!r}.{suggestion(self.speaker, speakers)} "
                            f"There are: {known}.")  # fmt: skip
        return contents_of(self._folder(), paths, labels.__getitem__, self.clips, "first")

    def reader(self, split: str) -> Reader:
        """Return the function that decodes a recording."""
        return reader_of(self._folder(), self.clips)

    def _folder(self) -> Path:
        folder = existing_folder(self.root)
        return next((each for each in (folder / "recordings", *folder.glob("*/recordings")) if each.is_dir()), folder)

    def __getstate__(self) -> dict:
        """Leave the list of files behind: worker processes are told what to read."""
        return {key: value for key, value in self.__dict__.items() if key != "files"}
