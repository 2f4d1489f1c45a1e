"""CelebA, aligned and cropped (arXiv:1411.7766): torchvision's layout, the original zip, or a folder of its JPEGs."""

from __future__ import annotations

import functools
import io
import zipfile
import zlib
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from aigc_cli.data.decode import read_picture
from aigc_cli.data.folders import File, list_files, split_by_hash
from aigc_cli.data.source import Contents, Reader, Rejected, Split, digest, image_spec
from aigc_cli.errors import DataError
from aigc_cli.wording import suggestion

CROP = 178  # pixels of the middle square of the 178x218 frames, the field's usual cut
FOLDER, ZIP = "img_align_celeba", "img_align_celeba.zip"
ATTRIBUTES, PARTITION = "list_attr_celeba.txt", "list_eval_partition.txt"
MOST_BYTES = 2**24  # of one JPEG; the largest has 30 kB, and a zip can blow up thousandfold
DAMAGED = (zipfile.BadZipFile, OSError, ValueError, EOFError, RuntimeError, zlib.error)  # what damaged members raise
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # JPEGs are not zipped by others, whose readers may be absent
PARTS = {"0": "train", "1": "valid", "2": "test"}


class CelebA:
    """Faces; with an attribute as label, such as Smiling."""

    name: ClassVar[str] = "celeba"
    parallel: ClassVar[bool] = True

    def __init__(self, *, root: str, size: Annotated[int, Ge(4), Le(CROP)], attribute: str | None) -> None:
        self.root, self.size, self.attribute = root, size, attribute

    @functools.cached_property
    def place(self) -> Path:
        """Find the zip or the folder of the JPEGs."""
        root = Path(self.root).expanduser()
        if root.suffix == ".zip" and root.is_file():
            return root
        for folder in (root / "celeba", root):
            for place in (folder / FOLDER, folder / ZIP):
                if place.is_dir() or place.is_file():
                    return place
        if root.is_dir() and next(root.glob("*.jpg"), None):
            return root
        raise DataError(
            f"data.root: no CelebA in '{self.root}'. It is not downloaded: put {ZIP} there (or the folder {FOLDER}), "
            f"with {ATTRIBUTES} and {PARTITION} beside it, or type data.root= and the folder that has them."
        )

    def fingerprint(self) -> str:
        """Return a digest of the settings and of the files' names, sizes and times."""
        lists = [path for name in (ATTRIBUTES, PARTITION) if (path := self._beside(name))]
        single = [*lists, self.place] if self.place.is_file() else lists
        stats = [(path.name, path.stat()) for path in single]
        files = [] if self.place.is_file() else self.files
        files = [*files, *((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)]
        return digest(self.name, {"size": self.size, "attribute": self.attribute}, files)

    @functools.cached_property
    def files(self) -> list[File]:
        """List the pictures with their sizes and times; of a zip, without times."""
        if self.place.is_dir():
            return [file for file in list_files(self.place) if file[0].lower().endswith(".jpg")]
        with _opened(self.place) as archive:
            listed = [(info.filename, info.file_size, 0) for info in archive.infolist()]
        return [file for file in listed if file[0].endswith(".jpg") and not _name(file[0]).startswith(".")]

    def spec(self) -> dict[str, Any]:
        """Describe a sample; an attribute is its label."""
        classes = (f"not {self.attribute}", self.attribute) if self.attribute else None
        return image_spec(3, self.size, classes)

    def contents(self) -> Contents:
        """List the pictures of the official splits, or of a split by hash where the list of them is absent."""
        paths = [path for path, _, _ in self.files]
        if not paths:
            raise DataError(f"data.root: no .jpg in '{self.place}'.")
        values = self._attribute_values()
        rejected = [(path, f"not in {ATTRIBUTES}") for path in paths if values and _name(path) not in values]
        paths = [path for path in paths if not values or _name(path) in values]
        splits = {split: Split(keys, _labels(keys, values)) for split, keys in self._split(paths).items()}
        return Contents(splits, rejected=rejected)

    def reader(self, split: str) -> Reader:
        """Return the function that decodes a picture; of a zip, in place."""
        if self.place.is_dir():
            place = self.place
            return lambda path: read_picture(place / path, 3, self.size, "crop", CROP)
        archive = _opened(self.place)

        def read(path: str) -> NDArray[np.uint8]:
            member = archive.getinfo(path)
            if member.file_size > MOST_BYTES:
                raise Rejected(f"more than {MOST_BYTES:,} bytes in the zip")
            if member.compress_type not in METHODS:
                raise Rejected("zipped by an unusual method")
            try:
                data = archive.read(path)
            except DAMAGED as error:
                raise Rejected(f"damaged in the zip: {error}") from None
            return read_picture(io.BytesIO(data), 3, self.size, "crop", CROP)

        return read

    def __getstate__(self) -> dict:
        """Leave the list of files behind: worker processes are told what to read."""
        return {key: value for key, value in self.__dict__.items() if key != "files"}

    def _beside(self, name: str) -> Path | None:
        places = (self.place.parent, self.place if self.place.is_dir() else self.place.parent)
        return next((place / name for place in places if (place / name).is_file()), None)

    def _attribute_values(self) -> dict[str, int]:
        """Return file name -> 0 or 1; empty where no attribute is asked for."""
        if self.attribute is None:
            return {}
        path = self._beside(ATTRIBUTES)
        if path is None:
            raise DataError(f"data.attribute: {ATTRIBUTES} is not beside '{self.place}'. Type data.attribute=null.")
        lines = _lines(path)
        names = lines[1].split() if len(lines) > 1 else []
        if self.attribute not in names:
            hint = suggestion(self.attribute, names)
            raise DataError(f"data.attribute: no {self.attribute!r}.{hint} Attributes: {', '.join(names)}.")
        column = names.index(self.attribute) + 1
        rows = (line.split() for line in lines[2:])
        values = {row[0]: int(row[column] == "1") for row in rows if len(row) == len(names) + 1}
        if not values:
            raise DataError(f"{path}: no picture has attributes. Fetch it again, or type data.attribute=null.")
        return values

    def _split(self, paths: list[str]) -> dict[str, list[str]]:
        listed = self._beside(PARTITION)
        if listed is None:
            return split_by_hash(paths)
        part = dict(line.split()[:2] for line in _lines(listed) if len(line.split()) >= 2)
        splits: dict[str, list[str]] = {split: [] for split in PARTS.values()}
        for path in paths:
            splits[PARTS.get(part.get(_name(path), "0"), "train")].append(path)
        return splits


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f"{path}: cannot be read ({error}). Fetch it again.") from None


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8", errors="replace").splitlines()


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _labels(paths: list[str], values: dict[str, int]) -> NDArray[np.int64] | None:
    return np.array([values[_name(path)] for path in paths], np.int64) if values else None
