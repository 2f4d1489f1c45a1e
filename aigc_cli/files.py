"""Write files so that a crash leaves the old one or the new one, never half of either."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path


def atomic_write(path: str | Path, data: bytes, *, durable: bool = True) -> Path:
    """Write bytes beside `path`, then rename them onto it; `durable` waits until the disk has them."""
    path = Path(path)
    temporary = path.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(4)}-{path.name}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            if durable:
                sync(file)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if durable:
        sync_folder(path.parent)
    return path


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(file) -> None:
    """Flush an open file to the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, so that a rename outlives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
