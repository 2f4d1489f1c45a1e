"""Turn pictures into others by a trained model: one way for every verb of a model that transforms."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aigc_cli.errors import ConfigError, TrainingError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


def transform_folder(verb: str, config: Mapping[str, Any]) -> None:
    """Write what the model of config["ckpt"] makes of config["samples"], a picture or a folder, by the same names."""
    for key, what in (("ckpt", "a run's folder, a checkpoint's or a .safetensors file"),
                      ("samples", f"a picture, or a folder of pictures, to {verb}")):  # fmt: skip
        if config[key] is None:
            raise ConfigError(f"{key}: not set. It is: {what}. Type {key}=PATH.")
    from aigc_cli.checkpoints import resolve
    from aigc_cli.checkpoints.restoring import restore
    from aigc_cli.commands.sample import preset_of
    from aigc_cli.devices import choose, explaining_memory
    from aigc_cli.interfaces import Transforms
    from aigc_cli.pictures.files import find_pictures
    from aigc_cli.pictures.placing import put_in_place

    files = find_pictures(config["samples"], "samples")
    device = choose(config["device"], "fp32").torch
    checkpoint = resolve(Path(config["ckpt"]).expanduser())
    model, name = restore(checkpoint, device), preset_of(checkpoint)
    if not isinstance(model, Transforms) or model.verb != verb:
        instead = f" Type aigc {model.verb} instead." if isinstance(model, Transforms) else " Choose another."
        raise ConfigError(f"ckpt: model '{name}' does not {verb} pictures.{instead}")
    target = _target(verb, config, checkpoint.path)
    fit = checkpoint.meta["config"].get("data", {}).get("fit", "crop")
    count = 0
    try:
        with put_in_place(target) as place, explaining_memory(device, config["batch_size"]):
            for path, picture in _made(model, files, config, device, fit):
                _write(place.aside / path, picture)
                count += 1
    except OSError as error:
        raise TrainingError(f"{target}: not written ({error.strerror or error}). Type output= and a path.") from None
    print(f"{count:,} {'pictures' if count > 1 else 'picture'} by {name}: {place.path}")


def _target(verb: str, config: Mapping[str, Any], checkpoint: Path) -> Path:
    """Return the folder to write: in the run, or beside a lone file of weights, or as asked."""
    source, path = Path(config["samples"]).expanduser().resolve(), checkpoint.resolve()
    of_run = path.parent.name == "checkpoints"
    folder = path.parents[1] / verb if of_run else path.parent / f"{path.stem}-{verb}"
    target = Path(config["output"]).expanduser() if config["output"] else folder / source.stem
    if target.resolve() in (source, source.parent if source.is_file() else source):
        raise ConfigError(f"output: {target} is the folder that is read. Type another.")
    return target


def _made(
    model: Any, files: Mapping[str, Path], config: Mapping[str, Any], device: torch.device, fit: Any
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield names and what was made, (C, H, W) each; what was cut to size, or could not be read, is told at the end."""
    import torch
    from tqdm import tqdm

    from aigc_cli.data.decode import picture_size, read_picture
    from aigc_cli.data.folders import shown
    from aigc_cli.data.source import Rejected
    from aigc_cli.pictures.files import made_name

    channels, height, width = model.source.shape
    generator = torch.Generator(device).manual_seed(config["seed"])
    names, waiting, bad, resized = [], [], [], 0
    for number, (name, file) in enumerate(tqdm(files.items(), desc=model.verb, leave=False, disable=None), 1):
        try:
            waiting.append(torch.from_numpy(read_picture(file, channels, width, fit).copy()))
            names.append(made_name(name))
            resized += picture_size(file) != (width, height)
        except Rejected as reason:
            bad.append(f"{shown(name)} ({reason})")
        if waiting and (len(waiting) == config["batch_size"] or number == len(files)):
            made = model.transform(torch.stack(waiting).to(device), generator=generator).cpu().numpy()
            yield from zip(names, made, strict=True)
            names, waiting = [], []
    if bad:
        print(f"aigc: {len(bad)} files cannot be used: {'; '.join(bad[:3])}", file=sys.stderr)
    if resized:
        print(f"aigc: {resized} of the pictures were not {width}x{height}, as the model has learnt: made so "
              f"({'their middle' if fit == 'crop' else 'padded'}).", file=sys.stderr)  # fmt: skip
    if len(bad) == len(files):
        raise ConfigError(f"samples: none of the {len(files)} pictures of '{config['samples']}' can be used.")


def _write(path: Path, picture: NDArray[np.uint8]) -> None:
    from aigc_cli.pictures.files import as_picture
    from aigc_cli.pictures.previews import save_image

    save_image(as_picture(picture), path)
