"""Collect what the steps report on the device, and write means to metrics.jsonl and TensorBoard at the log interval."""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
import torch
from torch import Tensor

from aigc_cli.distributed import averaged
from aigc_cli.interfaces import Logs

if TYPE_CHECKING:
    from aigc_cli.previewing import Written

MOST_SOUNDS = 10  # of a preview, on TensorBoard


class Recorder:
    """Average logs between two records without waiting for the device."""

    def __init__(self, write: Callable[[dict[str, Any]], None], board: Board | None) -> None:
        self._write, self.board = write, board
        self._values: dict[str, list[Tensor]] = {}
        self._samples, self._since = 0, time.perf_counter()

    def add(self, logs: Logs, samples: int) -> None:
        """Add one step's logs."""
        self._samples += samples
        for key, value in logs.items():
            self._values.setdefault(key, []).append(value.detach())

    def record(self, step: int, **extra: Any) -> dict[str, Any]:
        """Write the means since the last record, over all ranks; waits for the device once."""
        averages = [torch.stack(values).float().mean() for values in self._values.values()]
        means = dict(zip(self._values, averaged(torch.stack(averages)).tolist(), strict=True)) if averages else {}
        rate = self._samples / max(1e-9, time.perf_counter() - self._since)
        line = {"step": step, **means, **extra, "samples_per_second": round(rate, 1)}
        self._write(line)
        self._on_board(lambda board: board.scalars(step, {key: value for key, value in line.items() if key != "step"}))
        self._values.clear()
        self._samples, self._since = 0, time.perf_counter()
        return line

    def note(self, step: int, values: Mapping[str, float]) -> None:
        """Write figures that are not means of steps."""
        self._write({"step": step, **values})
        self._on_board(lambda board: board.scalars(step, dict(values)))

    def show(self, step: int, name: str, written: Written) -> None:
        """Show a preview on the board, where there is one: a picture, and sounds; or text."""
        self._on_board(lambda board: board.show(step, name, written))

    def close(self) -> None:
        """Close the board."""
        self._on_board(lambda board: board.close())

    def _on_board(self, write: Callable[[Board], None]) -> None:
        """Write to TensorBoard; a full disk costs its events, never the training."""
        try:
            if self.board:
                write(self.board)
        except OSError as error:
            self.board = None
            print(f"aigc: TensorBoard's events cannot be written ({error}); training goes on without.", file=sys.stderr)


class Board:
    """Write TensorBoard events."""

    def __init__(self, folder: Path, *, first_step: int | None) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=first_step)

    def scalars(self, step: int, values: dict[str, Any]) -> None:
        for key, value in values.items():
            self._writer.add_scalar(key, value, step)

    def show(self, step: int, name: str, written: Written) -> None:
        if written.page is not None:
            self._writer.add_image(name, numpy.asarray(written.page.convert("RGB")), step, dataformats="HWC")
        if written.text:
            self._writer.add_text(name, textwrap.indent(written.text, "    "), step)  # Markdown's verbatim
        for index, wave in enumerate(() if written.heard is None else written.heard[:MOST_SOUNDS]):
            self._writer.add_audio(f"{name}/{index:02d}", wave.mean(0, keepdim=True), step, written.sample_rate)

    def close(self) -> None:
        self._writer.close()


def open_board(folder: Path, *, first_step: int | None) -> Board | None:
    """Return a board where the TensorBoard extra is installed, else None."""
    try:
        return Board(folder, first_step=first_step)
    except ImportError:
        return None
    except OSError as error:
        print(f"aigc: {folder} cannot be written ({error}); training goes on without.", file=sys.stderr)
        return None
