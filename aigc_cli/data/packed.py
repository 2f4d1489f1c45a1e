"""A pack that `aigc data pack` made before: in a folder, or anywhere that fsspec reads, as object storage."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_types import Gt

from aigc_cli.data.meta import AnotherError, cut_off, read_meta
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
        return self._fetched(cache) if "://" in self.root else self._opened(cache)

    def _opened(self, cache: Path) -> Pack:
        from aigc_cli.data.pack import pack_of

        path = Path(self.root).expanduser()
        try:
            said = (path / "meta.json").read_bytes()
            meta = self._meta(said)
            wrong = cut_off(path, meta)
        except OSError as error:
            at = error.filename or self.root
            raise DataError(f"data.root: cannot read '{at}' ({error.strerror}). {REMEDY}.") from None
        if wrong:
            raise DataError(f"data.root: '{self.root}' is damaged ({', '.join(wrong)}). Copy it once more.")
        return pack_of(meta, path, home=home_of(said, cache))

    def _fetched(self, cache: Path) -> Pack:
        from aigc_cli.data.pack import pack_of
        from aigc_cli.data.remote import Remote

        key = hashlib.sha256(self.root.encode()).hexdigest()[:12]
        remote = Remote(self.root, cache / f"remote-{key}", int(self.room * 1e9))
        said = remote.read("meta.json")
        meta = self._meta(said)
        remote.expect(meta, said)
        return pack_of(meta, remote.folder, remote, home_of(said, cache))

    def _meta(self, said: bytes) -> dict[str, Any]:
        try:
            meta = read_meta(said)
            for spec in filter(None, (meta["spec"], meta["spec"].get("source"))):
                check_vocabulary(spec)
            return meta
        except AnotherError:
            raise DataError(
                f"data.root: '{self.root}' was packed by a newer aigc. Type pip install --upgrade aigc."
            ) from None
        except ValueError as wrong:
            raise DataError(f"data.root: '{self.root}/meta.json' is of no pack: {wrong}. {REMEDY}.") from None


def check_vocabulary(spec: Mapping[str, Any]) -> None:
    """Raise ValueError where the vocabulary of a spec of text opens not, or has other symbols than are stored."""
    if not spec.get("text"):
        return
    from aigc_cli.texts.vocabulary import vocabulary_of

    try:
        words = vocabulary_of(spec["text"])
    except DataError as error:
        raise ValueError(f"its vocabulary is of no use ({error})") from None
    if (words.size, words.end) != (spec["levels"], spec["text"]["end"]):
        raise ValueError(f"its vocabulary has {words.size:,} symbols, and 'levels' says {spec['levels']:,}")


def home_of(said: bytes, cache: Path) -> Path:
    """Return what names in the cache what is made of a pack; its meta.json has the checksums of all that it is."""
    return cache / f"packed-{hashlib.sha256(said).hexdigest()[:12]}"
