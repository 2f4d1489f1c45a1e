"""Your own sounds: any folder, nested as you like."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, ClassVar, Literal

from aigc_cli.data.folders import Listing, existing_folder, list_files, split_by_hash
from aigc_cli.data.recordings import Cut, contents_of, reader_of
from aigc_cli.data.sound import Bands, Clips, SampleRate, Seconds, View
from aigc_cli.data.source import Contents, Reader, digest
from aigc_cli.data.subfolders import classes_of, labelled, names_of
from aigc_cli.errors import DataError
from aigc_cli.sounds.reading import KINDS, SUFFIXES


class AudioFolder:
    """Recordings of a folder, resampled to one rate and cut to one length; sub-folders may be classes."""

    name: ClassVar[str] = "audio_folder"
    parallel: ClassVar[bool] = True

    def __init__(
        self,
        *,
        root: str,
        seconds: Seconds,
        sample_rate: SampleRate,
        channels: Literal[1, 2],
        cut: Cut,
        trim: bool,
        labels: bool,
        features: View,
        bands: Bands,
        mu_law: bool,
        normalise: bool,
    ) -> None:
        self.root, self.labels, self.trim = root, labels, trim
        self.cut: Cut = cut
        self.clips = Clips(seconds, sample_rate, features, bands, mu_law, normalise, channels)
        if trim and cut == "windows":
            raise DataError("data.trim: given true, but windows are cut from whole recordings. Type data.cut=first.")

    @functools.cached_property
    def files(self) -> Listing:
        """List the files below the root."""
        return list_files(existing_folder(self.root))

    @functools.cached_property
    def recordings(self) -> list[str]:
        """List those that are sounds by name."""
        found = [path for path in self.files.paths if path.lower().endswith(SUFFIXES)]
        if not found:
            raise DataError(f"data.root: no sounds ({KINDS}) among the {len(self.files)} files of '{self.root}'. "
                            "Type data.root= and the folder of yours.")  # fmt: skip
        return found

    @functools.cached_property
    def classes(self) -> list[str] | None:
        """List the sub-folders of sounds, where they are labels."""
        return classes_of(self.recordings, self.root) if self.labels else None

    def listing(self) -> Listing:
        """Return all files below the root."""
        return self.files

    def fingerprint(self) -> str:
        """Return a digest of the settings and of the files' names, sizes and times."""
        settings = {**self.clips.settings, "labels": self.labels, "cut": self.cut, "trim": self.trim}
        return digest(self.name, settings, self.files)

    def spec(self) -> dict[str, Any]:
        """Describe a clip; its sub-folder may be its label."""
        return self.clips.spec(names_of(self.classes))

    def contents(self) -> Contents:
        """List the clips; the recordings that 5 % of them are from are held out."""
        root, ignored = existing_folder(self.root), len(self.files) - len(self.recordings)
        paths, labels, outside = labelled(self.recordings, self.classes)
        found = contents_of(root, split_by_hash(paths), labels, self.clips, self.cut, ignored)
        found.rejected[:0] = outside
        return found

    def reader(self, split: str) -> Reader:
        """Return the function that decodes a clip."""
        return reader_of(Path(self.root).expanduser(), self.clips, self.trim)

    def __getstate__(self) -> dict:
        """Leave the list of files behind: worker processes are told what to read."""
        return {key: value for key, value in self.__dict__.items() if key not in ("files", "recordings")}
