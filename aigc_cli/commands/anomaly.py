"""Tell the unusual from the usual: `aigc anomaly ckpt=outputs/autoencoder-mnist samples=FOLDER`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Le

from aigc_cli.errors import ConfigError
from aigc_cli.inference.opening import home_of, open_model, probe, refuse_to_replace, short, writing_at
from aigc_cli.wording import suggestion

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from aigc_cli.composing.compose import Composed
    from aigc_cli.inference.inputs import Inputs
    from aigc_cli.inference.opening import Opened

LISTED = 10  # lines of the table on the terminal
LONGEST = 200  # characters of a name there


def anomaly(
    run: Composed,
    *,
    ckpt: str | None,
    samples: str | None,
    usual: int | str | list[int | str] | None,
    split: Literal["test", "train"],
    n: Annotated[int, Ge(1)] | None,
    seed: Annotated[int, Ge(0), Le(2**63 - 1)],
    data: Mapping[str, Any],
    output: str | None,
    device: str,
    batch_size: Annotated[int, Ge(1), Le(65536)],
) -> None:
    """Score every sample, write a ranked table and a histogram, and say how well scores tell usual from unusual."""
    opened = open_model(run.config, "Scores", "scores nothing (autoencoders, a vae and priors do)", text=True)
    folder, prefix = home_of(opened.checkpoint.path, "anomaly")
    what = (Path(samples).resolve().name if samples else split) + (f"-n-{n}-seed-{seed}" if n else "")
    folder = Path(output).expanduser() if output else folder / f"{prefix}{what}-step-{opened.checkpoint.step:08d}"
    probe(folder)
    refuse_to_replace(folder / "scores.json", folder / "scores.csv", folder / "histogram.png")

    from aigc_cli.inference.inputs import inputs_for

    inputs = inputs_for(opened.model, run.config, opened.trained)
    names = [] if usual is None else [str(name) for name in (usual if isinstance(usual, list) else [usual])]
    is_usual = _told_apart(inputs, names)
    scores = _scores(opened, inputs, batch_size, seed)
    area = None if is_usual is None else area_under_curve(scores[~is_usual], scores[is_usual])
    with writing_at(folder):
        _write(folder, inputs, scores, is_usual, area, "texts" if opened.model.spec.text else "pictures")
    _tell(opened, inputs, scores, area, folder)


def area_under_curve(unusual: NDArray[np.floating], usual: NDArray[np.floating]) -> float:
    """Return how often an unusual score exceeds a usual one, ties counting half: the area under the ROC curve."""
    import numpy as np

    ordered = np.sort(usual)
    below, through = np.searchsorted(ordered, unusual, "left"), np.searchsorted(ordered, unusual, "right")
    return float((below + through).mean() / 2 / len(usual))


def _told_apart(inputs: Inputs, usual: Sequence[str]) -> NDArray[np.bool_] | None:
    """Return which pictures are of a usual class; None where nobody says which classes those are."""
    import numpy as np

    if not usual:
        return None
    if inputs.labels is None:
        raise ConfigError("usual: these samples have no labels. Put pictures into sub-folders, texts into a .jsonl "
                          "with labels, or leave usual out.")  # fmt: skip
    for name in usual:
        if name not in inputs.classes:
            known = ", ".join(inputs.classes[:20])
            raise ConfigError(f"usual: no class {name!r}.{suggestion(name, inputs.classes)} Classes: {known}.")
    found = np.isin(inputs.labels, [inputs.classes.index(name) for name in usual])
    if found.all() or not found.any():
        raise ConfigError(f"usual: {'all' if found.all() else 'none'} of them are. Allowed: some of the classes.")
    return found


def _scores(opened: Opened, inputs: Inputs, batch_size: int, seed: int) -> NDArray[np.floating]:
    """Return the model's scores; of pieces of text, for each symbol: in whole the longest would be the least usual."""
    import numpy as np
    import torch
    from tqdm import tqdm

    from aigc_cli.devices import explaining_memory
    from aigc_cli.models.pieces import counted

    parts, text = [], opened.model.spec.text
    end = None if text is None else text.end
    devices = [opened.device] if opened.device.type == "cuda" else []
    with explaining_memory(opened.device, batch_size), torch.no_grad(), torch.random.fork_rng(devices):
        torch.manual_seed(seed)  # a bound is estimated from draws
        bar = tqdm(total=len(inputs), desc="scoring", leave=False, disable=None, dynamic_ncols=True)
        for x, condition in inputs.chunks(opened.model, batch_size, opened.device):
            scores = opened.model.score(x, condition)
            parts.append((scores if end is None else scores / counted(x, end).sum(1)).cpu().numpy())
            bar.update(len(x))
        bar.close()
    return np.concatenate(parts)


def _write(
    folder: Path, inputs: Inputs, scores: NDArray, is_usual: NDArray[np.bool_] | None, area: float | None, what: str
) -> None:
    """Write scores.csv, the most unusual first, scores.json about all of them, and histogram.png."""
    from aigc_cli.files import atomic_write
    from aigc_cli.pictures.charts import draw_histogram
    from aigc_cli.pictures.previews import save_image

    folder.mkdir(parents=True, exist_ok=True)
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["rank", "score", "name", "label"])
    for rank, index in enumerate((-scores).argsort(kind="stable"), 1):
        writer.writerow([rank, f"{scores[index]:.6g}", inputs.names[index], inputs.label_of(index)])
    atomic_write(folder / "scores.csv", table.getvalue().encode())
    means = {name: float(scores[inputs.labels == label].mean()) for label, name in enumerate(inputs.classes)
             if inputs.labels is not None and (inputs.labels == label).any()}  # fmt: skip
    about = {"n": len(scores), "mean": float(scores.mean()), "area_under_curve": area, "mean_by_class": means}
    atomic_write(folder / "scores.json", json.dumps(about, indent=1).encode())
    groups = {"all": scores} if is_usual is None else {"usual": scores[is_usual], "unusual": scores[~is_usual]}
    title = f"{len(scores):,} {what}" + (f"; area under the curve {area:.4f}" if area is not None else "")
    axes = "score: the higher, the less usual", "share of each group"
    save_image(draw_histogram(groups, title, axes), folder / "histogram.png")


def _tell(opened: Opened, inputs: Inputs, scores: NDArray, area: float | None, folder: Path) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from aigc_cli.texts.reading import safe

    title = f"{opened.name}, step {opened.checkpoint.step:,}: the least usual of {len(scores):,}"
    table = Table(title=escape(title), title_justify="left")
    for column in ("rank", "score", "name", "label"):
        table.add_column(column, justify="right" if column in ("rank", "score") else "left")
    for rank, index in enumerate((-scores).argsort(kind="stable")[:LISTED], 1):
        name = safe(inputs.names[index].replace("\n", "\\n"))[:LONGEST]
        table.add_row(str(rank), f"{scores[index]:.4g}", escape(name), escape(inputs.label_of(index)))
    Console().print(table)
    if area is not None:
        print(f"area under the curve: {area:.4f} (1: every unusual one scores higher; 0.5: chance)")
    elif inputs.labels is not None:
        print(f"next: usual=[{inputs.classes[0]}] says how well scores tell these from the others")
    print(f"scores: {short(folder / 'scores.csv')}\nhistogram: {short(folder / 'histogram.png')}")
