"""Turn every line of files into another by a trained model of pairs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tqdm import tqdm

from aigc_cli.data.text_reading import existing_path
from aigc_cli.devices import explaining_memory
from aigc_cli.errors import ConfigError
from aigc_cli.files import atomic_write
from aigc_cli.inference.opening import home_of, probe, short, writing_at
from aigc_cli.inference.placing import put_in_place
from aigc_cli.interfaces import DataSpec
from aigc_cli.texts.given import utf8
from aigc_cli.texts.reading import stored_sources, texts_of

if TYPE_CHECKING:
    from aigc_cli.inference.opening import Opened


def translate_lines(opened: Opened, config: Mapping[str, Any]) -> None:
    """Write what the model makes of each line of config["samples"], a text file; empty lines stay empty."""
    source = Path(config["samples"]).expanduser()
    lines = _lines(source)
    folder, prefix = home_of(opened.checkpoint.path, opened.model.verb)
    target = Path(config["output"]).expanduser() if config["output"] else folder / f"{prefix}{source.stem}.txt"
    if target.resolve() == source.resolve():
        raise ConfigError(f"output: {target} is the file that is read. Type another.")
    given = _stored(lines, opened.model.source)
    probe(target.parent)
    made = [""] * len(lines)
    generator = torch.Generator(opened.device).manual_seed(config["seed"])
    filled = [number for number, line in enumerate(lines) if line]
    with torch.no_grad(), explaining_memory(opened.device, config["batch_size"]):
        for start in tqdm(range(0, len(filled), config["batch_size"]), leave=False, disable=None, dynamic_ncols=True):
            part = given[start : start + config["batch_size"]].to(opened.device)
            texts = texts_of(opened.model.transform(part, generator=generator), opened.model.spec)
            for number, text in zip(filled[start:], texts, strict=False):
                made[number] = " ".join(text.split("\n"))
    with writing_at(target), put_in_place(target) as place:
        place.aside.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(place.aside, "".join(f"{line}\n" for line in made).encode("utf-8", "replace"), durable=False)
    print(f"{len(filled):,} lines by {opened.name}: {short(place.path)}")


def _lines(source: Path) -> list[str]:
    if not existing_path(str(source), "samples").is_file():
        raise ConfigError(f"samples: given {source}, allowed: a text file, of which each line is turned into another.")
    lines = utf8(source, "samples").split("\n")  # as pairs are read: no other character ends a line
    if not any(map(str.strip, lines)):
        raise ConfigError(f"samples: {source} holds no lines. Type a file that does.")
    return [line.strip() for line in (lines[:-1] if not lines[-1] else lines)]


def _stored(lines: list[str], spec: DataSpec) -> torch.Tensor:
    """Return the lines that are not empty as the model reads them; ConfigError names the first that it cannot."""
    rows = []
    for number, line in enumerate(lines, 1):
        if line:
            try:
                rows.append(stored_sources([line], spec, "samples"))
            except ConfigError as error:
                raise ConfigError(f"samples, line {number}: {str(error).removeprefix('samples: ')}") from None
    return torch.cat(rows)
