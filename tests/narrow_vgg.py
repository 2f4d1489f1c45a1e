"""Random weights of VGG-19's shape with few channels, and a style picture, for the tests of style transfer."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from aigc_cli.perception.vgg import KEYS

WIDTHS = (4, 4, 6, 6, 8)  # of the five blocks


def narrow_weights(widths: tuple[int, ...] = WIDTHS) -> dict[str, torch.Tensor]:
    """Return weights by torchvision's names that keep the features' size from layer to layer (He et al. 2015)."""
    generator = torch.Generator().manual_seed(0)
    weights, entering = {}, 3
    for name, key in KEYS.items():
        leaving = widths[int(name[4]) - 1]
        drawn = torch.randn(leaving, entering, 3, 3, generator=generator)
        weights[f"{key}.weight"] = drawn * (2 / (9 * entering)) ** 0.5
        weights[f"{key}.bias"] = torch.zeros(leaving)
        entering = leaving
    return weights


def stripes(side: int = 48) -> Image.Image:
    """Return a picture of red and blue stripes."""
    bands = (np.arange(side) // 4 % 2 * 255).astype(np.uint8)
    red = np.broadcast_to(bands, (side, side))
    return Image.fromarray(np.stack([red, np.zeros_like(red), 255 - red], axis=-1))


@functools.cache
def style_files() -> tuple[Path, Path]:
    """Return the paths of a style picture and of weights, written once."""
    folder = Path(tempfile.mkdtemp(prefix="aigc-style-"))
    stripes().save(folder / "stripes.png")
    with torch.device("cpu"):  # wherever the test that asks first has its tensors
        torch.save(narrow_weights(), folder / "vgg.pth")
    return folder / "stripes.png", folder / "vgg.pth"
