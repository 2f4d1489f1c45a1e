"""Keep a run's figures: one JSON object per line, cut back to the step that a run resumes from."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from io import FileIO
from pathlib import Path
from typing import Any

from aigc_cli.files import atomic_write


class MetricsLog:
    """Append to metrics.jsonl; a full disk costs lines, never the training."""

    def __init__(self, path: Path, warn: Callable[[str], object] = print) -> None:
        self.path = path
        self.warn = warn
        self._file: FileIO | None = None
        self._warned = False
        self._half_line = False

    def rewind(self, step: int) -> None:
        """Drop every line after `step`, and what a kill left half written."""
        if not self.path.exists():
            return
        kept = [line for line, values in _lines(self.path) if values["step"] <= step]
        self.close()
        try:
            atomic_write(self.path, b"".join(line + b"\n" for line in kept))
        except OSError as error:
            self._warn_once(error)

    def append(self, values: Mapping[str, Any]) -> None:
        """Write one line at once; what is no finite number is written as null, since JSON knows none."""
        line = json.dumps({key: _finite(value) for key, value in values.items()}).encode() + b"\n"
        try:
            if self._file is None:
                # Unbuffered: a buffer would keep a line that failed and fail with it for ever.
                self._file = FileIO(self.path, "a")
            if self._half_line:
                line = b"\n" + line
            written = self._file.write(line)
            self._half_line = written != len(line)
        except OSError as error:
            self._warn_once(error)
        else:
            if self._half_line:
                self._warn_once(OSError("the line was cut short: is the disk full?"))

    def close(self) -> None:
        """Close the file; the next append opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _warn_once(self, error: OSError) -> None:
        if not self._warned:
            self.warn(f"{self.path}: cannot be written ({error.strerror or error}); training goes on without it.")
        self._warned = True


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl; half-written ones are passed over."""
    return [values for _, values in _lines(Path(path))]


def _lines(path: Path) -> list[tuple[bytes, dict[str, Any]]]:
    lines = []
    for line in path.read_bytes().split(b"\n"):
        try:
            values = json.loads(line)
        except ValueError:
            continue
        if isinstance(values, dict) and isinstance(values.get("step"), int):
            lines.append((line, values))
    return lines


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
