"""Change training clips at random: stored integers in, stored integers out, on the device, each clip its own way."""

from __future__ import annotations

import torch
from torch import Tensor

from aigc_cli.data.augment import around_zero, uniform
from aigc_cli.interfaces import DataSpec
from aigc_cli.sounds.waveforms import as_stored, as_waves

LARGEST_GAIN = 6.0  # decibels, up or down
LARGEST_SHIFT = 1 / 10  # of the clip
NOISE = (-70.0, -40.0)  # decibels, of a full scale


def gain(x: Tensor, keys: Tensor, spec: DataSpec) -> Tensor:
    """Make louder or quieter by up to 6 dB; what would be too loud is cut off."""
    factor = 10 ** (around_zero(keys, 0) * LARGEST_GAIN / 20)
    return as_stored(as_waves(x, spec) * factor[:, None, None], spec)


def shift(x: Tensor, keys: Tensor, spec: DataSpec) -> Tensor:
    """Move by up to a tenth of the clip, earlier or later, with silence where nothing was."""
    length = x.shape[2]
    moved = (around_zero(keys, 0) * LARGEST_SHIFT * length).round().long()
    place = torch.arange(length, device=x.device) - moved[:, None]
    inside = ((place >= 0) & (place < length))[:, None]
    silence = as_stored(torch.zeros((), device=x.device), spec)
    return torch.where(inside, x.gather(2, place.clamp(0, length - 1)[:, None].expand_as(x)), silence)


def noise(x: Tensor, keys: Tensor, spec: DataSpec) -> Tensor:
    """Add white noise, 70 to 40 dB below full scale."""
    low, high = NOISE
    level = 10 ** ((low + (high - low) * uniform(keys, 0)) / 20)
    draws = torch.arange(x[0].numel(), device=x.device)
    white = around_zero(keys[:, None] + draws, 1).view(x.shape)
    return as_stored(as_waves(x, spec) + white * level[:, None, None], spec)


def polarity(x: Tensor, keys: Tensor, spec: DataSpec) -> Tensor:
    """Turn upside down, half of the clips: it sounds the same."""
    turned = (spec.lowest * 2 + spec.levels - 1) - x.int()
    return torch.where((uniform(keys, 0) < 0.5)[:, None, None], turned.to(x.dtype), x)
