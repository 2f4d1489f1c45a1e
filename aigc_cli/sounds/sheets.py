"""Draw sounds: the wave above its spectrogram, as pictures that a grid can hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from aigc_cli.interfaces import DataSpec
from aigc_cli.sounds.spectrogram import log_mel
from aigc_cli.sounds.waveforms import waves

WIDTH, WAVE, SPECTROGRAM, GAP = 160, 32, 64, 2  # pixels
CAPTION, MARGIN = 16, 4
INK, PAPER, WORDS = (94, 201, 160), (16, 16, 20), (235, 235, 240)
# From silence to full scale, evenly spaced: dark blue, purple, red, orange, pale yellow.
COLOURS = np.array([(2, 2, 12), (60, 15, 110), (150, 40, 110), (225, 80, 60), (250, 165, 30), (252, 250, 190)], float)


def tiles(stored: Tensor, spec: DataSpec, names: Sequence[str] | None = None) -> NDArray[np.uint8]:
    """Return pictures of stored sounds: (N, 3, 98, 160), or 16 higher with names above them."""
    assert spec.sound, "only sounds are drawn"
    return drawn_waves(waves(stored, spec), spec.sound.sample_rate, names)


def drawn_waves(heard: Tensor, sample_rate: int, names: Sequence[str] | None = None) -> NDArray[np.uint8]:
    """Return pictures of waves (N, channels, T): (N, 3, 98, 160), or 16 higher with names above them.

    Channels are drawn as one, their mean.
    """
    mono = heard.mean(1)
    heat = log_mel(mono, sample_rate).flip(1)  # the lowest band at the bottom
    heat = F.interpolate(heat[:, None], (SPECTROGRAM, WIDTH), mode="bilinear", align_corners=False)[:, 0]
    parts = [_outlines(mono), np.zeros((len(mono), GAP, WIDTH, 3)), coloured(heat.numpy())]
    drawn = np.concatenate(parts if names is None else [_captions(names), *parts], axis=1)
    return np.ascontiguousarray(drawn.astype(np.uint8).transpose(0, 3, 1, 2))


def coloured(heat: NDArray[np.float32]) -> NDArray[np.float64]:
    """Map values in [-1, 1] of any shape to colours (..., 3), 0 to 255."""
    place = (np.clip(heat, -1, 1) + 1) / 2 * (len(COLOURS) - 1)
    below = np.minimum(place.astype(int), len(COLOURS) - 2)
    share = (place - below)[..., None]
    return COLOURS[below] * (1 - share) + COLOURS[below + 1] * share


def _captions(names: Sequence[str]) -> NDArray[np.uint8]:
    """Write names, cut where they are too long: (N, 16, 160, 3)."""
    font = ImageFont.load_default(12)
    drawn = {}
    for name in set(names):
        strip = Image.new("RGB", (WIDTH, CAPTION), PAPER)
        ImageDraw.Draw(strip).text((MARGIN, CAPTION // 2), _fitting(name, font), WORDS, font, anchor="lm")
        drawn[name] = np.asarray(strip)
    return np.stack([drawn[name] for name in names])


def _fitting(name: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Return a name on one line, or as much of its beginning as a caption holds."""
    name = " ".join(name.split())
    kept = name
    while kept and font.getlength(kept if kept == name else f"{kept}...") > WIDTH - 2 * MARGIN:
        kept = kept[:-1]
    return kept if kept == name else f"{kept.rstrip()}..."


def _outlines(mono: Tensor) -> NDArray[np.float64]:
    """Draw from the lowest to the highest value of each column of time: (N, 32, 160, 3)."""
    longer = F.interpolate(mono[:, None], -(-mono.shape[1] // WIDTH) * WIDTH, mode="nearest")[:, 0]
    columns = longer.unflatten(1, (WIDTH, -1))
    middle = (WAVE - 1) / 2
    top = (middle * (1 - columns.amax(2))).round().numpy()[:, None]
    bottom = (middle * (1 - columns.amin(2))).round().numpy()[:, None]
    rows = np.arange(WAVE)[None, :, None]
    inked = (rows >= top) & (rows <= bottom)
    return np.where(inked[..., None], np.array(INK, float), np.array(PAPER, float))
