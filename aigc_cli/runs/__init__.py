"""Own the folder of one run: its lock, its config, its figures. The same command continues it."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aigc_cli import __version__
from aigc_cli.errors import ConfigError
from aigc_cli.files import atomic_write
from aigc_cli.runs.continuing import read_config, read_summary, refuse_changes, refuse_other_files
from aigc_cli.runs.locks import FolderLock
from aigc_cli.runs.log import MetricsLog, read_metrics
from aigc_cli.runs.names import run_directory
from aigc_cli.runs.settings import RUN_ONLY

if TYPE_CHECKING:
    from aigc_cli.composing.compose import Composed

__all__ = ["RUN_ONLY", "Run", "read_config", "read_metrics", "read_summary", "refuse_changes", "run_directory"]


class Run:
    """Hold an open run. `continues` tells whether the folder was there before; close() lets go of it."""

    def __init__(
        self, directory: Path, lock: FolderLock, aside: Path | None, continues: bool, warn: Callable[[str], object]
    ) -> None:
        self.directory = directory
        self.continues = continues
        self.checkpoints = directory / "checkpoints"
        self.samples = directory / "samples"
        self.metrics = MetricsLog(directory / "metrics.jsonl", warn)
        self._lock = lock
        self._aside = aside  # the old run, where restart moved one
        self._warn = warn

    @classmethod
    def open(
        cls,
        composed: Composed,
        directory: str | Path,
        *,
        restart: bool = False,
        files: Mapping[str, str] | None = None,
        warn: Callable[[str], object] = print,
    ) -> Run:
        """Create the run or continue it; call this once the config is known to be valid.

        files: what the files were that settings name, {setting: digest}; a run goes on with the same ones only.
        """
        directory = Path(directory)
        lock, aside = _claim(directory, restart)
        try:
            continues = (directory / "config.yaml").exists()
            if continues:
                refuse_changes(directory, composed)
                refuse_other_files(directory, files or {})
            run = cls(directory, lock, aside, continues, warn)
            atomic_write(directory / "config.yaml", _describe(composed, files or {}))
            run.checkpoints.mkdir(exist_ok=True)
            run.samples.mkdir(exist_ok=True)
        except OSError as error:
            lock.release()
            raise _unwritable(directory, error) from error
        except ConfigError:
            lock.release()
            raise
        return run

    def rewind(self, step: int) -> None:
        """Cut the figures back to the step that training resumes from (0: afresh)."""
        self.metrics.rewind(step)

    def log(self, line: Mapping[str, Any]) -> None:
        """Append one line, which has a "step", to metrics.jsonl; never fails."""
        self.metrics.append(line)

    def summarise(self, status: str, *, step: int, minutes: float, objective: float | None = None,
                  error: str | None = None, grid: str | None = None, use: str | None = None) -> None:  # fmt: skip
        """Write summary.json; status: running, finished, stopped or failed; use: the next verb. Never fails."""
        values = {"status": status, "objective": objective, "step": step, "minutes": round(minutes, 2)}
        text = json.dumps({**values, "error": error, "grid": grid, "use": use}, indent=2) + "\n"
        try:
            atomic_write(self.directory / "summary.json", text.encode())
        except OSError as problem:
            self._warn(f"{self.directory / 'summary.json'}: cannot be written ({problem.strerror}).")

    @property
    def summary(self) -> dict[str, Any] | None:
        """Return what summarise() wrote last."""
        return read_summary(self.directory)

    def close(self) -> None:
        """Close the files and let go of the lock."""
        self.metrics.close()
        self._lock.release()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, ConfigError):
            self._discard()
        self.close()

    def _discard(self) -> None:
        """Undo what a user's mistake began, unless training has begun; the old run comes back."""
        begun = self.metrics.path.exists() or self.summary or any(self.checkpoints.iterdir())
        if self.continues or begun:
            return
        shutil.rmtree(self.directory, ignore_errors=True)
        if self._aside is not None and not self.directory.exists():
            os.rename(self._aside, self.directory)


def _claim(directory: Path, restart: bool) -> tuple[FolderLock, Path | None]:
    """Make the folder if it is missing, prove that it can be written, lock it; return also where an old run went."""
    missing = [folder for folder in (directory, *directory.parents) if not os.path.exists(folder)]
    try:
        _refuse_strangers(directory)
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory, prefix=".tmp-") as probe:
            probe.write(b"\0" * 4096)
        lock, aside = FolderLock(directory), None
        if restart and (directory / "config.yaml").exists():
            lock, aside = _move_aside(directory, lock)
    except OSError as error:
        for folder in missing:  # deepest first; a failed start leaves no litter
            try:
                (folder / ".lock").unlink(missing_ok=True)
                folder.rmdir()
            except OSError:
                break
        raise _unwritable(directory, error) from error
    return lock, aside


def _move_aside(directory: Path, lock: FolderLock) -> tuple[FolderLock, Path]:
    number = 1
    while (aside := directory.with_name(f"{directory.name}.old-{number}")).exists():
        number += 1
    os.rename(directory, aside)
    try:
        directory.mkdir(exist_ok=True)
        return FolderLock(directory), aside
    finally:
        lock.release()


def _refuse_strangers(directory: Path) -> None:
    """Refuse a folder that holds things but no run; hidden files are what a killed start leaves."""
    if not directory.is_dir() or (directory / "config.yaml").exists():
        return
    visible = sorted(entry.name for entry in directory.iterdir() if not entry.name.startswith("."))
    if visible:
        inside = ", ".join(visible[:3]) + (", ..." if len(visible) > 3 else "")
        raise ConfigError(
            f"{directory} holds {inside} but no config.yaml: no run of aigc. Give this one a name (name=...)."
        )


def _describe(composed: Composed, files: Mapping[str, str]) -> bytes:
    import yaml  # late: aigc --help reaches this module

    stored = {
        "aigc": __version__,
        "verb": composed.verb,
        "command": ["aigc", composed.verb, *composed.overrides],
        "choices": dict(composed.choices),
        "config": composed.config,
    } | ({"files": dict(files)} if files else {})
    return yaml.safe_dump(stored, sort_keys=False, allow_unicode=True, width=120).encode()


def _unwritable(directory: Path, error: OSError) -> ConfigError:
    reason = error.strerror or str(error)
    return ConfigError(f"{directory} cannot be written ({reason}). Choose another place: output=<folder>.")
