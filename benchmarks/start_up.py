"""Measure the way from the command to the first training step on a packed set, against a plain script."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.measuring import Report, in_turn, parsed, parser
from benchmarks.pictures import Pictures, pictures

ROOT = Path(__file__).parents[1]
OURS, PEER = "aigc train", "plain script"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    made = parser(__doc__, rounds=12)
    made.add_argument("--images", help="folder of JPEGs (None: drawn)")
    made.add_argument("--drawn", type=int, default=512, help="JPEGs to draw where no folder is given")
    made.add_argument("--batch", type=int, default=64)
    made.add_argument("--width", type=int, default=64, help="channels of the DCGAN; 64 is 6.34M parameters")
    options = parsed(made, arguments)
    report = Report("start_up", options, arguments)
    starts: dict[str, list[float]] = {OURS: [], PEER: []}
    with pictures(options.images, options.drawn) as source:
        commands = {OURS: ours(source, options), PEER: plain(source, options)}
        turns = {name: timed(command, starts[name]) for name, command in commands.items()}
        ends = in_turn(turns, options.rounds)
        report.settings = {"batch": options.batch, "width": options.width, **source.about()}
    for name, values in ends.items():
        starts[name] = starts[name][-options.rounds :]
        report.figure(f"{name}: first step begins", "s", starts[name])
        report.figure(f"{name}: first step has ended", "s", values)
    report.ratio("aigc train / plain script, first step begins", starts[OURS], starts[PEER])
    ratio = report.ratio("aigc train / plain script, first step has ended", ends[OURS], ends[PEER])
    begins = report.figures[f"{OURS}: first step begins"]["median"]
    report.require("seconds until aigc's first step begins", begins, most=4)
    report.require("aigc train / plain script, first step has ended", ratio, most=1)
    report.write()


def ours(source: Pictures, options: Namespace) -> Callable[[], list[str]]:
    """Return what makes the command of a fresh run on the packed set."""
    source.pack(64)
    output = source.scratch / "outputs"
    widths = [f"model.{network}.width={options.width}" for network in ("generator", "critic")]
    train = ["train", "model=dcgan", *source.overrides(64), f"batch_size={options.batch}", *widths, f"output={output}"]

    def command() -> list[str]:
        shutil.rmtree(output, ignore_errors=True)
        return [sys.executable, "-m", "benchmarks.marked_start_up", *train]

    return command


def plain(source: Pictures, options: Namespace) -> Callable[[], list[str]]:
    """Return what makes the command of the plain script."""
    samples = source.pack(64).path / "train.samples"
    sizes = [str(options.batch), str(options.width)]
    return lambda: [sys.executable, "-m", "benchmarks.plain_start_up", str(samples), *sizes]


def timed(command: Callable[[], list[str]], starts: list[float]) -> Callable[[], float]:
    """Return what runs a command and returns the seconds to the step's end; those to its start are appended."""

    def run() -> float:
        line = command()
        began = time.time()
        done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
        marks = [text for text in done.stdout.splitlines() if text.startswith("MARKS")]
        if not marks:
            raise RuntimeError(f"{' '.join(line)} took no step: {done.stderr.strip()}")
        start, end = (float(mark) - began for mark in marks[0].split()[1:])
        starts.append(start)
        return end

    return run


if __name__ == "__main__":
    main()
