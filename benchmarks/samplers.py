"""Compare the samplers on one trained model: samples from the same noise, graded against the held-out data.

Train the model first, longer than the recipe does: `aigc train recipe=mnist_flow_matching steps=5000 trainer.ema=0.999
precision=bf16 data.root=DATA name=flow`, then `python -m benchmarks.samplers --ckpt=outputs/flow --root=DATA`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measuring import RESULTS, Report
from benchmarks.zoo import aigc, processor_seconds

MOST = 1.1  # times the Fréchet distance of the reference
REFERENCE = ("ancestral", 250)
OTHERS = [("ddim", 50), ("heun", 20), ("dpm_solver", 20)]
BEYOND = [("euler", 50), ("stochastic_heun", 40)]  # nothing was promised of these


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--ckpt", required=True, help="a trained diffusion model")
    made.add_argument("--root", required=True, help="folder of the data that it was trained on")
    made.add_argument("--cache", default=None, help="folder of packs and classifiers (None: as aigc chooses)")
    made.add_argument("--samples", type=int, default=1000)
    made.add_argument("--features", default="classifier")
    made.add_argument("--precision", default="bf16", help="bf16 is for CPUs that have its instructions")
    made.add_argument("--guidance", type=float, default=None, help="of all of them (None: as trained)")
    made.add_argument("--divide", type=int, default=1, help="steps by this, to try the script out")
    made.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON")
    options = made.parse_args(arguments)
    report, distances = Report("samplers", options, arguments), {}
    graded("ddim", 1, options)  # packs the data and trains the classifier, where nobody did before
    for sampler, steps in (REFERENCE, *OTHERS, *BEYOND):
        label = f"{sampler}, {steps // options.divide} steps"
        distances[sampler], seconds = graded(sampler, steps // options.divide, options)
        report.figure(f"{label}, Fréchet distance", "of 0 at best", [distances[sampler]])
        report.figure(f"{label}, processor time", "s", [seconds])
        print(f"{label}: Fréchet distance {distances[sampler]:.2f}, {seconds:.0f} s", file=sys.stderr, flush=True)
    for sampler, steps in OTHERS:
        ratio = distances[sampler] / distances[REFERENCE[0]]
        what = f"{sampler} {steps // options.divide} / {REFERENCE[0]} {REFERENCE[1] // options.divide}"
        report.require(f"Fréchet distance, {what}", ratio, most=MOST)
    report.write()


def graded(sampler: str, steps: int, options: argparse.Namespace) -> tuple[float, float]:
    """Return the Fréchet distance of a sampler's samples and the processor time of drawing and measuring them."""
    before = processor_seconds()
    with tempfile.TemporaryDirectory(prefix="aigc-samplers-") as folder:
        wanted = ["metrics=[frechet]", f"n={options.samples}", f"features={options.features}", f"output={folder}"]
        cache = [f"data.cache={options.cache}"] if options.cache else []
        how = [f"sampler={sampler}", f"steps={steps}", f"precision={options.precision}"]
        how += [f"guidance={options.guidance}"] if options.guidance is not None else []
        aigc("evaluate", f"ckpt={Path(options.ckpt).absolute()}", f"data.root={options.root}", *wanted, *how, *cache)
        found = json.loads((Path(folder) / "evaluation.json").read_text())
    return found["figures"]["frechet"], processor_seconds() - before


if __name__ == "__main__":
    main()
