"""Show what is left of data after a model's bottleneck: `aigc reconstruct ckpt=outputs/vae-mnist`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Le

from aigc_cli.errors import ConfigError
from aigc_cli.pictures.opening import home_of, open_model, probe, short, writing_at

if TYPE_CHECKING:
    from aigc_cli.composing.compose import Composed
    from aigc_cli.pictures.inputs import Inputs
    from aigc_cli.pictures.opening import Opened

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def reconstruct(
    run: Composed,
    *,
    ckpt: str | None,
    samples: str | None,
    n: Annotated[int, Ge(1), Le(1024)],
    seed: Annotated[int, Ge(0), Le(2**63 - 1)],
    label: int | str | list[int | str] | None,
    data: Mapping[str, Any],
    output: str | None,
    device: str,
    batch_size: Annotated[int, Ge(1), Le(4096)],
) -> None:
    """Write a grid, rows of pictures over rows of their reconstructions, and say where it lies."""
    config = run.config
    target = Path(output).expanduser() if output else None
    if target is not None and target.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"output: given {output}, allowed: a name that ends in {', '.join(SUFFIXES)}.")
    if samples is not None and label is not None:
        raise ConfigError(
            "label: of the model's own data only; samples= are taken whatever they show. Leave one of them out."
        )
    opened = open_model(config, "Reconstructs", "has no bottleneck to pass pictures through (autoencoders have)")
    folder, prefix = home_of(opened.checkpoint.path, "samples")
    of = f"-{Path(samples).resolve().name}" if samples else ""
    target = target or folder / f"{prefix}reconstructions-step-{opened.checkpoint.step:08d}{of}.png"
    probe(target.parent)

    inputs = chosen(opened, config)
    written = _write(opened, inputs, target, batch_size)
    print(f"{len(inputs)} pictures over their reconstructions by {opened.name}: {short(written)}")
    print(f"next: aigc anomaly ckpt={short(Path(str(ckpt)))}")


def _write(opened: Opened, inputs: Inputs, target: Path, batch_size: int) -> Path:
    """Draw the grid; return where it lies."""
    import numpy as np
    import torch

    from aigc_cli.devices import explaining_memory
    from aigc_cli.pictures.placing import put_in_place
    from aigc_cli.pictures.previews import default_columns, grid, save_image, stacked
    from aigc_cli.pictures.rows import shown

    rows: tuple[list, list] = ([], [])
    with explaining_memory(opened.device, batch_size), torch.no_grad():
        for x, condition in inputs.chunks(opened.model, batch_size, opened.device):
            for row, part in zip(rows, (x, opened.model.reconstruct(x, condition)), strict=True):
                row.append(shown(part, opened.model.spec))
    columns = min(default_columns(2 * len(inputs)), len(inputs))
    page = grid(stacked([np.concatenate(row) for row in rows], columns), columns)
    about = {"step": str(opened.checkpoint.step), "config": json.dumps(opened.trained, sort_keys=True)}
    with writing_at(target), put_in_place(target) as place:
        save_image(page, place.aside, metadata=about)
    return place.path


def chosen(opened: Opened, config: Mapping[str, Any]) -> Inputs:
    """Return the pictures that are asked for: of the classes of label=, or any."""
    from aigc_cli.pictures.choices import choose_labels
    from aigc_cli.pictures.held_out import data_of, some_of
    from aigc_cli.pictures.inputs import Inputs, inputs_for

    if config["samples"] is not None:
        return inputs_for(opened.model, config, opened.trained)
    label = config["label"]
    typed = () if label is None else tuple(label) if isinstance(label, list) else (label,)
    classes = choose_labels(typed, opened.model.spec, known=True) if typed else []
    pack = data_of(opened.trained, config["data"], opened.model.spec)
    x, labels = some_of(pack, config["n"], seed=config["seed"], classes=classes)
    known = opened.model.spec.class_names
    return Inputs(x.numpy(), [""] * len(x), labels.numpy() if known and labels is not None else None, known)
