"""Train the MNIST recipes, each on one core, and grade 10,000 samples of each against the test digits.

Rows of earlier runs stay in the JSON, so that recipes can be run one by one: `python -m benchmarks.zoo --root=DATA
--recipes mnist_dcgan mnist_ddpm`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from aigc_cli.composing.compose import compose
from benchmarks.measuring import RESULTS, machine_facts, rounded

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "zoo"
OTHERS = ("mnist_autoencoder_conv", "mnist_denoising_autoencoder", "mnist_vqvae")  # these draw no samples
FIRST_STAGES = {
    "mnist_vqvae_prior": "mnist_vqvae",
    "mnist_latent_diffusion": "mnist_vqvae",
}  # what a recipe builds upon, which is trained before it
FIGURES = ("frechet", "precision", "recall", "agreement")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--root", required=True, help="folder that holds MNIST")
    made.add_argument("--cache", default=None, help="folder of packs and classifiers (None: as aigc chooses)")
    made.add_argument("--recipes", nargs="+", default=all_recipes(), help="which ones, one after another")
    made.add_argument("--samples", type=int, default=10_000)
    made.add_argument("--features", default="classifier", help="pixels: without labels, and without a classifier")
    made.add_argument("--precision", default="bf16", help="bf16 is for CPUs that have its instructions")
    made.add_argument("--overrides", nargs="*", default=[], help="to try the script out: steps=20 data.count=300")
    made.add_argument("--runs", type=Path, default=None, help="keep the runs here (None: nowhere)")
    made.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON")
    made.add_argument("--pictures", type=Path, default=PICTURES, help="folder of two rows of samples of each")
    options = made.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="aigc-zoo-") as scratch:
        runs = options.runs or Path(scratch)
        for recipe in options.recipes:
            row = measured(recipe, options, runs.absolute())
            keep(options.results / "zoo.json", row)
            draw(runs / recipe, options.pictures / f"{recipe}.png")
            print("zoo:", ", ".join(f"{key} {value}" for key, value in row.items() if key != "command"), flush=True)


def all_recipes() -> list[str]:
    """Name the recipes on MNIST whose models draw samples from nothing."""
    return sorted(path.stem for path in (ROOT / "configs" / "recipe").glob("mnist_*.yaml") if path.stem not in OTHERS)


def measured(recipe: str, options: argparse.Namespace, runs: Path) -> dict[str, Any]:
    """Train and grade one recipe; return its row."""
    precision = f"precision={options.precision}"
    own = [f"recipe={recipe}", precision, *options.overrides]
    cache = [f"data.cache={options.cache}"] if options.cache else []
    places = [f"data.root={options.root}", f"output={runs}", *cache]
    before, first, typed = processor_seconds(), FIRST_STAGES.get(recipe), [" ".join(["aigc train", *own])]
    if first:
        typed.insert(0, f"aigc train recipe={first} {precision} name={first}")
        aigc("train", f"recipe={first}", precision, *places, f"name={first}")
        places.append(f"model.first_stage={runs / first}")
    aigc("train", *own, *places, f"name={recipe}")
    minutes = (processor_seconds() - before) / 60
    output = runs / recipe
    asked = f"metrics=[frechet,precision_recall{',labels' if options.features == 'classifier' else ''}]"
    wanted = [asked, f"n={options.samples}", f"features={options.features}", precision]
    aigc("evaluate", f"ckpt={output}", *wanted, f"data.root={options.root}", *cache)
    found = json.loads((output / "evaluation.json").read_text())
    config = compose("train", own, complete=False).config
    figures = {name: rounded(found["figures"][name]) for name in FIGURES if name in found["figures"]}
    return {
        "recipe": recipe,
        "model": config["model"]["name"],
        "command": " && ".join(typed),
        "steps": found["step"],
        "cpu_minutes": round(minutes, 1),
        "samples": found["n"],
        "features": found["features"],
        **figures,
    }


def draw(run: Path, picture: Path) -> None:
    """Write two rows of samples, without the metadata, which name this machine's folders."""
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.unlink(missing_ok=True)  # `aigc sample` never overwrites
    aigc("sample", f"ckpt={run.absolute()}", "grid=2x10", f"output={picture.absolute()}")
    with Image.open(picture) as opened:
        plain = Image.fromarray(np.asarray(opened))
    plain.save(picture, optimize=True)


def aigc(*words: str) -> None:
    """Run a command on one core."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-m", "aigc_cli", *words], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"aigc {' '.join(words)}: {done.stderr.strip()[-1000:]}")


def processor_seconds() -> float:
    """Return the processor time of all processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def keep(path: Path, row: Mapping[str, Any]) -> None:
    """Put a row into the JSON in its recipe's place, with the machine that it comes from."""
    rows = {each["recipe"]: each for each in (json.loads(path.read_text())["rows"] if path.exists() else [])}
    facts = machine_facts()
    rows[row["recipe"]] = {**row, "machine": {key: facts[key] for key in ("cpu", "torch", "date")}}
    path.parent.mkdir(parents=True, exist_ok=True)
    ordered = [rows[name] for name in sorted(rows)]
    path.write_text(json.dumps({"name": "zoo", "rows": ordered}, indent=1) + "\n")


if __name__ == "__main__":
    main()
