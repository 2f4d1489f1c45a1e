"""Measure what grows with a data set: packing, starting, serving, training and their memory, by the number of files."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import small_files
from benchmarks.curves import Panel, draw, said
from benchmarks.measuring import Report, parsed, parser

ROOT = Path(__file__).parents[1]
SETTLED = 3  # seconds after which a folder counts as one that nobody is changing
EVERY = 0.1  # seconds between looks at memory
FIGURES = {
    "start": "s",
    "served": "images/s",
    "trained": "images/s",
    "beside": "images/s",
    "own": "MB",
    "mapped": "MB",
}  # of served_pack


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    made = parser(__doc__, rounds=3)
    made.add_argument("--folder", type=Path, help="where pictures are made, and found again (None: a temporary one)")
    made.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000, 2_000_000])
    made.add_argument("--workers", type=int, default=2, help="processes that make pictures and pack them")
    made.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    options = parsed(made, arguments)
    report = Report("data_growth", options, arguments)
    with tempfile.TemporaryDirectory(prefix="growth-", dir=options.folder) as scratch:
        folder = options.folder or Path(scratch) / "pictures"
        small_files.make(folder / "pictures", max(options.sizes), options.workers)
        nodes = {size: node_of(folder / "pictures", Path(scratch), size, options) for size in options.sizes}
        found = {size: packed(node) for size, node in nodes.items()}
        for _ in range(options.rounds):
            for size, node in nodes.items():
                used(node, nodes[min(nodes)], options, found[size])
    report.settings = {"side": small_files.SIDE, "bytes_a_file": 54 + 3 * small_files.SIDE**2, "batch": 128}
    for size, values in found.items():
        for name, rounds in values.items():
            report.figure(f"{size:,} files: {name}", units()[name], rounds)
    summarise(report, found)
    report.write()
    draw(options.results / "data_growth.png", "Growth of a data set", panels(found), note=note(report))


def units() -> dict[str, str]:
    """Return the unit of every figure."""
    return {"packing": "s", "packing, memory": "MB", "every file looked at": "s", "aigc train": "s", **FIGURES}


def node_of(pictures: Path, scratch: Path, size: int, options: Namespace) -> dict[str, Any]:
    """Return the data node of so many pictures."""
    place = small_files.linked(pictures, scratch / f"{size}", size)
    cache = scratch / f"cache-{size}"
    return {
        "name": "image_folder", "root": str(place), "size": small_files.SIDE, "channels": 3, "fit": "crop",
        "labels": False, "cache": str(cache), "workers": options.workers, "max_bad": 0.01, "augment": [],
    }  # fmt: skip


def words_of(node: Mapping[str, Any]) -> list[str]:
    """Return a data node as it is typed."""
    return ["data=image_folder", *(f"data.{key}={node[key]}" for key in ("root", "size", "cache", "workers"))]


def packed(node: Mapping[str, Any]) -> dict[str, list[float]]:
    """Pack, and look at every file once more; return the figures."""
    time.sleep(SETTLED)
    line = [sys.executable, "-m", "aigc_cli", "data", "pack", *words_of(node)]
    seconds, peak = watched(line)
    return {"packing": [seconds], "packing, memory": [peak], "every file looked at": [watched(line)[0]]}


def used(node: Mapping[str, Any], small: Mapping[str, Any], options: Namespace, values: dict[str, list[float]]) -> None:
    """Start, serve and train in processes of their own, on a small folder in turn, and append the figures."""
    line = [sys.executable, "-m", "benchmarks.served_pack", json.dumps(node), json.dumps(small), str(options.seconds)]
    answer = json.loads(run(line).splitlines()[-1])
    for name in FIGURES:
        values.setdefault(name, []).append(answer[name])
    values.setdefault("aigc train", []).append(begun(node))


def begun(node: Mapping[str, Any]) -> float:
    """Return the seconds from typing `aigc train` to its first step."""
    began, output = time.time(), Path(node["cache"]).with_name("outputs")
    line = ["train", "model=vae", *words_of(node), f"output={output}"]
    marks = next(text for text in run([sys.executable, "-m", "benchmarks.marked_start_up", *line]).splitlines()
                 if text.startswith("MARKS"))  # fmt: skip
    shutil.rmtree(output, ignore_errors=True)
    return float(marks.split()[1]) - began


def run(line: Sequence[str]) -> str:
    """Run a command and return what it printed."""
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(line)}: {done.stderr.strip()}")
    return done.stdout


def watched(line: Sequence[str]) -> tuple[float, float]:
    """Run a command; return its seconds, and the MB that it and its workers held at the most, shared pages once."""
    began, most = time.perf_counter(), 0.0
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            most = max(most, sum(map(_held, _family(process.pid))))
            time.sleep(EVERY)
        if process.returncode:
            raise RuntimeError(f"{' '.join(line)}: {process.stderr.read() if process.stderr else ''}")
    return time.perf_counter() - began, most


def _family(pid: int) -> list[int]:
    """Return a process and all that it started."""
    try:
        tasks = [task / "children" for task in Path(f"/proc/{pid}/task").iterdir()]
        children = [int(child) for task in tasks for child in task.read_text().split()]
    except OSError:  # it has just ended
        children = []
    return [pid, *(each for child in children for each in _family(child))]


def _held(pid: int) -> float:
    """Return the MB of a process, its share of what it has in common with others."""
    try:
        found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    except OSError:
        return 0.0
    return int(found[1]) / 1e3 if found else 0.0


def summarise(report: Report, found: Mapping[int, Mapping[str, list[float]]]) -> None:
    """Compare the largest folder with the smallest."""
    few, many = found[min(found)], found[max(found)]
    for size, values in found.items():  # the smallest folder with itself as well: what the machine adds
        report.ratio(f"training, {size:,} / {min(found):,} files", values["trained"], values["beside"])
    slower = report.ratios[f"training, {max(found):,} / {min(found):,} files"]["median"]
    report.require("training speed, most / fewest files", slower, least=0.95)
    later = sorted(many["start"])[len(many["start"]) // 2] - sorted(few["start"])[len(few["start"]) // 2]
    report.require("seconds that a start is longer with most files", later, most=0.5)


def panels(found: Mapping[int, Mapping[str, list[float]]]) -> list[Panel]:
    """Return what the picture shows."""

    def line(name: str) -> list[tuple[float, float]]:
        return [(size, sorted(values[name])[len(values[name]) // 2]) for size, values in found.items()]

    files = {"x": "files", "log_x": True}
    return [
        Panel("Packing", y="seconds", lines={name: line(name) for name in ("packing", "every file looked at")},
              log_y=True, **files),
        Panel("Starting", y="seconds", lines={"aigc train, to its first step": line("aigc train"),
              "of these opening data, to the first batch": line("start")}, **files),
        Panel("Training a VAE on the CPU", y="images/s", lines={"training": line("trained"),
              f"on {said(min(found))} files, in turn": line("beside")}, **files),
        Panel("Memory", y="MB", lines={"packing": line("packing, memory"), "training": line("own"),
              "mapped from the cache": line("mapped")}, **files),
    ]  # fmt: skip


def note(report: Report) -> str:
    """Say what was packed."""
    about: Mapping[str, Any] = report.settings
    side, size = about["side"], about["bytes_a_file"]
    return f"pictures of {side}x{side} in files of {size:,} bytes each; batches of {about['batch']}"


if __name__ == "__main__":
    main()
