"""Look at data, or decode them without training: `aigc data check data=mnist`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Le

from aigc_cli.errors import DataError
from aigc_cli.runs.names import safe

if TYPE_CHECKING:
    from aigc_cli.composing.compose import Composed
    from aigc_cli.data.pack import Pack

LISTED = 10  # rejected files to name


def data(
    run: Composed,
    *,
    action: Literal["check", "pack"],
    data: Mapping[str, Any],
    output: str,
    n: Annotated[int, Ge(1), Le(10_000)],
    seed: Annotated[int, Ge(0), Le(2**63 - 1)],
) -> None:
    """Pack the data where that is still to be done, and say what they are."""
    from aigc_cli.data.pack import advice, open_data

    began = time.perf_counter()
    pack = open_data(data)
    how = f"packed in {time.perf_counter() - began:.1f} seconds" if pack.fresh else "packed before"
    print(f"{pack.path} ({_megabytes(pack)}, {how})")
    print("\n".join(_description(pack)))
    if hint := advice(pack):
        print(f"  advice:   {hint}")
    if action == "check":
        _verify(pack)
        print(f"  look:     {_draw(pack, Path(output) / f'{_title(run, data)}.png', n, seed)}", flush=True)


def _title(run: Composed, data: Mapping[str, Any]) -> str:
    """Return the data set's name, and its folder's where the user named one."""
    name, root = str(run.choices.get("data") or data["name"]), data.get("root")
    default = run.defaults.get("data", {}).get("root")
    return name if root in (None, default) else f"{name}-{safe(Path(str(root)).name)}"


def _megabytes(pack: Pack) -> str:
    return f"{sum(file.stat().st_size for file in pack.path.iterdir()) / 1e6:,.1f} MB"


def _description(pack: Pack) -> list[str]:
    """Return lines: what a sample is, how many there are, what could not be used."""
    about = pack.about
    lines = [f"  samples:  {_said(about)}"]
    if about.get("source"):
        lines.append(f"  from:     {_said(about['source'])}")
    for split, count in pack.counts.items():
        labels = None if about.get("source") else pack.split(split)[1]
        counted = np.bincount(labels, minlength=len(about["classes"])) if labels is not None else []
        classes = ", ".join(f"{name} {number:,}" for name, number in zip(about["classes"] or (), counted, strict=True))
        lines.append(f"  {split + ':':<10}{count:,}{' (' + classes + ')' if classes else ''}")
    if pack.ignored:
        lines.append(f"  ignored:  {pack.ignored:,} files that are no pictures")
    if pack.rejected:
        lines.append(f"  rejected: {pack.rejected:,} files")
        lines += [f"    {path}: {reason}" for path, reason in pack.rejections()[:LISTED]]
        lines += [f"    all are in {pack.path / 'rejected.jsonl'}"] if pack.rejected > LISTED else []
    return lines


def _said(about: Mapping[str, Any]) -> str:
    return f"{about['kind']} {'x'.join(map(str, about['shape']))}, {about['levels']} levels"


def _verify(pack: Pack) -> None:
    if damaged := pack.damage():
        raise DataError(f"{pack.path}: {', '.join(damaged)} differ from their checksums. Remove the folder.")
    print("  checked:  every file is what its checksum says")


def _draw(pack: Pack, path: Path, n: int, seed: int) -> Path:
    """Write a grid of training samples: by class in turn where there are labels, below their sources if any."""
    from aigc_cli.pictures.previews import default_columns, save_grid
    from aigc_cli.pictures.rows import alike, interleave

    samples, condition = pack.split("train")
    order = np.random.default_rng(seed).permutation(len(samples))
    columns = None
    if condition is not None and not pack.about.get("source"):
        present = np.unique(condition)
        columns = default_columns(min(n, len(order)), len(present))
        order = _in_turn(order, condition, len(present))
    picked = order[:n]
    pictures = samples[picked]
    if condition is not None and pack.about.get("source"):
        columns = default_columns(2 * len(picked))
        pictures = interleave(alike([condition[picked], pictures]), columns)
    try:
        save_grid(pictures, path, columns=columns)
    except OSError as error:
        raise DataError(f"output: cannot write {path} ({error.strerror}). Type output= and another folder.") from None
    return path


def _in_turn(order: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Reorder so that classes take turns, as long as each has samples."""
    rank = np.empty(len(order), np.int64)
    shuffled = labels[order]
    for label in np.unique(labels):
        mine = np.flatnonzero(shuffled == label)
        rank[mine] = np.arange(len(mine))
    return order[np.lexsort((shuffled, rank))]
