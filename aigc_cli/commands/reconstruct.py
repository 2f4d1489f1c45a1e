"""Show what is left of data after a model's bottleneck: `aigc reconstruct ckpt=outputs/vae-mnist`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Le

from aigc_cli.errors import ConfigError
from aigc_cli.inference.opening import home_of, open_model, probe, short, writing_at

if TYPE_CHECKING:
    from torch import Tensor

    from aigc_cli.composing.compose import Composed
    from aigc_cli.inference.inputs import Inputs
    from aigc_cli.inference.opening import Opened
    from aigc_cli.interfaces import DataSpec

SUFFIXES = {False: (".png", ".jpg", ".jpeg", ".webp"), True: (".txt", ".jsonl", ".html")}  # of pictures, of text


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
    """Write a grid, rows of pictures over rows of their reconstructions, or texts, and say where it lies."""
    config = run.config
    target = Path(output).expanduser() if output else None
    if target is not None and not any(target.suffix.lower() in endings for endings in SUFFIXES.values()):
        raise ConfigError(f"output: given {output}, allowed: a name that ends in {', '.join(SUFFIXES[False])}, of "
                          f"texts in {', '.join(SUFFIXES[True])}.")  # fmt: skip
    if samples is not None and label is not None:
        raise ConfigError(
            "label: of the model's own data only; samples= are taken whatever they show. Leave one of them out."
        )
    opened = open_model(config, "Reconstructs", "has no bottleneck to pass pictures through (autoencoders have)",
                        text=True)  # fmt: skip
    folder, prefix = home_of(opened.checkpoint.path, "samples")
    of = f"-{Path(samples).resolve().name}" if samples else ""
    text = bool(opened.model.spec.text)
    default = folder / f"{prefix}reconstructions-step-{opened.checkpoint.step:08d}{of}{SUFFIXES[text][0]}"
    target = target or default
    if target.suffix.lower() not in SUFFIXES[text]:
        what = "texts" if text else "pictures"
        raise ConfigError(f"output: given {output}, but this model makes {what}. Allowed: a name that ends in "
                          f"{', '.join(SUFFIXES[text])}.")  # fmt: skip
    probe(target.parent)

    inputs = chosen(opened, config)
    written, heard = (_write_texts if text else _write)(opened, inputs, target, batch_size)
    what = "texts and" if text else "sounds over" if opened.model.spec.sound else "pictures over"
    print(f"{len(inputs)} {what} their reconstructions by {opened.name}: {short(written)}")
    if heard:
        print(f"listen: {short(heard)}")
    print(f"next: aigc anomaly ckpt={short(Path(str(ckpt)))}")


def _write(opened: Opened, inputs: Inputs, target: Path, batch_size: int) -> tuple[Path, Path | None]:
    """Draw the grid, and write what can be heard into a folder beside it; return where they lie."""
    import torch

    from aigc_cli.devices import explaining_memory
    from aigc_cli.inference.placing import put_in_place
    from aigc_cli.pictures.previews import default_columns, grid, save_image, stacked
    from aigc_cli.pictures.rows import shown

    rows: tuple[list[Tensor], list[Tensor]] = ([], [])
    with explaining_memory(opened.device, batch_size), torch.no_grad():
        for x, condition in inputs.chunks(opened.model, batch_size, opened.device):
            for row, part in zip(rows, (x, opened.model.reconstruct(x, condition)), strict=True):
                row.append(part.cpu())
    given, made = (torch.cat(row) for row in rows)
    spec, columns = opened.model.spec, min(default_columns(2 * len(inputs)), len(inputs))
    names = None if inputs.labels is None else [inputs.label_of(index) for index in range(len(inputs))]
    page = grid(stacked([shown(given, spec, names), shown(made, spec, names)], columns), columns)
    about = {"step": str(opened.checkpoint.step), "config": json.dumps(opened.trained, sort_keys=True)}
    heard = _write_sounds(given, made, spec, target.with_suffix("")) if spec.sound else None
    with writing_at(target), put_in_place(target) as place:
        save_image(page, place.aside, metadata=about)
    return place.path, heard


def _write_sounds(given: Tensor, made: Tensor, spec: DataSpec, folder: Path) -> Path:
    """Write 00000-given.wav, 00000-reconstruction.wav, ... into a folder; return where it lies."""
    from aigc_cli.inference.placing import put_in_place
    from aigc_cli.sounds.waveforms import waves, write_waves

    assert spec.sound, "of sounds only"
    with writing_at(folder), put_in_place(folder) as place:
        for stored, name in ((given, "given"), (made, "reconstruction")):
            write_waves(waves(stored, spec), spec.sound.sample_rate, place.aside, names=[name] * len(stored))
    return place.path


def _write_texts(opened: Opened, inputs: Inputs, target: Path, batch_size: int) -> tuple[Path, None]:
    """Print and write each text and what became of it; return where."""
    import torch

    from aigc_cli.devices import explaining_memory
    from aigc_cli.files import atomic_write
    from aigc_cli.inference.placing import put_in_place
    from aigc_cli.texts.pages import PAGES, Passage, as_pairs
    from aigc_cli.texts.reading import safe, texts_of

    passages, spec = list[Passage](), opened.model.spec
    with explaining_memory(opened.device, batch_size), torch.no_grad():
        for x, condition in inputs.chunks(opened.model, batch_size, opened.device):
            made = texts_of(opened.model.reconstruct(x, condition), spec)
            passages += [Passage(text, source=given) for text, given in zip(made, texts_of(x, spec), strict=True)]
    print(safe(as_pairs(passages, "")))
    page = {**PAGES, "txt": as_pairs}[target.suffix[1:].lower()]
    title = f"{opened.name}, step {opened.checkpoint.step:,}"
    with writing_at(target), put_in_place(target) as place:
        place.aside.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(place.aside, page(passages, title).encode("utf-8", "replace"), durable=False)
    return place.path, None


def chosen(opened: Opened, config: Mapping[str, Any]) -> Inputs:
    """Return the pictures that are asked for: of the classes of label=, or any."""
    from aigc_cli.inference.choices import choose_labels
    from aigc_cli.inference.held_out import data_of, some_of
    from aigc_cli.inference.inputs import Inputs, inputs_for

    if config["samples"] is not None:
        return inputs_for(opened.model, config, opened.trained)
    label = config["label"]
    typed = () if label is None else tuple(label) if isinstance(label, list) else (label,)
    classes = choose_labels(typed, opened.model.spec, known=True) if typed else []
    pack = data_of(opened.trained, config["data"], opened.model.spec)
    x, labels = some_of(pack, config["n"], seed=config["seed"], classes=classes)
    known = opened.model.spec.class_names
    return Inputs(x.numpy(), [""] * len(x), labels.numpy() if known and labels is not None else None, known)
