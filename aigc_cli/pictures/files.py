"""Read pictures that the user names, one or a folder of them, and name what is made of them. No torch at import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from aigc_cli.data.decode import SUFFIXES, opened, upright
from aigc_cli.data.folders import existing_folder, list_files
from aigc_cli.data.source import Rejected
from aigc_cli.errors import ConfigError
from aigc_cli.pictures.previews import FORMATS
from aigc_cli.wording import suggestion

if TYPE_CHECKING:
    from torch import Tensor

MADE = tuple(suffix for suffix in FORMATS if suffix != "gif")  # endings of still pictures that can be written


def find_pictures(path: str, key: str) -> dict[str, Path]:
    """Return {name: file} of a picture, or of all pictures of a folder, with slashes where they lie deeper.

    key: the setting that names them, for errors.
    """
    place = Path(path).expanduser()
    if place.is_file():
        return {place.name: place}
    if not place.exists() and place.suffix:
        near = [each.name for each in place.parent.iterdir()] if place.parent.is_dir() else []
        raise ConfigError(f"{key}: no picture or folder '{path}'.{suggestion(place.name, near)}")
    folder = existing_folder(path, key)
    files = {name: folder / name for name, _, _ in list_files(folder, key) if name.lower().endswith(SUFFIXES)}
    if not files:
        raise ConfigError(f"{key}: no pictures in '{path}'. Allowed: {', '.join(SUFFIXES)}.")
    return files


def open_picture(
    path: str | Path, key: str, *, longest: int | None = None, shortest: int = 1, channels: Literal[1, 3] = 3
) -> Image.Image:
    """Return a picture in 8 bits, upright, made smaller or larger until its longer side is `longest`.

    Raises ConfigError where it cannot be read or where, of that size, its shorter side is below `shortest`.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        near = [each.name for each in file.parent.iterdir()] if file.parent.is_dir() else []
        raise ConfigError(f"{key}: no picture '{path}'.{suggestion(file.name, near)}")
    try:
        with opened(file) as picture:
            whole = upright(picture, channels).copy()  # the file is closed behind us
    except Rejected as reason:
        raise ConfigError(f"{key}: '{path}' cannot be read ({reason}). Choose another picture.") from None
    width, height = scaled_to(whole.size, longest)
    if min(width, height) < shortest:
        raise ConfigError(f"{key}: '{path}' is {width}x{height}, allowed: {shortest} pixels a side and more. "
                          "Choose a larger one, or type a larger size.")  # fmt: skip
    return whole if (width, height) == whole.size else whole.resize((width, height), Image.Resampling.LANCZOS)


def scaled_to(size: tuple[int, int], longest: int | None) -> tuple[int, int]:
    """Return the width and height of the same proportions whose longer one is as asked."""
    if longest is None:
        return size
    scale = longest / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def as_stored(picture: Image.Image) -> Tensor:
    """Return stored integers (1, C, H, W)."""
    import torch

    array = np.array(picture)  # a copy: torch warns of arrays that cannot be written
    return torch.from_numpy(array[None] if array.ndim == 2 else array.transpose(2, 0, 1))[None].contiguous()


def as_signal(picture: Image.Image) -> Tensor:
    """Return floats in [-1, 1]: (1, C, H, W)."""
    return as_stored(picture).float() / 127.5 - 1


def as_picture(stored: np.ndarray) -> Image.Image:
    """Return a picture of stored integers (C, H, W)."""
    return Image.fromarray(stored[0] if len(stored) == 1 else stored.transpose(1, 2, 0))


def made_name(name: str) -> str:
    """Return the name that a picture made of another gets: the same, or .png where the format cannot be written."""
    suffix = Path(name).suffix
    return name if suffix[1:].lower() in MADE else name.removesuffix(suffix) + ".png"


def as_png(name: str, used: set[str]) -> str:
    """Return the name that a picture of a folder gets: .png, behind its old suffix where another has taken the name."""
    made = str(Path(name).with_suffix(".png"))
    made = f"{name}.png" if made in used else made
    used.add(made)
    return made
