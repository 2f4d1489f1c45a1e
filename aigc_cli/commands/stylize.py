"""Paint pictures in the style of another: `aigc stylize content=photo.jpg style=painting.jpg`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from annotated_types import Ge, Le

from aigc_cli.errors import ConfigError

if TYPE_CHECKING:
    from PIL.Image import Image

    from aigc_cli.composing.compose import Composed

SMALLEST = 32  # pixels a side
DEFAULT_SIZE = 512  # pixels of the longer side, where pixels are optimised: larger ones take their time and memory
FOLDER = "outputs/stylized"
OF_PAINTING = ("weights", "steps", "style_weight", "content_weight", "smoothness", "start", "seed")  # not of a model

Paint: TypeAlias = Callable[["Image", str], "Image"]  # a picture and its name -> the painted one, of the same size
Weight: TypeAlias = Annotated[float, Ge(0), Le(1e12)]


def stylize(
    run: Composed,
    *,
    content: str | None,
    style: str | None,
    ckpt: str | None,
    weights: str | None,
    size: Annotated[int, Ge(SMALLEST), Le(8192)] | None,
    steps: Annotated[int, Ge(1), Le(100_000)],
    style_weight: Weight,
    content_weight: Weight,
    smoothness: Weight,
    start: Literal["content", "noise"],
    seed: Annotated[int, Ge(0), Le(2**63 - 1)],
    preserve_colour: bool,
    output: str | None,
    device: str,
) -> None:
    """Write a picture for each of `content` and say where they lie."""
    config = run.config
    _refuse_contradictions(config, run.defaults)
    from aigc_cli.inference.opening import probe, writing_at
    from aigc_cli.inference.placing import put_in_place
    from aigc_cli.pictures.files import find_pictures

    began = time.perf_counter()
    pictures = find_pictures(str(content), "content")
    single = Path(str(content)).expanduser().is_file()
    painter, label = _of_style(config) if style is not None else _of_checkpoint(config)
    target = _target(config, label, single)
    probe(target.parent)
    with writing_at(target), put_in_place(target) as place:
        count = _write_all(config, pictures, painter, place.aside, single)
    made = f"{count} pictures" if count > 1 else "1 picture"
    print(f"{made} in the style of {label}, {time.perf_counter() - began:.1f} s: {place.path}")


def _refuse_contradictions(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Raise ConfigError with every mistake that shows without opening anything."""
    mistakes = []
    typed = [key for key in OF_PAINTING if config[key] != defaults[key]]
    if config["content"] is None:
        mistakes.append("content: not set. It is the picture to paint, or a folder of them. Type content=photo.jpg.")
    if (config["style"] is None) is (config["ckpt"] is None):
        both = "exclude each other" if config["style"] else "are both not set"
        mistakes.append(f"style, ckpt: they {both}. Type style=painting.jpg, or ckpt= and a run of model=fast_style.")
    elif config["ckpt"] is not None:
        mistakes += [f"{key}: of no use with ckpt, which has learnt its style. Leave {key} out." for key in typed]
    elif "seed" in typed and config["start"] == "content":
        mistakes.append("seed: of no use where painting starts from the content. Type start=noise, or leave seed out.")
    if not config["style_weight"] and not config["content_weight"]:
        mistakes.append(
            "style_weight, content_weight: both are 0, which leaves nothing to paint. Type style_weight=100."
        )
    if mistakes:
        raise ConfigError("\n".join(mistakes))


def _of_style(config: Mapping[str, Any]) -> tuple[Paint, str]:
    """Return what paints by changing pixels, and the style's name."""
    from aigc_cli.devices import choose, explaining_memory
    from aigc_cli.perception.style import StyleLoss
    from aigc_cli.perception.vgg import read_weights
    from aigc_cli.pictures.files import as_picture, as_signal, open_picture
    from aigc_cli.pictures.neural_style import CONTENT_LAYERS, STYLE_LAYERS, paint

    device = choose(config["device"], "fp32").torch
    longest = config["size"] or DEFAULT_SIZE
    style = open_picture(config["style"], "style", longest=longest, shortest=SMALLEST)
    weights, _ = read_weights(config["weights"], "weights")
    judge = StyleLoss(weights, as_signal(style).to(device), STYLE_LAYERS, CONTENT_LAYERS, "average")
    settings = {key: value for key, value in config.items() if key in OF_PAINTING and key != "weights"}

    def painter(picture: Image, name: str) -> Image:
        with explaining_memory(device, 1):
            painting = paint(as_signal(picture).to(device), judge, name=name, **settings)
        styles, contents = (f"{first:.3g} -> {last:.3g}" for first, last in (painting.style, painting.content))
        print(f"{name}: error of style {styles}, of content {contents}", flush=True)
        return as_picture(painting.signal[0].add(1).mul(127.5).round().byte().cpu().numpy())

    return painter, Path(config["style"]).stem


def _of_checkpoint(config: Mapping[str, Any]) -> tuple[Paint, str]:
    """Return what paints by a trained network, and the run's name."""
    import torch

    from aigc_cli.devices import explaining_memory
    from aigc_cli.inference.opening import open_model
    from aigc_cli.pictures.files import as_picture, as_stored

    opened = open_model(config, "Transforms", "has learnt no style (aigc train model=fast_style does)")
    model, device = opened.model, opened.device
    if model.verb != "stylize":
        raise ConfigError(f"ckpt: model '{opened.name}' does not stylize. Type aigc {model.verb} instead.")
    mode = "L" if model.source.shape[0] == 1 else "RGB"

    def painter(picture: Image, name: str) -> Image:
        with explaining_memory(device, 1):
            stored = as_stored(picture.convert(mode)).to(device)
            painted = model.transform(stored, generator=torch.Generator(device).manual_seed(0))
        return as_picture(painted[0].cpu().numpy())

    path = opened.checkpoint.path.resolve()
    return painter, path.parents[1].name if path.parent.name == "checkpoints" else path.stem


def _target(config: Mapping[str, Any], label: str, single: bool) -> Path:
    """Return the file or folder to write."""
    from aigc_cli.pictures.files import MADE, made_name

    content, output = Path(config["content"]).expanduser(), config["output"]
    ending = Path(output or "").suffix[1:].lower()
    if output is None:
        name = Path(made_name(content.name)) if single else content.resolve()
        return Path(FOLDER) / f"{name.stem}-{label}{name.suffix if single else ''}"
    path = Path(output).expanduser()
    if not single and (ending in MADE or path.is_file()):
        raise ConfigError(f"output: given {output}, but content is a folder, of which a folder is made. Type output= "
                          "and a folder.")  # fmt: skip
    if single and ending and not path.is_dir() and ending not in MADE:
        raise ConfigError(f"output: given {output}, allowed: a folder or a name that ends in .{', .'.join(MADE)}.")
    return path if not single or (ending and not path.is_dir()) else path / made_name(content.name)


def _write_all(
    config: Mapping[str, Any], pictures: Mapping[str, Path], painter: Paint, aside: Path, single: bool
) -> int:
    """Paint every picture; in a folder those that cannot be read are told and passed over. Return how many."""
    from aigc_cli.pictures.files import as_png, open_picture
    from aigc_cli.pictures.neural_style import with_colours_of
    from aigc_cli.pictures.previews import save_image

    longest = config["size"] or (DEFAULT_SIZE if config["style"] is not None else None)
    bad: list[ConfigError] = []
    used: set[str] = set()
    for name, file in pictures.items():
        try:
            picture = open_picture(file, "content", longest=longest, shortest=SMALLEST)
        except ConfigError as error:
            if single:
                raise
            print(f"aigc: {error}", file=sys.stderr)
            bad.append(error)
            continue
        painted = painter(picture, name)
        painted = with_colours_of(picture, painted) if config["preserve_colour"] else painted
        save_image(painted, aside if single else aside / as_png(name, used))
    if len(bad) == len(pictures):
        raise ConfigError(f"content: none of the {len(bad)} pictures of '{config['content']}' can be used.")
    return len(pictures) - len(bad)
