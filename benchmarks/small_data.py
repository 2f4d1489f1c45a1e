"""Train a GAN on few pictures, with and without augmentation of what its critic sees, and follow how good it is.

`python -m benchmarks.small_data --root=FEW --others=MANY`: FEW holds some hundred pictures, MANY others of their kind,
which the samples are compared with.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measuring import RESULTS, Report
from benchmarks.zoo import aigc

RECIPE = "few_faces"
ALONE, HELPS = "none", ("adaptive", "diffaugment")
MEASURED = {"frechet": "Fréchet distance", "kernel": "kernel distance", "precision": "precision", "recall": "recall"}
SIDE = 32  # pixels, as the recipe has them
BELOW = 1.0  # times the distances without help, after the last step


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--root", required=True, help="folder of the few pictures")
    made.add_argument("--others", required=True, help="folder of many others of the same kind")
    made.add_argument("--cache", default=None, help="folder of packs (None: as aigc chooses)")
    made.add_argument("--helps", nargs="+", default=HELPS, help="augmentations, one after another")
    made.add_argument("--steps", type=int, default=24_000)
    made.add_argument("--every", type=int, default=4000, help="steps between measurements")
    made.add_argument("--samples", type=int, default=5000)
    made.add_argument("--precision", default="bf16", help="bf16 is for CPUs that have its instructions")
    made.add_argument("--runs", type=Path, default=None, help="keep the runs here (None: nowhere)")
    made.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON")
    options = made.parse_args(arguments)
    if options.steps % options.every:
        made.error(f"--steps={options.steps} is no multiple of --every={options.every}")
    report, last = Report("small_data", options, arguments), {}
    with tempfile.TemporaryDirectory(prefix="aigc-small-data-") as scratch:
        for name in (ALONE, *options.helps):
            run = trained(name, options, (options.runs or Path(scratch)).absolute())
            report.figure(f"{name}, time of training on one core", "min", [minutes(run, options.steps)])
            for step in range(options.every, options.steps + 1, options.every):
                last[name] = graded(run, step, options)
                for key, words in MEASURED.items():
                    report.figure(f"{name}, {words} after {step:,} steps", "", [last[name][key]])
                print(f"{name}, {step:,} steps: {last[name]}", file=sys.stderr, flush=True)
    for name in options.helps:
        for key in ("frechet", "kernel"):
            ratio = last[name][key] / last[ALONE][key]
            report.require(f"{MEASURED[key]} after {options.steps:,} steps, {name} / {ALONE}", ratio, most=BELOW)
    report.write()


def trained(name: str, options: argparse.Namespace, runs: Path) -> Path:
    """Train with an augmentation; return the run. One that is there already goes on."""
    cache = [f"data.cache={options.cache}"] if options.cache else []
    kept = [f"checkpoint.every={options.every}", f"checkpoint.milestone={options.every}", f"steps={options.steps}"]
    words = [f"recipe={RECIPE}", f"data.root={options.root}", f"model/augmentation={name}", *cache, *kept]
    aigc("train", *words, f"precision={options.precision}", f"output={runs}", f"name={name}")
    return runs / name


def minutes(run: Path, step: int) -> float:
    """Return how long it took a run to come to a step."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return next(line["minutes"] for line in lines if line["step"] >= step and "minutes" in line)


def graded(run: Path, step: int, options: argparse.Namespace) -> dict[str, float]:
    """Return the figures of the samples after so many steps, on pixels."""
    cache = [f"data.cache={options.cache}"] if options.cache else []
    others = ["data=image_folder", f"data.root={options.others}", f"data.size={SIDE}", "split=train", *cache]
    wanted = ["features=pixels", "metrics=[frechet,kernel,precision_recall]", f"n={options.samples}"]
    with tempfile.TemporaryDirectory(prefix="aigc-small-data-") as folder:
        checkpoint = run / "checkpoints" / f"step-{step:08d}"
        aigc("evaluate", f"ckpt={checkpoint}", *others, *wanted, f"output={folder}")
        found = json.loads((Path(folder) / "evaluation.json").read_text())["figures"]
    return {key: found[key] for key in MEASURED}


if __name__ == "__main__":
    main()
