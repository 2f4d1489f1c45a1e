"""Fetch the files of a pack that lies elsewhere into the cache, as they are needed and as many as there is room for."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from aigc_cli.data.cache import TEMPORARY
from aigc_cli.errors import DataError
from aigc_cli.files import atomic_write

LARGE = (".samples", ".sources")  # endings of what is fetched when it is needed; the rest is small and comes at once
BLOCK = 2**20  # bytes that are read at a time
IN_USE = 10.0  # seconds after which a file counts as one that nobody is reading
FAILURES = (OSError, ValueError, RuntimeError, ImportError)  # of fsspec and of those who read for it


class Remote:
    """Know where the files of a pack are once they are fetched; several processes may share the folder."""

    def __init__(self, url: str, folder: Path, room: int) -> None:
        """room: bytes that large files may fill; beyond them the least recently used are removed."""
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
        try:
            self._system, self._base = url_to_fs(url)
        except FAILURES as error:
            raise self._unreadable(url, error) from None

    def read(self, name: str) -> bytes:
        """Return the bytes of a small file."""
        try:
            return self._system.cat_file(f"{self._base}/{name}")
        except FAILURES as error:
            raise self._unreadable(f"{self.url}/{name}", error) from None

    def expect(self, fingerprint: str, files: Mapping[str, Mapping[str, Any]]) -> None:
        """Take the list of files, with their sizes and checksums, and fetch those that are small."""
        if bad := next((name for name in files if PurePosixPath(name).name != name or name.startswith(".")), None):
            raise DataError(f"data.root: '{self.url}/meta.json' names a file '{bad}', which no pack has.")
        self.files, self.folder = files, self.folder / fingerprint[:12]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name in files:
                if not name.endswith(LARGE):
                    self(name)
            for name in ("rejected.jsonl", "meta.json"):  # of which no checksum is known
                atomic_write(self.folder / name, self.read(name), durable=False)
        except OSError as error:
            raise self._unwritable(error) from None

    def __call__(self, name: str) -> Path:
        """Return the path of a file, fetched first where it is not there."""
        from filelock import FileLock

        path = self.folder / name
        if self._whole(path):
            return path
        try:
            with FileLock(self.folder / f".lock-{name}"):  # other processes and threads wait for the one that fetches
                if not self._whole(path):
                    self._fetch(name, path)
                    self._make_room(path)
        except OSError as error:
            raise self._unwritable(error) from None
        return path

    def _whole(self, path: Path) -> bool:
        """Tell whether a file is there, and note that it is used now."""
        try:
            os.utime(path)
            return path.stat().st_size == self.files[path.name]["bytes"]
        except FileNotFoundError:
            return False

    def want(self, names: Sequence[str]) -> None:
        """Fetch files in a thread, in their order; what fails there is told when it is needed."""
        self._wanted.extend(names)
        if self._wanted and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._fetch_wanted, daemon=True)
            self._thread.start()

    def _fetch_wanted(self) -> None:
        while self._wanted:
            with contextlib.suppress(DataError):
                self(self._wanted.popleft())

    def _fetch(self, name: str, path: Path) -> None:
        """Fetch a file aside, compare it with its checksum and rename it."""
        aside = self.folder / f"{TEMPORARY}{secrets.token_hex(4)}-{name}"
        hasher = hashlib.sha256()
        try:
            with aside.open("wb") as file:
                for block in self._blocks(name):
                    hasher.update(block)
                    file.write(block)
            if hasher.hexdigest() != self.files[name]["sha256"]:
                raise DataError(
                    f"data.root: '{self.url}/{name}' is not what its checksum says. Copy the pack there once more."
                )
            aside.rename(path)
        finally:
            aside.unlink(missing_ok=True)

    def _blocks(self, name: str) -> Iterator[bytes]:
        """Yield a remote file's bytes."""
        try:
            with self._system.open(f"{self._base}/{name}", "rb") as file:
                while block := file.read(BLOCK):
                    yield block
        except FAILURES as error:
            raise self._unreadable(f"{self.url}/{name}", error) from None

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
                path.unlink(missing_ok=True)
                filled -= size

    def _unreadable(self, what: str, error: BaseException) -> DataError:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        return DataError(
            f"data.root: cannot read '{what}' ({reason}). Type data.root= and the URL of a pack, or try again."
        )

    def _unwritable(self, error: OSError) -> DataError:
        free = shutil.disk_usage(self.folder if self.folder.exists() else Path.cwd()).free
        return DataError(
            f"data.cache: cannot write to '{self.folder}' ({error.strerror or error}; {free / 1e9:,.0f} GB are free). "
            "Type data.cache= and a folder with room, or a smaller data.room."
        )
