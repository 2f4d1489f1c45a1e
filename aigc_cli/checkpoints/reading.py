"""Read one checkpoint and trust nothing in it: every damage becomes one line, and reading runs no code."""

from __future__ import annotations

import hashlib
import json
import pickle
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from aigc_cli import __version__
from aigc_cli.errors import CheckpointError
from aigc_cli.wording import shown

FORMAT = 1  # raise it when an older aigc could not read what this one writes
WEIGHTS, STATE, MANIFEST = "model.safetensors", "trainer.pt", "manifest.json"
HEADER_LIMIT = 100_000_000  # bytes; safetensors' own limit
# What torch.load(weights_only=True) was seen to raise on files that are none of its own.
UNREADABLE = (pickle.UnpicklingError, RuntimeError, EOFError, OSError, LookupError, ValueError, TypeError,
              AttributeError, ArithmeticError, ImportError, AssertionError, MemoryError, struct.error)  # fmt: skip


class NewerFormatError(CheckpointError):
    """Report a checkpoint that a newer aigc wrote: it is not broken, so nothing may pass over it."""


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint whose weights were verified. meta: format, aigc, config, choices, spec, step."""

    path: Path  # the folder of a step, or a lone .safetensors file
    step: int
    meta: dict[str, Any]

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights that sampling needs, on the CPU."""
        file = self.path if self.path.is_file() else self.path / WEIGHTS
        try:
            return safetensors.torch.load_file(file)
        except (SafetensorError, OSError, ValueError) as error:
            raise CheckpointError(f"{file} is damaged: {first_line(error)}.") from error

    def state(self) -> dict[str, Any]:
        """Return what resuming needs besides."""
        if self.path.is_file():
            raise CheckpointError(f"{self.path} holds weights only: it can be sampled (ckpt=) or start a run (init=).")
        verify(self.path, (STATE,))
        file = self.path / STATE
        try:
            with warnings.catch_warnings(action="ignore"):  # torch warns of protocols that no file of ours has
                state = torch.load(file, weights_only=True, map_location="cpu")
        except UNREADABLE as error:
            raise CheckpointError(f"{file} cannot be read safely: {first_line(error)}.") from error
        if not isinstance(state, dict):
            raise CheckpointError(f"{file} holds no trainer's state but a {type(state).__name__}.")
        return state


def open_folder(folder: Path, names: tuple[str, ...] = (WEIGHTS,)) -> Checkpoint:
    """Open the folder of one step once the named files are as its manifest says."""
    verify(folder, names)
    meta = read_meta(folder / WEIGHTS)
    return Checkpoint(folder, meta["step"], meta)


def open_file(file: Path) -> Checkpoint:
    """Open a .safetensors file by itself; the digest in its metadata stands for the manifest."""
    meta = read_meta(file)
    checkpoint = Checkpoint(file, meta["step"], meta)
    if content_digest(meta, checkpoint.tensors()) != meta.get("sha256"):
        raise CheckpointError(f"{file} is damaged: its content differs from the SHA-256 in its metadata.")
    return checkpoint


def verify(folder: Path, names: tuple[str, ...]) -> None:
    """Compare files with the manifest: format, size, SHA-256."""
    manifest = _read_manifest(folder)
    for name in names:
        file, expected = folder / name, manifest["files"].get(name)
        if not isinstance(expected, dict):
            raise CheckpointError(f"{folder / MANIFEST} is damaged: it does not list {name}.")
        if not file.is_file():
            raise CheckpointError(f"{folder} is incomplete: {name} is missing.")
        size = file.stat().st_size
        if size == 0:
            raise CheckpointError(f"{file} is empty (0 bytes, expected {expected.get('size')}).")
        if size != expected.get("size"):
            raise CheckpointError(f"{file} is truncated or changed: {size} bytes, expected {expected.get('size')}.")
        with file.open("rb") as opened:
            if hashlib.file_digest(opened, "sha256").hexdigest() != expected.get("sha256"):
                raise CheckpointError(f"{file} is damaged: its SHA-256 differs from the one in {MANIFEST}.")


def read_meta(file: Path) -> dict[str, Any]:
    """Read the metadata that aigc wrote into a .safetensors file, after checks that need no library."""
    header = _read_header(file)
    metadata = header.pop("__metadata__", {})
    text = metadata.get("aigc") if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise CheckpointError(f"{file} was not written by aigc: its metadata hold no entry 'aigc'.")
    meta = _parse(text)
    if meta is None:
        raise CheckpointError(f"{file} is damaged: its entry 'aigc' is no JSON object.")
    _check_format(file, meta)
    step = meta.get("step")
    if not isinstance(step, int) or isinstance(step, bool) or step < 0 or not isinstance(meta.get("config"), dict):
        raise CheckpointError(f"{file} is damaged: its metadata hold no step or no config.")
    return meta


def content_digest(meta: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over metadata, names, types, shapes and values."""
    described = json.dumps({key: value for key, value in meta.items() if key != "sha256"}, sort_keys=True)
    digest = hashlib.sha256(described.encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        if tensor.numel():
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _read_manifest(folder: Path) -> dict[str, Any]:
    file = folder / MANIFEST
    if not file.is_file():
        raise CheckpointError(f"{folder} is incomplete: {MANIFEST} is missing.")
    manifest = _parse(file.read_bytes())
    if manifest is None:
        raise CheckpointError(f"{file} is damaged: no JSON object.")
    _check_format(file, manifest)
    if not isinstance(manifest.get("files"), dict):
        raise CheckpointError(f"{file} is damaged: it lists no files.")
    return manifest


def _check_format(file: Path, described: Mapping[str, Any]) -> None:
    number = described.get("format")
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise CheckpointError(f"{file} is damaged: it names no format.")
    if number > FORMAT:
        needed = repr(described.get("aigc"))[:30]
        raise NewerFormatError(
            f"{file} has format {number}, written by aigc {needed}; this aigc {__version__} reads up to format "
            f"{FORMAT}. Install aigc {needed} or newer."
        )


def _read_header(file: Path) -> dict[str, Any]:
    """Read a safetensors header: 8 bytes of length, JSON, and tensors that must fill the rest."""
    size = file.stat().st_size
    if size == 0:
        raise CheckpointError(f"{file} is empty (0 bytes).")
    with file.open("rb") as opened:
        start = opened.read(64)
        length = int.from_bytes(start[:8], "little")
        if size < 10 or length > HEADER_LIMIT or length > size - 8 or start[8:9] != b"{":
            raise CheckpointError(f"{file} {_what_it_is(start, size, length)}.")
        opened.seek(8)
        header = _parse(opened.read(length))
    if header is None:
        raise CheckpointError(f"{file} is damaged: its header is no JSON object.")
    ends = [_end(entry) for name, entry in header.items() if name != "__metadata__"]
    declared = max(ends, default=0)
    if min(ends, default=0) < 0:
        raise CheckpointError(f"{file} is damaged: its header does not say where its tensors lie.")
    if declared != size - 8 - length:
        reason = "is truncated" if declared > size - 8 - length else "is damaged"
        raise CheckpointError(f"{file} {reason}: it declares {declared} bytes of tensors and has {size - 8 - length}.")
    return header


def _end(entry: Any) -> int:
    """Return where a tensor ends; -1 for nonsense."""
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(type(offset) is int for offset in offsets):
        return -1
    return offsets[1] if 0 <= offsets[0] <= offsets[1] else -1


def _what_it_is(start: bytes, size: int, length: int) -> str:
    """Say what a file is that is no safetensors file."""
    if start[:4] == b"PK\x03\x04" or (start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05"):
        return "is a pickle under another name. Pickles can run code, so aigc opens none"
    if start[8:9] == b"{" and length <= HEADER_LIMIT:
        return f"is truncated: its header alone has {length} bytes, the file {size}"
    if start.lstrip()[:1] == b"<":
        return "is a web page (HTML or XML): the download went wrong"
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in start):
        return "is a text file, not a .safetensors file"
    return "is no .safetensors file: unknown bytes"


def _parse(text: str | bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def first_line(error: BaseException) -> str:
    """Return the beginning of what went wrong, as one may print it: a stranger's words may be in it."""
    return shown((str(error).splitlines() or [type(error).__name__])[0])[:400]
