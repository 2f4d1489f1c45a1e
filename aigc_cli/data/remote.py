"""Fetch the files of a pack that lies elsewhere into the cache, as they are needed and as many as there is room for."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from aigc_cli.data.cache import LOCK, TEMPORARY
from aigc_cli.errors import DataError
from aigc_cli.files import atomic_write
from aigc_cli.wording import shown

LARGE = (".samples", ".sources")  # endings of what is fetched when it is needed; the rest is small and comes at once
BLOCK = 2**20  # bytes that are read at a time
IN_USE = 10.0  # seconds after which a file counts as one that nobody is reading
LARGEST_SMALL = 2**28  # bytes of a meta.json or rejected.jsonl, whose size nobody says before
REMEDY = "Type data.root= and the URL of a pack, or try again."
# Others that fsspec knows run other protocols, unpack archives or read whatever file a server names.
PROTOCOLS = ("s3", "gs", "gcs", "az", "abfs", "hdfs", "hf", "http", "https", "ftp", "sftp", "file", "memory")


class Remote:
    """Know where the files of a pack are once they are fetched; several processes may share the folder."""

    def __init__(self, url: str, folder: Path, room: int) -> None:
        """room: bytes that large files may fill; beyond them the least recently used are removed."""
        if "::" in url or url.partition("://")[0] not in PROTOCOLS:
            raise DataError(
                f"data.root: '{url}' is no URL that is read. Type a folder, or one URL that begins with one of: "
                f"{', '.join(PROTOCOLS)}, and ://."
            )
        try:
            from fsspec.core import url_to_fs
        except ImportError:
            raise DataError(
                f"data.root: '{url}' is read by the fsspec library. Type pip install 'aigc[remote]', or a folder."
            ) from None
        self.url, self.folder, self.room, self._cache = url, folder, room, folder.parent
        self.files: Mapping[str, Mapping[str, Any]] = {}
        self._wanted: deque[str] = deque()
        self._thread: threading.Thread | None = None
        self._wanting = threading.Lock()  # several threads want files
        with reading(url):
            self._system, self._base = url_to_fs(url)

    def read(self, name: str) -> bytes:
        """Return the bytes of a small file."""
        said = b"".join(self._blocks(name, LARGEST_SMALL))
        if len(said) > LARGEST_SMALL:
            raise DataError(f"data.root: '{self.url}/{name}' is larger than that of any pack. {REMEDY}")
        return said

    def expect(self, meta: Mapping[str, Any], said: bytes) -> None:
        """Take a meta that was checked, with the list of files, and its bytes; fetch the files that are small."""
        self.files, self.folder = meta["files"], self.folder / meta["fingerprint"][:12]
        unchecked = {"rejected.jsonl": self.read("rejected.jsonl"), "meta.json": said}  # no checksum is known of these
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _sweep(self._cache)
            for name in self.files:
                if not name.endswith(LARGE):
                    self(name)
            for name, data in unchecked.items():
                path = self.folder / name
                if not path.exists() or path.read_bytes() != data:  # others' cache is read, and not written to
                    atomic_write(path, data, durable=False)
        except OSError as error:
            raise self._unwritable(error) from None

    def __call__(self, name: str) -> Path:
        """Return the path of a file, fetched first where it is not there."""
        from filelock import FileLock

        path = self.folder / name
        if self._whole(path):
            return path
        try:
            with FileLock(self.folder / f"{LOCK}{name}"):  # other processes and threads wait for the one that fetches
                if not self._whole(path):
                    self._fetch(name, path)
                    self._make_room(path)
        except OSError as error:
            raise self._unwritable(error) from None
        return path

    def _whole(self, path: Path) -> bool:
        """Tell whether a file is there, and note that it is used now, unless it is another user's."""
        with contextlib.suppress(OSError):
            os.utime(path)
        try:
            return path.stat().st_size == self.files[path.name]["bytes"]
        except FileNotFoundError:
            return False

    def want(self, names: Sequence[str]) -> None:
        """Fetch files in a thread, in their order; what fails there is told when it is needed."""
        with self._wanting:
            self._wanted.extend(names)
            if self._wanted and self._thread is None:
                self._thread = threading.Thread(target=self._fetch_wanted, daemon=True)
                self._thread.start()

    def _fetch_wanted(self) -> None:
        while name := self._next_wanted():
            with contextlib.suppress(DataError):
                self(name)

    def _next_wanted(self) -> str | None:
        """Return the next file; None: there is none, and whoever wants one from now on starts another thread."""
        with self._wanting:
            if not self._wanted:
                self._thread = None
                return None
            return self._wanted.popleft()

    def _fetch(self, name: str, path: Path) -> None:
        """Fetch a file aside, compare it with its checksum and rename it; the caller holds its lock."""
        aside, about = self.folder / f"{TEMPORARY}{name}", self.files[name]
        if about["bytes"] > shutil.disk_usage(self.folder).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        hasher = hashlib.sha256()
        try:
            with aside.open("wb") as file:
                for block in self._blocks(name, about["bytes"]):
                    hasher.update(block)
                    file.write(block)
            if hasher.hexdigest() != about["sha256"]:
                raise DataError(
                    f"data.root: '{self.url}/{name}' is not what its checksum says. Copy the pack there once more."
                )
            aside.rename(path)
        finally:
            aside.unlink(missing_ok=True)

    def _blocks(self, name: str, most: int) -> Iterator[bytes]:
        """Yield a remote file's bytes; of one that has more than `most`, one more."""
        left = most + 1  # a server may send without end
        with reading(f"{self.url}/{name}"), self._system.open(f"{self._base}/{name}", "rb") as file:
            while left and (block := file.read(min(BLOCK, left))):
                left -= len(block)
                yield block

    def _make_room(self, newest: Path) -> None:
        """Remove the large files that were not used for longest, of whatever URL, beyond what there is room for."""
        found = []
        for path in self._cache.glob("remote-*/*/*"):
            with contextlib.suppress(FileNotFoundError):
                if path.name.endswith(LARGE) and not path.name.startswith("."):
                    about = path.stat()
                    found.append((about.st_mtime, about.st_size, path))
        filled = sum(size for _, size, _ in found)
        for used, size, path in sorted(found):
            if filled <= self.room:
                break
            if path != newest and used < time.time() - IN_USE:
                with contextlib.suppress(OSError):  # another user's
                    path.unlink(missing_ok=True)
                    filled -= size

    def _unwritable(self, error: OSError) -> DataError:
        free = shutil.disk_usage(self.folder if self.folder.exists() else Path.cwd()).free
        return DataError(
            f"data.cache: cannot write to '{self.folder}' ({error.strerror or error}; {free / 1e9:,.0f} GB are free). "
            "Type data.cache= and a folder with room, or a smaller data.room."
        )


@contextlib.contextmanager
def reading(what: str) -> Iterator[None]:
    """Say in one line that something cannot be read; every protocol's library has exceptions of its own."""
    try:
        yield
    except Exception as error:
        reason = shown((str(error).strip() or type(error).__name__).splitlines()[0][:200])
        raise DataError(f"data.root: cannot read '{what}' ({reason}). {REMEDY}") from None


def _sweep(cache: Path) -> None:
    """Remove what killed processes were fetching, of whatever URL: nobody holds its lock."""
    from filelock import FileLock

    for aside in cache.glob(f"remote-*/*/{TEMPORARY}*"):
        lock = FileLock(aside.with_name(f"{LOCK}{aside.name.removeprefix(TEMPORARY)}"), timeout=0)
        with contextlib.suppress(OSError), lock:  # it is being fetched, or it is another user's
            aside.unlink(missing_ok=True)
