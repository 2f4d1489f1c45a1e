"""Tell what was measured: a table on the terminal, evaluation.json, a line of the run's metrics, TensorBoard."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aigc_cli.errors import TrainingError
from aigc_cli.evaluating.measures import MEASURES, PREFIX
from aigc_cli.evaluating.of_text import TextEvaluator
from aigc_cli.evaluating.wishes import Copies, Figures
from aigc_cli.files import atomic_write
from aigc_cli.interfaces import DataSpec

if TYPE_CHECKING:
    from aigc_cli.evaluating.evaluation import Evaluator

BEST = {1: "high", -1: "low", 0: ""}
# What must agree for figures to stand together, whatever the samples.
OF_MEASURING = ("of", "data", "step", "split", "features", "weights", "seed", "draws")
PAIRS = 32  # of samples and their nearest training data, in the picture
FEW = 100  # real data, below which figures say little


def tell(
    config: Mapping[str, Any],
    evaluator: Evaluator | TextEvaluator,
    figures: Figures,
    title: str,
    about: dict[str, Any],
    folder: Path,
    n: int,
    began: float,
) -> None:
    """Print the table, and write evaluation.json and the copies into config["output"], else into the folder.

    n: samples that were measured; began: when, by time.perf_counter.
    """
    folder, wishes = Path(config["output"]).expanduser() if config["output"] else folder, evaluator.wishes
    real = min(evaluator.pack.counts[wishes.split], n)
    sound = evaluator.given.spec.sound is not None
    look = "pixels of spectrograms" if sound and wishes.features == "pixels" else wishes.features
    how = f"{n:,} samples against {real:,} of the {wishes.split} split, features {look}"
    if isinstance(evaluator, TextEvaluator):
        looks = not wishes.given and {"perplexity", "translation"} & set(wishes.metrics)
        how = " and ".join([f"{n:,} samples"] * bool(n) + [evaluator.held_out()] * bool(looks))
    elif 0 < real < FEW:
        held_out = evaluator.pack.counts[wishes.split]
        other = "Type n=1000 for more." if n < held_out else "Type split=train for more." * (wishes.split != "train")
        other = other if n >= held_out or not wishes.given else "More samples would be compared with more of them."
        what = "sounds" if sound else "pictures"
        print(f"aigc: only {real} real {what} to compare with: figures mean little. {other}".rstrip(), file=sys.stderr)
    elif not n:
        how = f"held-out data ({wishes.split} split)"
    print_table(f"{title}: {how}, {time.perf_counter() - began:.0f} s", figures)
    about |= {"n": n, "data": evaluator.given.fingerprint, "split": wishes.split, "features": wishes.features,
              "weights": wishes.weights, "seed": wishes.seed, "draws": wishes.draws}  # fmt: skip
    print(f"  figures: {write_json(folder, about, figures)}")
    if figures.copies and (path := write_copies(folder, figures.copies, evaluator.given.spec)):
        print(f"  copies:  {path} (samples over the training data nearest to them, the most alike first)")


def print_table(title: str, figures: Figures) -> None:
    """Print a line for each figure."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left")
    table.add_column("figure", no_wrap=True)
    table.add_column("value", justify="right")
    table.add_column("best")
    table.add_column("what it says")
    if figures.on:
        table.add_column("measured on", no_wrap=True)
    for name, value in figures.values.items():
        measure = MEASURES[name]
        says, on = figures.meanings.get(name, measure.meaning), [figures.on.get(name, "")] * bool(figures.on)
        table.add_row(name.replace("_bits_per_dim", ", bits/dim"), shown(value), BEST[measure.better], says, *on)
    Console().print(table)
    if figures.shares:
        print("classes: " + ", ".join(f"{name} {share:.1%}" for name, share in figures.shares.items()))


def shown(value: float) -> str:
    """Write a figure in four digits."""
    return f"{value:.4g}" if math.isfinite(value) else "-"


def write_json(folder: Path, about: Mapping[str, Any], figures: Figures) -> Path:
    """Write evaluation.json: what was measured, how, and the figures; what is no number is null.

    Figures that are there already stay, if they are of the same checkpoint, measured in the same way."""
    values = {name: value if math.isfinite(value) else None for name, value in figures.values.items()}
    shares, on = dict(figures.shares), {name: said for name, said in figures.on.items() if name in values}
    path = folder / "evaluation.json"
    if (earlier := _read(path)) and _comparable(earlier, about):
        values, shares = earlier["figures"] | values, shares or earlier["classes"]
        on = (earlier.get("measured_on") or {}) | on
        about = {**about, **earlier} if about["n"] == 0 else about
    text = json.dumps({**about, "figures": values, "classes": shares} | ({"measured_on": on} if on else {}), indent=1)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return atomic_write(path, text.encode())
    except OSError as error:
        raise TrainingError(f"{path}: not written ({error.strerror}). Type output= and a folder of yours.") from None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text())
        return found if isinstance(found["figures"], dict) and isinstance(found["classes"], dict) else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _comparable(earlier: Mapping[str, Any], about: Mapping[str, Any]) -> bool:
    """Say whether two measurements agree in all but their figures; how samples are drawn, only where both drew any."""
    kept = {key: value for key, value in earlier.items() if key not in ("figures", "classes", "measured_on")}
    if 0 in (kept.get("n"), about["n"]):
        return all(kept.get(key) == about.get(key) for key in OF_MEASURING)
    return kept == about


def write_copies(folder: Path, copies: Copies, spec: DataSpec) -> Path | None:
    """Write the samples most like training data, each over its nearest neighbour; None where they are no pictures."""
    from aigc_cli.pictures.previews import save_grid, stacked
    from aigc_cli.pictures.rows import shown as as_pictures

    upper, lower = (as_pictures(each[:PAIRS], spec) for each in (copies.samples, copies.nearest))
    if upper.ndim != 4 or upper.shape[1] not in (1, 3):
        return None
    columns = min(8, len(upper))
    path = folder / "copies.png"
    try:
        save_grid(stacked([upper, lower], columns), path, columns=columns)
    except OSError as error:
        raise TrainingError(f"{path}: not written ({error.strerror}). Type output= and a folder of yours.") from None
    return path


def write_to_run(run: Path, step: int, values: Mapping[str, float]) -> None:
    """Add the figures to those of the run, and to TensorBoard's where the run has any."""
    from aigc_cli.recorder import open_board
    from aigc_cli.runs.log import MetricsLog

    line = {f"{PREFIX}{name}": value for name, value in values.items()}
    log = MetricsLog(run / "metrics.jsonl")
    log.append({"step": step, **line})
    log.close()
    if (run / "tensorboard").is_dir() and (board := open_board(run / "tensorboard", first_step=None)):
        board.scalars(step, line)
        board.close()
