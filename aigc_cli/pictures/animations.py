"""Write pictures that move."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from aigc_cli.pictures.previews import FORMATS, save

FRAME_MS = 50
SAMPLED_FRAMES = 16  # a GIF has one palette for all frames, made from this many of them


def save_animation(frames: Sequence[Image.Image], path: Path, *, metadata: Mapping[str, str] | None = None) -> None:
    """Write a WebP or GIF that plays the frames there and back, for ever, without a jump."""
    format = FORMATS[Path(path).suffix[1:].lower()]
    pictures = list(frames) + list(frames[-2:0:-1])
    options: dict[str, Any] = {"save_all": True, "duration": FRAME_MS, "loop": 0}
    if format == "GIF":
        pictures = _one_palette(pictures)
    else:
        options |= {"quality": 80, "minimize_size": False, "allow_mixed": True}
    save(pictures[0], Path(path), format, metadata or {}, {**options, "append_images": pictures[1:]})


def _one_palette(frames: list[Image.Image]) -> list[Image.Image]:
    """Give all frames the same colours: a palette for each would flicker and take more room."""
    if frames[0].mode == "L":
        return frames
    some = frames[:: math.ceil(len(frames) / SAMPLED_FRAMES)]
    montage = Image.fromarray(np.concatenate([np.asarray(frame) for frame in some]))
    palette = montage.quantize(256, method=Image.Quantize.MEDIANCUT)
    return [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
