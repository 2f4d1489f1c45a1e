"""Your own pictures: any folder, nested as you like."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Le

from aigc_cli.data.decode import SUFFIXES, Fit, is_picture, read_picture
from aigc_cli.data.folders import Listing, existing_folder, list_files, split_by_hash
from aigc_cli.data.source import Contents, Reader, Split, digest, image_spec
from aigc_cli.data.subfolders import classes_of, labelled, names_of
from aigc_cli.errors import DataError


class ImageFolder:
    """Pictures of a folder, all cut or padded to one size; sub-folders may be classes."""

    name: ClassVar[str] = "image_folder"
    parallel: ClassVar[bool] = True

    def __init__(
        self, *, root: str, size: Annotated[int, Ge(4), Le(2048)], channels: Literal[1, 3], fit: Fit, labels: bool
    ) -> None:
        self.root, self.size, self.channels, self.labels = root, size, channels, labels
        self.fit: Fit = fit

    @functools.cached_property
    def files(self) -> Listing:
        """List the files below the root."""
        return list_files(existing_folder(self.root))

    @functools.cached_property
    def pictures(self) -> list[str]:
        """List those that are pictures by name, or else by content."""
        root = existing_folder(self.root)
        return [path for path in self.files.paths if path.lower().endswith(SUFFIXES) or _looks_like(root / path)]

    @functools.cached_property
    def classes(self) -> list[str] | None:
        """List the sub-folders of pictures, where they are labels."""
        return classes_of(self.pictures, self.root) if self.labels else None

    def listing(self) -> Listing:
        """Return all files below the root."""
        return self.files

    def fingerprint(self) -> str:
        """Return a digest of the settings and of the files' names, sizes and times."""
        settings = {"size": self.size, "channels": self.channels, "fit": self.fit, "labels": self.labels}
        return digest(self.name, settings, self.files)

    def spec(self) -> dict[str, Any]:
        """Describe a sample; its sub-folder may be its label."""
        return image_spec(self.channels, self.size, names_of(self.classes))

    def contents(self) -> Contents:
        """List the pictures, told by name or else by content; 5 % are held out."""
        if not self.pictures:
            kinds = "PNG, JPEG, WebP, BMP, GIF, TIFF"
            raise DataError(f"data.root: no pictures ({kinds}) among the {len(self.files)} files of '{self.root}'.")
        paths, labels, outside = labelled(self.pictures, self.classes)
        splits = {
            split: Split(keys, np.fromiter(map(labels, keys), np.int64, len(keys)) if labels else None)
            for split, keys in split_by_hash(paths).items()
        }
        return Contents(splits, len(self.files) - len(self.pictures), outside)

    def reader(self, split: str) -> Reader:
        """Return the function that decodes a file."""
        root = Path(self.root).expanduser()
        return lambda path: read_picture(root / path, self.channels, self.size, self.fit)

    def __getstate__(self) -> dict:
        """Leave the list of files behind: worker processes are told what to read."""
        return {key: value for key, value in self.__dict__.items() if key not in ("files", "pictures")}


def _looks_like(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return is_picture(file.read(12))
    except OSError:
        return False
