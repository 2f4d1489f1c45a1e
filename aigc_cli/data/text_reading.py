"""Read files of text, block by block or line by line, however large they are; say what is wrong with one in a line."""

from __future__ import annotations

import codecs
import contextlib
import io
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from aigc_cli.data.folders import File, existing_folder, list_files
from aigc_cli.data.source import Rejected
from aigc_cli.errors import ConfigError, DataError
from aigc_cli.wording import shown, suggestion

Item = TypeVar("Item")

BLOCK = 1 << 18  # bytes that are read at a time
LONGEST_LINE = 1 << 20  # characters; what follows in a longer one is passed over
HEAD = 8192  # bytes in which no text has a zero, unless it is of 16 bits a character
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
COMMON = ("utf-8", "latin-1", "cp1252")
WELL_KNOWN = (*COMMON, "utf-16", "shift_jis", "gb18030", "big5", "euc_kr", "koi8_r")


def ignore(read: int) -> None:
    """Count nothing."""


def codec_of(encoding: str) -> str:
    """Return the codec of data.encoding, which passes over a byte-order mark; ConfigError where there is none."""
    try:
        b"some".decode(encoding, "replace")  # LookupError too where the codec is not of text
        codecs.getincrementaldecoder(encoding)
    except (LookupError, UnicodeError, ValueError):
        raise ConfigError(f"data.encoding: no {encoding!r} among the encodings.{suggestion(encoding, WELL_KNOWN)} "
                          f"Names: {', '.join(WELL_KNOWN)} and all others of Python.") from None  # fmt: skip
    return "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding


def existing_path(root: str, key: str = "data.root") -> Path:
    """Return the file or folder, or say what may have been meant."""
    path = Path(root).expanduser()
    if path.exists():
        return path
    try:
        near = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return existing_folder(root, key)  # which says where it was looked for
    place = f" It was looked for in {Path.cwd()}." if not path.is_absolute() else ""
    raise DataError(f"{key}: no file or folder '{root}'.{suggestion(path.name, near)}{place}")


def files_at(path: Path) -> tuple[Path, Sequence[File]]:
    """Return a folder and the files below it, or a file's folder and that file."""
    if path.is_dir():
        return path, list_files(path)
    about = path.stat()
    return path.parent, [(path.name, about.st_size, about.st_mtime_ns)]


@contextlib.contextmanager
def readable(path: Path, key: str = "data.root") -> Iterator[None]:
    """Make what is wrong with a file the end of it all."""
    try:
        yield
    except Rejected as reason:
        raise DataError(f"{key}: '{shown(str(path))}' {reason}.") from None


def blocks(
    path: Path, codec: str, *, cut: int = 0, count: Callable[[int], object] = ignore
) -> Iterator[tuple[int, str]]:
    """Yield (bytes read until then, text) of a file; line ends become \\n. Rejected where it is no text.

    cut: a place, in bytes, where a block ends, so that a split may; count: is told how many bytes were read.
    """
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(codec)(), translate=True)
    position = 0
    with path.open("rb") as file:
        while data := file.read(min(BLOCK, cut - position) if position < cut else BLOCK):
            if not position:
                _refuse_binary(data, codec)
            position += len(data)
            count(len(data))
            yield position, _decoded(decoder, data, position, codec)
        if not position:
            raise Rejected("is empty")
        yield position, _decoded(decoder, b"", position, codec)


def lines(path: Path, codec: str, *, count: Callable[[int], object] = ignore) -> Iterator[str]:
    """Yield the lines of a file, without their ends, those of over LONGEST_LINE characters cut off there."""
    rest = ""
    for _, text in blocks(path, codec, count=count):
        first, *others = text.split("\n")
        rest = (rest + first)[:LONGEST_LINE]
        for other in others:
            yield rest
            rest = other
    if rest:
        yield rest


def at_blanks(texts: Iterable[str], most: int) -> Iterator[str]:
    """Yield texts cut anew: each before a blank and of about so many characters, so that no word is cut in two.

    Where no blank is to be found in so many characters, the cut is where it was.
    """
    rest = ""
    for text in texts:
        for start in range(0, len(text), most):
            rest += text[start : start + most]
            parts = rest.rsplit(None, 1)
            whole = len(parts[0]) if len(parts) == 2 else len(rest)
            yield rest[:whole]
            rest = rest[whole:]
    if rest:
        yield rest


def batched(items: Iterable[Item], most: int) -> Iterator[list[Item]]:
    """Yield so many items at a time, and what is left."""
    waiting = iter(items)
    while some := list(itertools.islice(waiting, most)):
        yield some


def _decoded(decoder: io.IncrementalNewlineDecoder, data: bytes, position: int, codec: str) -> str:
    try:
        return decoder.decode(data, final=not data)
    except UnicodeDecodeError as error:
        place = position - len(error.object) + error.start
        wrong = f"0x{error.object[error.start]:02X}"
        name = "utf-8" if codec == "utf-8-sig" else codec
        others = ", ".join([each for each in COMMON if each != name][:2])
        raise Rejected(f"is not {name.upper()}: byte {place:,} is {wrong}. If it is text of another encoding, type "
                       f"data.encoding= and its name, such as {others}") from None  # fmt: skip
    except UnicodeError as error:  # of bytes that need a mark before them
        name = _sixteen(data) or "utf-8"
        raise Rejected(f"is not {codec.upper()}: {error}. Type data.encoding={name}, or another") from None


def _refuse_binary(data: bytes, codec: str) -> None:
    if codecs.lookup(codec).name.startswith(("utf-16", "utf-32")):
        return
    if codec == "utf-8-sig" and data.startswith(UTF16):
        raise Rejected("is of 16 bits a character. Type data.encoding=utf-16")
    if name := _sixteen(data):
        raise Rejected(f"is of 16 bits a character, it seems. Type data.encoding={name}")
    if b"\0" in data[:HEAD]:
        raise Rejected(f"is no text: byte {data.index(0):,} is zero")


def _sixteen(data: bytes) -> str:
    """Return the encoding of unmarked text of 16 bits a character, if it is such: one byte in many is zero in each."""
    zeros = [data[first:HEAD:2].count(0) for first in (0, 1)]
    if sum(zeros) < len(data[:HEAD]) / 8 or all(zeros):
        return ""
    return "utf-16-be" if zeros[0] else "utf-16-le"
