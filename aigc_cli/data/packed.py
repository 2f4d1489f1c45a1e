"""A pack that `aigc data pack` made before: in a folder, or anywhere that fsspec reads, as object storage."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_types import Gt

from aigc_cli.errors import DataError

if TYPE_CHECKING:
    from aigc_cli.data.pack import Pack

REMEDY = "Type data.root= and the folder or URL that `aigc data pack` names where the data are"


class Packed:
    """Data as they were packed, read where they lie; of a URL, files are fetched when they are first needed."""

    name: ClassVar[str] = "packed"

    def __init__(self, *, root: str, room: Annotated[float, Gt(0)]) -> None:
        self.root, self.room = root.rstrip("/"), room

    def pack(self, cache: Path) -> Pack:
        """Open the pack; its files' sizes are compared here, their checksums as they are fetched."""
        return self._fetched(cache) if "://" in self.root else self._opened()

    def _opened(self) -> Pack:
        path = Path(self.root).expanduser()
        try:
            meta = self._meta((path / "meta.json").read_bytes())
            wrong = [name for name, about in meta["files"].items() if (path / name).stat().st_size != about["bytes"]]
        except OSError as error:
            at = error.filename or self.root
            raise DataError(f"data.root: cannot read '{at}' ({error.strerror}). {REMEDY}.") from None
        if wrong:
            raise DataError(f"data.root: '{self.root}' is damaged ({', '.join(wrong)}). Copy it once more.")
        return self._pack_of(meta, path)

    def _fetched(self, cache: Path) -> Pack:
        from aigc_cli.data.remote import Remote

        key = hashlib.sha256(self.root.encode()).hexdigest()[:12]
        remote = Remote(self.root, cache / f"remote-{key}", int(self.room * 1e9))
        meta = self._meta(remote.read("meta.json"))
        remote.expect(meta["fingerprint"], meta["files"])
        return self._pack_of(meta, remote.folder, remote)

    def _meta(self, said: bytes) -> dict[str, Any]:
        from aigc_cli.data.pack import FORMATS

        try:
            meta = json.loads(said)
            form = int(meta["format"])
            if not all(isinstance(meta[key], dict) for key in ("spec", "counts", "files")):
                raise ValueError
        except (ValueError, KeyError, TypeError):
            raise DataError(f"data.root: '{self.root}/meta.json' is of no pack. {REMEDY}.") from None
        if form not in FORMATS:
            raise DataError(f"data.root: '{self.root}' was packed by a newer aigc. Type pip install --upgrade aigc.")
        return meta

    def _pack_of(self, meta: dict[str, Any], path: Path, remote: Any = None) -> Pack:
        from aigc_cli.data.pack import pack_of

        try:
            return pack_of(meta, path, remote)
        except (KeyError, TypeError):
            raise DataError(f"data.root: '{self.root}/meta.json' is of no pack. {REMEDY}.") from None
