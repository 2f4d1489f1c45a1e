"""What is put into a model: pictures, sounds or texts of files, or data of the set that it was trained on."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aigc_cli.data.decode import picture_size, read_picture
from aigc_cli.data.source import Rejected
from aigc_cli.errors import ConfigError
from aigc_cli.inference.held_out import data_of
from aigc_cli.pictures.files import find_pictures
from aigc_cli.texts.reading import source_of, texts_of
from aigc_cli.wording import shown

if TYPE_CHECKING:
    from aigc_cli.interfaces import DataSpec, Model


@dataclass(frozen=True)
class Inputs:
    """Stored samples in a row, each with a name and maybe a label, or the source that it was made from."""

    x: NDArray  # (N, *spec.shape), integers
    names: list[str]
    labels: NDArray[np.int64] | None  # indices into classes
    classes: tuple[str, ...]
    sources: NDArray | None = None  # (N, *their shape), where the model is told of them

    def __len__(self) -> int:
        return len(self.x)

    def label_of(self, index: int) -> str:
        """Return the name of a picture's class; nothing where it has none."""
        return "" if self.labels is None else self.classes[self.labels[index]]

    def chunks(self, model: Model, size: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield samples and what the model is conditioned on, on the device."""
        beside = self.sources if self.sources is not None else self.labels if model.conditional else None
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            told = None if beside is None else torch.from_numpy(np.array(beside[part])).to(device)
            yield torch.from_numpy(np.array(self.x[part])).to(device), told

    def some(self, picked: NDArray[np.int64]) -> Inputs:
        """Return those of an index."""
        labels, sources = (None if each is None else each[picked] for each in (self.labels, self.sources))
        return Inputs(self.x[picked], [self.names[index] for index in picked], labels, self.classes, sources)


def inputs_for(model: Model, config: Mapping[str, Any], trained: Mapping[str, Any]) -> Inputs:
    """Return the samples of files, or the split of the model's data, that a verb's config asks for.

    trained: the config of the model's training. Up to config["n"] of them, chosen by config["seed"], if it is set.
    Texts are named by what they say.
    """
    typed = {key: value for key, value in config["data"].items() if value is not None}
    if config["samples"] is None:
        found = from_data(config, trained, model)
    else:
        if typed:
            raise ConfigError(f"data: samples={config['samples']} are read already. Leave one of them out.")
        found = _from_files(Path(config["samples"]).expanduser(), model, trained)
    if (n := config.get("n")) is not None and n < len(found):
        found = found.some(np.sort(np.random.default_rng(config["seed"]).permutation(len(found))[:n]))
    return replace(found, names=texts_of(torch.from_numpy(np.array(found.x)), model.spec)) if model.spec.text else found


def _from_files(path: Path, model: Model, trained: Mapping[str, Any]) -> Inputs:
    from aigc_cli.texts.inputs import from_texts

    found = from_texts(path, model) if model.spec.text else from_folder(path, model.spec, trained.get("data") or {})
    return as_known(found, model.spec) if model.conditional else found


def from_data(config: Mapping[str, Any], trained: Mapping[str, Any], model: Model) -> Inputs:
    """Return a split of the data that a model was trained on."""
    spec = model.spec
    pack, split = data_of(trained, config["data"], spec), config.get("split", "test")
    if not pack.counts[split]:
        raise ConfigError(f"split: these data have no {split} samples. Type samples=FOLDER, or split=train.")
    x, condition = pack.split(split)
    names = [f"{split}/{index:05d}" for index in range(len(x))]
    sources = condition if source_of(model) else None
    return Inputs(x, names, condition if spec.classes else None, spec.class_names, sources)


def from_folder(folder: Path, spec: DataSpec, node: Mapping[str, Any], most: int | None = None) -> Inputs:
    """Read pictures as the data's own are: size, channels, middle crop; a sub-folder is a class. Bad ones are told.

    node: the settings of those data.
    """
    if spec.sound:
        return _sounds_from_folder(folder, spec, node, most)
    files = find_pictures(str(folder), "samples")
    channels, side = spec.shape[0], spec.shape[-1]
    if spec.shape != (channels, side, side) or channels not in (1, 3) or spec.levels != 256:
        given = f"{'x'.join(map(str, spec.shape))} of {spec.levels} levels"
        raise ConfigError(f"samples: the data are {given}, allowed: square pictures of 1 or 3 channels and 256 levels.")
    found: dict[str, NDArray[np.uint8]] = {}
    rejected, cut = [], 0
    for path, file in files.items():
        if most is None or len(found) < most:
            try:
                found[path] = read_picture(file, channels, side, "crop")
                cut += picture_size(file) != (side, side)
            except Rejected as reason:
                rejected.append(f"{shown(path)} ({reason})")
    tell_cut(cut, spec, "crop")
    return _collected(found, rejected, folder)


def _sounds_from_folder(folder: Path, spec: DataSpec, node: Mapping[str, Any], most: int | None) -> Inputs:
    """Read sounds as the data's own are: rate, channels, loudness, the first seconds; a sub-folder is a class."""
    from aigc_cli.data.folders import existing_folder, list_files
    from aigc_cli.data.sound import clips_of
    from aigc_cli.sounds.reading import SUFFIXES, read_clip

    clips, found, rejected = clips_of(spec, normalise=bool(node.get("normalise"))), {}, []
    trim = bool(node.get("trim"))
    root = existing_folder(str(folder), "samples")
    for path in (path for path, _, _ in list_files(root, "samples") if path.lower().endswith(SUFFIXES)):
        if most is None or len(found) < most:
            try:
                wave = read_clip(root / path, clips.sample_rate, clips.samples, clips.channels, trim=trim)
                found[path] = clips.stored(wave)
            except Rejected as reason:
                rejected.append(f"{shown(path)} ({reason})")
    return _collected(found, rejected, folder, "sounds")


def _collected(found: dict[str, NDArray], rejected: list[str], folder: Path, what: str = "pictures") -> Inputs:
    tell_rejected(rejected)
    if not found and what == "sounds":
        raise ConfigError(f"samples: no sounds in '{folder}'. Allowed: a folder of WAV, FLAC, OGG, Opus, MP3, AIFF.")
    refuse_none(found, folder)
    folders = [path.partition("/")[0] if "/" in path else "" for path in found]
    classes = sorted(set(folders))
    labels = np.array([classes.index(name) for name in folders]) if classes != [""] else None
    return Inputs(np.stack(list(found.values())), list(map(shown, found)), labels, tuple(map(shown, classes)))


def tell_rejected(rejected: list[str]) -> None:
    """Say on stderr which files cannot be used."""
    if rejected:
        more = f" and {len(rejected) - 3} more" if len(rejected) > 3 else ""
        print(f"aigc: {len(rejected)} files cannot be used: {'; '.join(rejected[:3])}{more}", file=sys.stderr)


def tell_cut(count: int, spec: DataSpec, fit: str) -> None:
    """Say on stderr how many pictures were brought to the model's size, and how."""
    if count:
        height, width = spec.shape[1:]
        how = "cut to their middle" if fit == "crop" else "padded"
        others = "1 picture was" if count == 1 else f"{count} pictures were"
        print(f"aigc: {others} not {width}x{height}, which is needed here: scaled and {how}.", file=sys.stderr)


def refuse_none(found: Any, folder: Path) -> None:
    """Refuse a folder of which nothing is left."""
    if not found:
        raise ConfigError(f"samples: no pictures in '{folder}'. Allowed: a folder of PNG, JPEG, WebP, BMP, GIF, TIFF.")


def as_known(found: Inputs, spec: DataSpec) -> Inputs:
    """Return samples of files with their sub-folders' names, or their labels, read as the model's classes."""
    known = spec.class_names
    unknown = [name for name in found.classes if name not in known] if found.labels is not None else ["none"]
    if unknown:
        how = "each line of a .jsonl needs a label" if spec.text else "sub-folders must be named after classes"
        given = shown(unknown[0]) or ("none" if spec.text else "pictures beside them")
        raise ConfigError(f"samples: the model knows its data by label, so {how}, given {given}, allowed: "
                          f"{', '.join(known[:20])}.")  # fmt: skip
    assert found.labels is not None
    index = np.array([known.index(name) for name in found.classes])
    return replace(found, labels=index[found.labels], classes=known)
