"""Measure what grows with a model: throughput and memory of training by batch size, resolution, width and ranks.

Every point is taken in a process of its own, so that its memory is its own; the points take turns.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from aigc_cli.devices import choose
from aigc_cli.interfaces import DataSpec
from aigc_cli.profiling.profile import peak_memory
from benchmarks.curves import Panel, draw
from benchmarks.measuring import Report, parsed, parser
from benchmarks.workloads import random_batch, trainer_for

# Where a curve does not vary them: batch, pixels a side, width of the networks.
USUAL = {"dcgan": (32, 32, 16), "ddpm": (8, 32, 16)}
SETTINGS = {
    "dcgan": ["model.generator.width={}", "model.critic.width={}"],
    "ddpm": ["model.denoiser.width={}", "model.denoiser.multipliers=[1,2,2]", "model.denoiser.attention=[]"],
}
AXES = {"batch": "samples a batch", "size": "pixels a side", "width": "channels of the first level", "ranks": "ranks"}
CPU = torch.device("cpu")
Point = tuple[str, str, int]  # preset, axis, value


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    made = parser(__doc__, rounds=3)
    made.add_argument("--presets", nargs="+", choices=list(USUAL), default=list(USUAL))
    made.add_argument("--batch", type=int, nargs="*", default=[1, 4, 16, 64, 256])
    made.add_argument("--size", type=int, nargs="*", default=[16, 32, 64, 128])
    made.add_argument("--width", type=int, nargs="*", default=[8, 16, 32, 64])
    made.add_argument("--ranks", type=int, nargs="*", default=[], help="processes that torchrun starts on this machine")
    made.add_argument("--seconds", type=float, default=2.0, help="of a measurement, at least")
    made.add_argument("--point", nargs=3, metavar=("PRESET", "AXIS", "VALUE"), help="measure one, and print it")
    options = parsed(made, arguments)
    if options.point:
        preset, axis, value = options.point
        print(json.dumps(measured(preset, axis, int(value), options.seconds)))
        return
    report = Report("growth", options, arguments)
    points = [(preset, axis, value) for preset in options.presets for axis in AXES for value in getattr(options, axis)]
    found: dict[Point, list[tuple[float, float]]] = {point: [] for point in points}
    for _ in range(options.rounds):
        for point in points:
            found[point].append(of_ranks(point) if point[1] == "ranks" else alone(point, options))
    report.settings = {"usual": {preset: dict(zip(("batch", "size", "width"), USUAL[preset], strict=True))
                                 for preset in options.presets}}  # fmt: skip
    for (preset, axis, value), rounds in found.items():
        report.figure(f"{preset}, {axis} {value}", "images/s", [rate for rate, _ in rounds])
        if axis != "ranks":
            report.figure(f"{preset}, {axis} {value}, memory", "MB", [memory for _, memory in rounds])
    report.write()
    fixed = "; ".join(f"{preset}: batch {b}, {s} pixels, width {w}" for preset, (b, s, w) in USUAL.items())
    count = torch.get_num_threads()
    facts = f"CPU, {count} thread{'s' * (count > 1)}, fp32. Where they do not vary: {fixed}"
    draw(options.results / "growth.png", "Growth of a model", panels(report, points), note=facts)


def measured(preset: str, axis: str, value: int, seconds: float) -> tuple[float, float]:
    """Train for a while; return the images a second, and what that adds to the memory of this process, in MB."""
    usual = dict(zip(("batch", "size", "width"), USUAL[preset], strict=True))
    step_of(preset, **{**usual, "batch": 2, "size": 16, "width": 4})()  # imports what any step imports
    before = peak_memory(CPU) or 0
    sizes = {**usual, axis: value}
    step = step_of(preset, **sizes)
    for _ in range(2):
        step()
    start, steps = time.perf_counter(), 0
    while (passed := time.perf_counter() - start) < seconds or not steps:
        step()
        steps += 1
    return steps * sizes["batch"] / passed, ((peak_memory(CPU) or 0) - before) / 1e6


def step_of(preset: str, *, batch: int, size: int, width: int) -> Callable[[], object]:
    """Return a training step of these sizes."""
    spec = DataSpec("image", (3, size, size))
    settings = [setting.format(width) for setting in SETTINGS[preset]]
    trainer = trainer_for([f"model={preset}", *settings], spec, choose("cpu", "fp32"))
    return partial(trainer.step, random_batch(spec, batch, CPU))


def alone(point: Point, options: Namespace) -> tuple[float, float]:
    """Measure a point in a process of its own."""
    threads = [f"--threads={options.threads}"] if options.threads else []
    words = [*threads, f"--seconds={options.seconds}", "--point", *map(str, point)]
    command = [sys.executable, "-m", "benchmarks.growth", *words]
    rate, memory = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return rate, memory


def of_ranks(point: Point) -> tuple[float, float]:
    """Train on drawn digits by so many processes; return what the profile of the first one says, and no memory."""
    preset, _, ranks = point
    batch_size, _, width = USUAL[preset]
    settings = [setting.format(width) for setting in SETTINGS[preset]]
    with tempfile.TemporaryDirectory(prefix="growth-") as scratch:
        words = [f"model={preset}", *settings, f"output={scratch}", f"data.cache={scratch}/cache", "data.count=2000",
                 f"batch_size={2 * batch_size}", "steps=40", "profile=true", "device=cpu", "name=run",
                 "preview.every=0", "preview.n=1"]  # fmt: skip
        start = ["-m", "torch.distributed.run", f"--nproc-per-node={ranks}", "-m", "aigc_cli", "train", *words]
        subprocess.run([sys.executable, *start], check=True, capture_output=True, text=True)
        told = json.loads((Path(scratch) / "run" / "profile.json").read_text())
    return told["samples_per_second"], 0.0


def panels(report: Report, points: Sequence[Point]) -> list[Panel]:
    """Return two panels for each axis: throughput, and memory."""
    made = []
    for axis, label in AXES.items():
        for what, unit, suffix in (("Throughput", "images/s", ""), ("Memory that training adds", "MB", ", memory")):
            lines = {
                preset: [(value, report.figures[f"{preset}, {axis} {value}{suffix}"]["median"])
                         for named, along, value in points if (named, along) == (preset, axis)]
                for preset in dict.fromkeys(preset for preset, along, _ in points if along == axis)
                if axis != "ranks" or not suffix
            }  # fmt: skip
            if lines:
                made.append(Panel(f"{what} by {label}", label, unit, lines, log_x=True, log_y=axis != "ranks"))
    return made


if __name__ == "__main__":
    main()
