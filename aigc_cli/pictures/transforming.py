"""Turn every picture of a folder into another by a trained model: one way for denoise, upscale and the like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from aigc_cli.errors import ConfigError
from aigc_cli.inference.opening import Opened, home_of, open_model, probe, short, writing_at

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Picture: TypeAlias = NDArray[np.uint8]  # (C, H, W)

MOST_PIXELS = 1 << 22  # of a picture of any size: what a network makes of it fills some hundred times the memory


def transform_folder(verb: str, config: Mapping[str, Any]) -> None:
    """Write what the model of config["ckpt"] makes of config["samples"], a picture or a folder, by the same names."""
    if config["samples"] is None:
        text = "a text file, " if verb == "translate" else ""
        what = f"{text}a picture, or a folder of pictures, to {verb}"
        raise ConfigError(f"samples: not set. It is: {what}. Type samples=PATH.")
    opened = open_model(config, "Transforms", f"does not {verb}", text=True)
    if opened.model.verb != verb:
        raise ConfigError(f"ckpt: model '{opened.name}' does not {verb}. Type aigc {opened.model.verb} instead.")
    if opened.model.spec.text:
        from aigc_cli.texts.translating import translate_lines

        return translate_lines(opened, config)
    if opened.model.spec.sound:
        raise ConfigError(
            f"ckpt: aigc {verb} works on pictures only, and this model makes sounds. Type aigc reconstruct."
        )
    source = Path(config["samples"]).expanduser()
    folder, prefix = home_of(opened.checkpoint.path, verb)
    target = Path(config["output"]).expanduser() if config["output"] else folder / f"{prefix}{source.resolve().stem}"
    if target.resolve() in (source.resolve(), source.resolve().parent if source.is_file() else source.resolve()):
        raise ConfigError(f"output: {target} is the folder that is read. Type another.")
    probe(target.parent)

    from aigc_cli.devices import explaining_memory
    from aigc_cli.inference.placing import put_in_place

    count = 0
    with writing_at(target), put_in_place(target) as place, explaining_memory(opened.device, config["batch_size"]):
        for name, picture in _made(opened, source, config):
            _write(place.aside / name, picture)
            count += 1
    print(f"{count:,} pictures by {opened.name}: {short(place.path)}")


def _made(opened: Opened, folder: Path, config: Mapping[str, Any]) -> Iterator[tuple[str, Picture]]:
    """Yield names and what was made, (C, H, W) each."""
    import numpy as np
    import torch

    from aigc_cli.pictures.rows import shown

    model, generator = opened.model, torch.Generator(opened.device).manual_seed(config["seed"])
    for batch in _batches(_read(opened, folder), config["batch_size"]):
        given = torch.from_numpy(np.stack([picture for _, picture in batch])).to(opened.device)
        with torch.no_grad():
            made = shown(model.transform(given, generator=generator), model.spec)
        yield from zip([name for name, _ in batch], made, strict=True)


def _read(opened: Opened, path: Path) -> Iterator[tuple[str, Picture]]:
    """Yield each picture as the model takes it, with the name that it gets; what was cut or unreadable is told last."""
    from tqdm import tqdm

    from aigc_cli.abilities import AnySize
    from aigc_cli.data.decode import picture_size, read_picture, read_whole
    from aigc_cli.data.source import Rejected
    from aigc_cli.inference.inputs import refuse_none, tell_cut, tell_rejected
    from aigc_cli.pictures.files import as_png, find_pictures
    from aigc_cli.wording import shown

    data = opened.trained.get("data")
    model, fit = opened.model, data.get("fit", "crop") if isinstance(data, Mapping) else "crop"
    channels, height, width = model.source.shape
    rejected: list[str] = []
    used: set[str] = set()
    cut = 0
    files = find_pictures(str(path), "samples")
    for name, file in tqdm(files.items(), desc=model.verb, leave=False, disable=None, dynamic_ncols=True):
        try:
            if isinstance(model, AnySize):
                picture = read_whole(file, channels, MOST_PIXELS)
            else:
                picture = read_picture(file, channels, width, fit)
                cut += picture_size(file) != (width, height)
        except Rejected as reason:
            rejected.append(f"{shown(name)} ({reason})")
            continue
        yield as_png(name, used), picture
    tell_rejected(rejected)
    tell_cut(cut, opened.model.source, fit)
    refuse_none(used, path)


def _batches(pictures: Iterator[tuple[str, Picture]], size: int) -> Iterator[list[tuple[str, Picture]]]:
    """Gather neighbours of the same shape."""
    waiting: list[tuple[str, Picture]] = []
    for name, picture in pictures:
        if waiting and (waiting[0][1].shape != picture.shape or len(waiting) == size):
            yield waiting
            waiting = []
        waiting.append((name, picture))
    yield waiting


def _write(path: Path, picture: Picture) -> None:
    from aigc_cli.pictures.previews import grid, save_image

    save_image(grid(picture[None], scale=1), path)
