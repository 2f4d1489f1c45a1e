"""Look at data, or decode them without training: `aigc data check data=mnist`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Le

from aigc_cli.data import check_pipeline
from aigc_cli.errors import DataError
from aigc_cli.files import atomic_write
from aigc_cli.runs.names import safe
from aigc_cli.texts.describing import examples, lengths_said, vocabulary_said
from aigc_cli.texts.pages import Passage, as_txt
from aigc_cli.wording import shown

if TYPE_CHECKING:
    from aigc_cli.composing.compose import Composed
    from aigc_cli.data.pack import Pack

LISTED = 10  # rejected files to name
READ, LETTERS = 4, 240  # texts to show, and how much of each


def data(
    run: Composed,
    *,
    action: Literal["check", "pack"],
    data: Mapping[str, Any],
    output: str,
    n: Annotated[int, Ge(1), Le(10_000)],
    seed: Annotated[int, Ge(0), Le(2**63 - 1)],
) -> None:
    """Pack the data where that is still to be done, and say what they are.

    `check` says it however many could not be used, and ends with an error where these are more than data.max_bad.
    """
    from aigc_cli.data.pack import advice, open_data, refuse_bad

    began, allowed = time.perf_counter(), check_pipeline(data)["max_bad"]
    pack = open_data({**data, "max_bad": 1.0} if action == "check" else data, anew=True)
    how = f"packed in {time.perf_counter() - began:.1f} seconds" if pack.fresh else "packed before"
    print(f"{pack.path} ({_megabytes(pack)}, {how})")
    print("\n".join(_description(pack)))
    if hint := advice(pack):
        print(f"  advice:   {hint}")
    if action == "check":
        _verify(pack)
        title = Path(output) / _title(run, data)
        if pack.about["kind"] == "text":
            print(f"  look:     {_write(pack, title.with_name(f'{title.name}.txt'), n, seed)}", flush=True)
        else:
            print(f"  look:     {_draw(pack, title.with_name(f'{title.name}.png'), n, seed)}", flush=True)
        refuse_bad(pack, allowed)


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
    if about.get("text"):
        lines += [f"  lengths:  {said}" for said in lengths_said(pack)]
    if pack.ignored:
        lines.append(f"  ignored:  {pack.ignored:,} files that are no {_kind(about)}")
    if pack.rejected:
        lines.append(f"  rejected: {pack.rejected:,} {'texts' if about['kind'] == 'text' else 'files'}")
        lines += [f"    {path}: {reason}" for path, reason in pack.rejections()[:LISTED]]
        lines += [f"    all are in {pack.path / 'rejected.jsonl'}"] if pack.rejected > LISTED else []
    return lines


def _kind(about: Mapping[str, Any]) -> str:
    return "sounds" if about.get("sound") else {"image": "pictures", "text": "texts"}.get(about["kind"], "sounds")


def _said(about: Mapping[str, Any]) -> str:
    if about.get("text"):
        return f"text of {about['shape'][0]} symbols, {vocabulary_said(about)}"
    return f"{about['kind']} {'x'.join(map(str, about['shape']))}, {about['levels']} levels"


def _verify(pack: Pack) -> None:
    if damaged := pack.damage():
        raise DataError(f"{pack.path}: {', '.join(damaged)} differ from their checksums. Remove the folder.")
    print("  checked:  every file is what its checksum says")


def _draw(pack: Pack, path: Path, n: int, seed: int) -> Path:
    """Write a grid of training samples: by class in turn where there are labels, below their sources if any.

    Sounds are drawn as waves and spectrograms.
    """
    from aigc_cli.pictures.previews import default_columns, save_grid, stacked

    samples, condition = pack.split("train")
    order = np.random.default_rng(seed).permutation(len(samples))
    columns = None
    if condition is not None and not pack.about.get("source"):
        present = np.unique(condition)
        columns = default_columns(min(n, len(order)), len(present))
        order = _in_turn(order, condition, len(present))
    picked = order[:n]
    pictures = samples[picked]
    if pack.about.get("sound"):
        pictures = _sheet(pack, pictures, condition[picked] if condition is not None else None)
    if condition is not None and pack.about.get("source"):
        columns = default_columns(2 * len(picked))
        pictures = stacked([condition[picked], pictures], columns)
    try:
        save_grid(pictures, path, columns=columns)
    except OSError as error:
        raise _not_written(path, error) from None
    return path


def _sheet(pack: Pack, stored: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    import torch

    from aigc_cli.pictures.rows import shown as drawn

    names = None if labels is None else [pack.about["classes"][label] for label in labels]
    return drawn(torch.from_numpy(np.array(stored)), pack.spec, names)


def _write(pack: Pack, path: Path, n: int, seed: int) -> Path:
    """Write training samples as text, by class in turn where there are labels, and show the first ones."""
    samples, condition = pack.split("train")
    order = np.random.default_rng(seed).permutation(len(samples))
    if condition is not None and not pack.about.get("source"):
        order = _in_turn(order, condition, len(np.unique(condition)))
    texts = examples(pack, order[:n])
    for text in texts[:READ]:
        print(f"  example:  {shown(text[:LETTERS])}{' ...' if len(text) > LETTERS else ''}")
    page = as_txt([Passage(text) for text in texts], "", running=pack.about["text"]["end"] is None)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, page.encode("utf-8", "replace"), durable=False)
    except OSError as error:
        raise _not_written(path, error) from None
    return path


def _not_written(path: Path, error: OSError) -> DataError:
    return DataError(f"output: cannot write {path} ({error.strerror}). Type output= and another folder.")


def _in_turn(order: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Reorder so that classes take turns, as long as each has samples."""
    rank = np.empty(len(order), np.int64)
    shuffled = labels[order]
    for label in np.unique(labels):
        mine = np.flatnonzero(shuffled == label)
        rank[mine] = np.arange(len(mine))
    return order[np.lexsort((shuffled, rank))]
