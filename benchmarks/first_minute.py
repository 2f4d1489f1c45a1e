"""Measure the first minute: `aigc train` with no arguments, packing included, its digits graded by a classifier."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aigc_cli.abilities import Samples
from aigc_cli.checkpoints import resolve
from aigc_cli.checkpoints.restoring import restore
from aigc_cli.composing.compose import compose
from aigc_cli.data.pack import Pack, open_data
from aigc_cli.inference.drawing import draw
from aigc_cli.interfaces import Model
from benchmarks.digit_classifier import accuracy, confidences, train_classifier
from benchmarks.measuring import Report, parsed, parser

CONFIDENT = 0.9
ROOT = Path(__file__).parents[1]
CPU = torch.device("cpu")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    made = parser(__doc__, rounds=1)
    made.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    made.add_argument("--samples", type=int, default=1000)
    made.add_argument("--epochs", type=int, default=4, help="of the classifier")
    made.add_argument("--overrides", nargs="*", default=[], help="to try the script out: steps=20 data.count=300")
    options = parsed(made, arguments)
    report = Report("first_minute", options, arguments)
    with tempfile.TemporaryDirectory(prefix="aigc-benchmark-") as scratch:
        folders = [Path(scratch) / f"seed-{seed}" for seed in options.seeds]
        pairs = list(zip(options.seeds, folders, strict=True)) * options.rounds
        walls = [run(seed, folder, options.overrides) for seed, folder in pairs]
        pack = packed(options.overrides, folders[0] / "cache")
        classifier = train_classifier(pack, options.epochs)
        held_out = accuracy(classifier, pack)
        grades = [grade(classifier, folder, options.samples) for folder in folders]
    labels = [f"seed {seed}" for seed in options.seeds]
    counts = {label: found["counts"] for label, found in zip(labels, grades, strict=True)}
    report.settings = {"samples": options.samples, "classifier_right_on_held_out": held_out, "digits": counts}
    obeyed = {label: found["as_asked"] for label, found in zip(labels, grades, strict=True)}
    report.settings["as_asked"] = obeyed
    report.figure("aigc train, packing included", "s", walls)
    report.figure("share classified with over 0.9 confidence", "of 1", [found["share"] for found in grades])
    report.require("classifier right on held-out glyphs", held_out, least=0.995)
    for label, found in zip(labels, grades, strict=True):
        report.require(f"{label}, share classified with over 0.9 confidence", found["share"], least=0.9)
        report.require(f"{label}, different digits among those", sum(n > 0 for n in found["counts"]), least=10)
    report.require("seconds of aigc train, median", report.figures["aigc train, packing included"]["median"], most=90)
    report.write()


def run(seed: int, folder: Path, overrides: Sequence[str]) -> float:
    """Run `aigc train` in an empty folder with an empty cache; return its seconds from start to exit."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    own_path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "AIGC_CACHE": str(folder / "cache"), "PYTHONPATH": own_path}
    command = [sys.executable, "-m", "aigc_cli", "train", *([f"seed={seed}"] if seed else []), *overrides]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"`aigc train` failed: {done.stderr.strip()}")
    return time.perf_counter() - start


def packed(overrides: Sequence[str], cache: Path) -> Pack:
    """Open the pack that the first run made."""
    node = compose("train", [*overrides, f"data.cache={cache}"]).config["data"]
    return open_data(node, progress=False)


def grade(classifier: torch.nn.Module, folder: Path, samples: int) -> dict[str, Any]:
    """Return the share of samples that the classifier is sure of, and how many of each digit those are."""
    (run_folder,) = (folder / "outputs").iterdir()
    model = restore(resolve(run_folder), CPU)
    assert isinstance(model, Model)
    assert isinstance(model, Samples)
    asked = torch.arange(samples) % model.spec.classes if model.conditional else None
    drawn: Tensor = draw(model, samples, asked, seed=1000, device=CPU)
    confidence, digits = confidences(classifier, model.spec.encode(drawn))
    sure = digits[confidence > CONFIDENT]
    obeyed = (digits == asked).float().mean().item() if asked is not None else None
    return {"share": len(sure) / samples, "counts": torch.bincount(sure, minlength=10).tolist(), "as_asked": obeyed}


if __name__ == "__main__":
    main()
