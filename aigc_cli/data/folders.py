"""List the files of a folder with their sizes and times, fast enough for every start: nothing is opened."""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import overload

from aigc_cli.errors import DataError
from aigc_cli.wording import suggestion

SYSTEM = {"thumbs.db", "desktop.ini", "__macosx", "$recycle.bin", "@eadir"}
TEST_SHARE = 20  # one picture of so many is held out, where the data have no official split

File = tuple[str, int, int]  # path below the root with slashes, bytes, time in nanoseconds


class Listing(Sequence[File]):
    """The files below a folder, sorted by path, in the bytes of their paths and 16 more each."""

    def __init__(self, paths: list[str], sizes: array[int], times: array[int], folders: Mapping[str, int]) -> None:
        """folders: path -> time in nanoseconds of each that was looked into, before that was done."""
        order = sorted(range(len(paths)), key=paths.__getitem__)
        self.paths, self.folders = [paths[place] for place in order], folders
        self._sizes, self._times = (array("q", [values[place] for place in order]) for values in (sizes, times))

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, index: int) -> File: ...
    @overload
    def __getitem__(self, index: slice) -> list[File]: ...
    def __getitem__(self, index):
        if isinstance(index, slice):
            return list(zip(self.paths[index], self._sizes[index], self._times[index], strict=True))
        return self.paths[index], self._sizes[index], self._times[index]

    def __iter__(self) -> Iterator[File]:
        return zip(self.paths, self._sizes, self._times, strict=True)


def existing_folder(root: str, key: str = "data.root") -> Path:
    """Return the folder, or say what may have been meant."""
    folder = Path(root).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise DataError(f"{key}: given '{root}', which is a file, allowed: a folder. Type {key}={folder.parent}.")
    try:
        near = [entry.name for entry in folder.parent.iterdir() if entry.is_dir()]
    except OSError:
        near = []
    hint = suggestion(folder.name, near)
    place = f" It was looked for in {Path.cwd()}." if not folder.is_absolute() else ""
    raise DataError(f"{key}: no folder '{root}'.{hint}{place}")


def list_files(folder: Path, key: str = "data.root") -> Listing:
    """Return every file below, hidden and system files left out, sorted by path; links are followed, once each."""
    paths, sizes, times = list[str](), array("q"), array("q")
    waiting, seen, folders = [(str(folder), "")], set(), {}
    while waiting:
        place, prefix = waiting.pop()
        try:
            here = os.stat(place)
            if (here.st_dev, here.st_ino) in seen:
                continue  # a link back to where we came from
            seen.add((here.st_dev, here.st_ino))
            folders[prefix] = here.st_mtime_ns
            with os.scandir(place) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or entry.name.lower() in SYSTEM or _leads_nowhere(entry):
                        continue
                    if entry.is_dir():
                        waiting.append((entry.path, f"{prefix}{entry.name}/"))
                    elif entry.is_file():  # no pipes, sockets, devices
                        stat = entry.stat()
                        paths.append(prefix + entry.name)
                        sizes.append(stat.st_size)
                        times.append(stat.st_mtime_ns)
        except OSError as error:
            raise DataError(f"{key}: '{place}' cannot be read: {error.strerror}.") from None
    return Listing(paths, sizes, times, folders)


def _leads_nowhere(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() and not os.path.exists(entry.path)  # false too for a link to itself


def is_held_out(path: str) -> bool:
    """Tell whether a path's hash puts it into the test split, so that adding files moves no other file."""
    return hash_of(path) % TEST_SHARE == 0


def split_by_hash(paths: Iterable[str]) -> dict[str, list[str]]:
    """Sort paths into train and test; of two or more, each gets one at least."""
    splits: dict[str, list[str]] = {"train": [], "test": []}
    for path in paths:
        splits["test" if is_held_out(path) else "train"].append(path)
    train, test = splits["train"], splits["test"]
    if not test and len(train) > 1:
        test.append(train.pop(train.index(min(train, key=hash_of))))
    elif not train and test:
        train.append(test.pop(test.index(max(test, key=hash_of))))
    return splits


def hash_of(path: str) -> int:
    """Return a 64-bit hash of a path, or of a text, that is the same everywhere."""
    return int.from_bytes(hashlib.blake2b(path.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "big")
