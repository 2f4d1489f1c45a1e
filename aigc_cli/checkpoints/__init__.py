"""Keep checkpoints: a folder per step, written aside, flushed, renamed; the old go only after the new is safe."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO, Any, cast

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from aigc_cli import __version__
from aigc_cli.checkpoints.finding import Warn, latest, resolve, step_folders
from aigc_cli.checkpoints.fitting import fit, fit_partly
from aigc_cli.checkpoints.reading import FORMAT, MANIFEST, STATE, WEIGHTS, Checkpoint, content_digest
from aigc_cli.checkpoints.snapshots import snapshot, tensors_in
from aigc_cli.errors import TrainingError
from aigc_cli.files import sync, sync_folder

__all__ = ["FORMAT", "Checkpoint", "SaveError", "as_json", "fit", "fit_partly", "latest", "resolve", "save", "snapshot"]


class SaveError(TrainingError):
    """Report that a checkpoint could not be written; the ones before it are untouched."""


def save(
    directory: Path,
    step: int,
    tensors: Mapping[str, Tensor],
    meta: Mapping[str, Any],
    state: Mapping[str, Any],
    *,
    keep: int,
    every_nth: int = 0,
    spared: Collection[int] = (),
    warn: Warn = print,
) -> Path:
    """Write directory/step-00001000 and prune what is older; only the owner of the run may call this.

    tensors: what sampling needs. meta: plain values (config, choices, spec); format, aigc and step are added.
    state: tensors and plain values. keep: the last so many stay; every_nth: so do steps that it divides (0: none);
    spared: so do these steps.
    Raises SaveError when the disk refuses, TrainingError when a value is not finite; the old ones then stay.
    """
    directory, portable = Path(directory), _portable(tensors)
    _refuse_non_finite({"model": portable, "trainer": state}, step)
    target = directory / _folder_name(step)
    temporary = directory / f".tmp-{target.name}-{os.getpid()}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _sweep(directory)
        temporary.mkdir()
        _write_folder(temporary, step, portable, meta, state)
        _publish(temporary, target)
    except OSError as error:
        raise _save_error(target, error, portable, state) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _prune(directory, step, keep, every_nth, spared, warn)
    return target


def as_json(meta: Mapping[str, Any]) -> str:
    """Write a checkpoint's meta, or part of it, as JSON."""
    return json.dumps(meta)


def _folder_name(step: int) -> str:
    return f"step-{step:08d}"


def _sweep(directory: Path) -> None:
    """Remove what killed saves left, and put back a step that one of them had only moved aside."""
    for entry in list(directory.iterdir()):
        if entry.name.startswith(".old-step-"):
            target = directory / entry.name[len(".old-") :].rpartition("-")[0]
            if not target.exists():
                os.rename(entry, target)
                continue
        if entry.name.startswith((".tmp-", ".old-step-")):
            shutil.rmtree(entry, ignore_errors=True)


def _write_folder(folder: Path, step: int, tensors: dict[str, Tensor], meta: Mapping, state: Mapping) -> None:
    described = json.loads(as_json({**meta, "format": FORMAT, "aigc": __version__, "step": step}))
    described["sha256"] = content_digest(described, tensors)
    files = {}
    files[WEIGHTS] = _write_weights(folder / WEIGHTS, tensors, {"aigc": as_json(described)})
    with _HashedFile(folder / STATE) as file:
        torch.save(dict(state), cast(IO[bytes], file))
    files[STATE] = file.entry
    manifest = {"format": FORMAT, "aigc": __version__, "step": step, "files": files}
    with _HashedFile(folder / MANIFEST) as file:
        file.write(json.dumps(manifest, indent=2).encode())
    sync_folder(folder)


def _write_weights(path: Path, tensors: dict[str, Tensor], meta: dict[str, str]) -> dict[str, Any]:
    """Have the library write from the tensors' own memory; return the manifest's entry, of what the disk has."""
    try:
        safetensors.torch.save_file(tensors, path, meta)
    except SafetensorError as error:  # which has the disk's answer in words alone
        number = re.search(r"\(os error (\d+)\)", str(error))
        raise OSError(int(number[1]), os.strerror(int(number[1]))) if number else OSError(str(error)) from error
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return {"size": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _publish(temporary: Path, target: Path) -> None:
    aside = target.with_name(f".old-{target.name}-{os.getpid()}")
    if target.exists():
        os.rename(target, aside)
    os.rename(temporary, target)
    sync_folder(target.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _prune(directory: Path, step: int, keep: int, every_nth: int, spared: Collection[int], warn: Warn) -> None:
    """Remove older steps; newer ones (broken, passed over on resume) are not counted, so that the saved one stays."""
    older = sorted(other for other in step_folders(directory) if other < step and other not in spared)
    superfluous = older[: max(0, len(older) - (keep - 1))]
    for other in superfluous:
        if every_nth and other % every_nth == 0:
            continue
        folder = directory / _folder_name(other)
        gone = directory / f".tmp-gone-{folder.name}-{os.getpid()}"
        try:
            os.rename(folder, gone)  # first, so that no half-removed step can be taken for one
            shutil.rmtree(gone)
        except OSError as error:
            warn(f"{folder} could not be removed ({error.strerror}); training goes on.")


class _HashedFile:
    """A file that hashes what is written and leaves only when the disk has it."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._digest = hashlib.sha256()
        self._size = 0
        self._error: OSError | None = None

    def write(self, data: Any) -> int:
        self._digest.update(data)
        self._size += len(data)
        if self._error is None:
            try:
                self._file.write(data)
            except OSError as error:  # kept for the end: torch.save would turn it into a RuntimeError about positions
                self._error = error
        return len(data)

    def flush(self) -> None:
        self._file.flush()

    @property
    def entry(self) -> dict[str, Any]:
        return {"size": self._size, "sha256": self._digest.hexdigest()}

    def __enter__(self) -> _HashedFile:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if self._error is None and kind is None:
                sync(self._file)
        except OSError as error:
            self._error = error
        with contextlib.suppress(OSError):  # closing tries to write once more what could not be written
            self._file.close()
        if self._error is not None:
            raise self._error


def _portable(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors as safetensors takes them: on the CPU, contiguous, none in the memory of another."""
    found: dict[str, Tensor] = {}
    taken: set[int] = set()
    for name, tensor in tensors.items():
        portable = tensor.detach().to("cpu").contiguous()
        place = portable.untyped_storage().data_ptr()
        found[name] = portable.clone() if place in taken else portable
        taken.add(place)
    return found


def _refuse_non_finite(values: Mapping[str, Any], step: int) -> None:
    for path, tensor in tensors_in(values):
        if (tensor.is_floating_point() or tensor.is_complex()) and not bool(torch.isfinite(tensor).all()):
            raise TrainingError(f"step {step}: {path} is NaN or infinite: not saved, the good checkpoints stay.")


def _save_error(target: Path, error: OSError, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> SaveError:
    needed = sum(tensor.nbytes for _, tensor in tensors_in([tensors, state]))
    try:
        free = f"{shutil.disk_usage(target.parent).free / 1e6:.1f} MB are free"
    except OSError:
        free = "the folder is gone"
    return SaveError(
        f"{target} could not be written ({error.strerror or error}): it needs {needed / 1e6:.1f} MB, {free}. "
        "The checkpoints before it are untouched."
    )
