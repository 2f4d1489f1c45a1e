"""Find checkpoints: the newest of a run, or the one that a user points at."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from aigc_cli.checkpoints.reading import MANIFEST, STATE, WEIGHTS, Checkpoint, NewerFormatError, open_file, open_folder
from aigc_cli.errors import CheckpointError
from aigc_cli.runs.finding import is_run, near_runs

Warn = Callable[[str], object]
PICKLES = (".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".bin", ".pyt", ".tar", ".joblib", ".npy", ".npz")


def latest(directory: Path, warn: Warn = print) -> Checkpoint | None:
    """Return the newest checkpoint that is whole, None where there is none at all.

    A broken one is passed over with a warning. Where all are broken that is a CheckpointError: training must not
    silently begin afresh.
    """
    folders = step_folders(Path(directory))
    for step in sorted(folders, reverse=True):
        try:
            return open_folder(folders[step], (WEIGHTS, STATE))
        except NewerFormatError:
            raise
        except (CheckpointError, OSError) as error:
            warn(f"{error} Trying the checkpoint before it.")
    if folders:
        raise CheckpointError(f"{directory}: none of its {len(folders)} checkpoints is whole. To train afresh and keep "
                              "this run aside, add restart=true.")  # fmt: skip
    return None


def resolve(path: str | Path, warn: Warn = print) -> Checkpoint:
    """Open what the user points at: a run, its checkpoints, one of them, or a .safetensors file."""
    path = Path(path)
    try:
        if path.is_dir():
            return _resolve_folder(path, warn)
        if path.exists():
            return _resolve_file(path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from error
    raise CheckpointError(f"{path}: there is no such file or folder.{near_runs(path)}")


def _resolve_folder(path: Path, warn: Warn) -> Checkpoint:
    if _step_of(path) is not None or (path / MANIFEST).exists() or (path / WEIGHTS).exists():
        return _open_or_point_beside(path, path, open_folder)
    checkpoints = path / "checkpoints" if (path / "checkpoints").is_dir() else path
    folders = step_folders(checkpoints)
    for step in sorted(folders, reverse=True):
        try:
            return open_folder(folders[step])
        except CheckpointError as error:
            if len(folders) == 1 or isinstance(error, NewerFormatError):
                raise
            warn(f"{error} Trying the checkpoint before it.")
    if folders:
        raise CheckpointError(f"{checkpoints}: none of its {len(folders)} checkpoints is whole.")
    runs = sorted(place.parent.name for place in path.glob("*/checkpoints") if step_folders(place))
    hint = f"It holds runs; name one of them: {', '.join(runs[:8])}." if runs else _inside_of(path)
    raise CheckpointError(f"{path} holds no checkpoint. {hint}")


def _inside_of(path: Path) -> str:
    """Name the run that the path lies in, or say what a run is."""
    run = next((place for place in path.resolve().parents if is_run(place)), None)
    return f"It lies in a run: give {run}." if run else "Give the folder of a run, such as outputs/gan-glyphs."


def _resolve_file(path: Path) -> Checkpoint:
    folder = path.parent
    of_a_step = (folder / MANIFEST).exists() and path.name in (WEIGHTS, STATE, MANIFEST)
    if of_a_step:
        return _open_or_point_beside(folder, folder, open_folder)
    if path.suffix.lower() in PICKLES:
        raise CheckpointError(
            f"{path} is refused: {path.suffix} files are pickles, which can run code. Give a run folder or a "
            f".safetensors file.{_beside(folder)}"
        )
    return _open_or_point_beside(path, folder, open_file)


def _open_or_point_beside(path: Path, broken: Path, opened: Callable[[Path], Checkpoint]) -> Checkpoint:
    try:
        return opened(path)
    except CheckpointError as error:
        raise type(error)(f"{error}{_beside(broken)}") from error


def _beside(broken: Path) -> str:
    """Name the newest whole checkpoint among the neighbours."""
    folders = step_folders(broken.parent)
    for step in sorted(folders, reverse=True):
        if folders[step].resolve() == broken.resolve():
            continue
        try:
            return f" The newest good one beside it: {open_folder(folders[step]).path}"
        except (CheckpointError, OSError):
            continue
    return ""


def _step_of(folder: Path) -> int | None:
    found = re.fullmatch(r"step-(\d{1,18})", folder.name)
    return int(found[1]) if found else None


def step_folders(directory: Path) -> dict[int, Path]:
    """List {step: folder}; a kill between the two renames of _publish leaves a step under its aside name only."""
    found: dict[int, Path] = {}
    if not directory.is_dir():
        return found
    for entry in directory.iterdir():
        aside = re.fullmatch(r"\.old-step-(\d{1,18})-\d+", entry.name)
        step = _step_of(entry)
        if step is not None and entry.is_dir():
            found[step] = entry
        elif aside and entry.is_dir():
            found.setdefault(int(aside[1]), entry)
    return found
