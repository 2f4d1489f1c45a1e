"""Change training samples at random: stored integers in, stored integers out, on the device, each sample its own way.

What happens to a sample is a function of the seed, the epoch, the sample's index and the augmentation, and of nothing
that was drawn before: a resumed run goes on exactly as it would have.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from aigc_cli.interfaces import DataSpec
from aigc_cli.randomness import mix

# (stored (B, C, H, W), keys (B,) from sample_keys, spec) -> stored, of the same shape
Augment: TypeAlias = Callable[[Tensor, Tensor, DataSpec], Tensor]

LARGEST_SHIFT = 1 / 8  # of a side
JITTER = 286 / 256  # of the size
LARGEST_ANGLE = 10.0  # degrees
LARGEST_SCALING = 0.1  # 0.9 to 1.1 of the size
LARGEST_COLOURING = 0.2  # 0.8 to 1.2 of brightness, contrast, saturation
RED, GREEN, BLUE = 0.299, 0.587, 0.114  # luma, ITU-R BT.601
GOLDEN = 0x9E3779B97F4A7C15 - 2**64  # SplitMix64's increment and factors, as signed integers
FACTORS = (0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64)


def flip(x: Tensor, keys: Tensor, spec: DataSpec) -> Tensor:
    """Mirror left and right, half of the samples."""
    return torch.where(_per_sample(uniform(keys, 0) < 0.5), x.flip(-1), x)


def crop(x: Tensor, keys: Tensor, spec: DataSpec) -> Tensor:
    """Shift by whole pixels, up to an eighth of each side; the gap shows a reflection."""
    for dimension in (2, 3):
        side = x.shape[dimension]
        most = max(1, int(side * LARGEST_SHIFT)) if side > 1 else 0
        shift = (uniform(keys, dimension) * (2 * most + 1)).long() - most
        place = (torch.arange(side, device=x.device) + shift[:, None]).abs()
        place = (side - 1) - ((side - 1) - place).abs()
        shape = [len(x), 1, 1, 1]
        shape[dimension] = side
        x = x.gather(dimension, place.view(shape).expand_as(x))
    return x


def jitter(x: Tensor, keys: Tensor, spec: DataSpec) -> Tensor:
    """Enlarge by 286 / 256 and cut a window of the old size out, anywhere: arXiv:1611.07004, Section 6.2."""
    shrink = 1 / JITTER
    place = torch.stack([around_zero(keys, 0), around_zero(keys, 1)], dim=1) * (1 - shrink)
    zoom = (shrink * torch.eye(2, device=x.device)).expand(len(x), 2, 2)
    return _resampled(x, zoom, place)


def rotate(x: Tensor, keys: Tensor, spec: DataSpec) -> Tensor:
    """Turn by up to ten degrees."""
    angle = torch.deg2rad(around_zero(keys, 0) * LARGEST_ANGLE)
    cosine, sine = angle.cos(), angle.sin()
    # Coordinates run from -1 to 1 along each side: in other pictures than squares a turn must allow for it.
    aspect = x.shape[2] / x.shape[3]
    return _resampled(x, torch.stack([cosine, -sine * aspect, sine / aspect, cosine], dim=1).view(-1, 2, 2))


def scale(x: Tensor, keys: Tensor, spec: DataSpec) -> Tensor:
    """Shrink or enlarge by up to a tenth."""
    factor = 1 + around_zero(keys, 0) * LARGEST_SCALING
    return _resampled(x, torch.eye(2, device=x.device) / factor[:, None, None])


def colour(x: Tensor, keys: Tensor, spec: DataSpec) -> Tensor:
    """Change brightness, contrast and, where there are colours, saturation by up to a fifth."""
    brightness, contrast, saturation = (
        _per_sample(1 + around_zero(keys, draw) * LARGEST_COLOURING) for draw in range(3)
    )
    values = x.float() * brightness
    mean = values.mean(dim=(1, 2, 3), keepdim=True)
    values = mean + (values - mean) * contrast
    if x.shape[1] == 3:
        # Filled, because a copy from the host would make the GPU wait.
        weights = torch.stack([values.new_full((1, 1), part) for part in (RED, GREEN, BLUE)])[None]
        grey = (values * weights).sum(dim=1, keepdim=True)
        values = grey + (values - grey) * saturation
    return values.round().clamp(0, spec.levels - 1).to(x.dtype)


def sample_keys(seed: int, epoch: int, index: Tensor, name: str) -> Tensor:
    """Hash (seed, epoch, sample index, augmentation) into one integer for each sample."""
    base = mix(seed, epoch, zlib.crc32(name.encode()))
    return _hashed(_hashed(index + GOLDEN) ^ base)


def uniform(keys: Tensor, draw: int) -> Tensor:
    """Return a number in [0, 1) for each key; another draw gives others."""
    return (_shifted(_hashed(keys + (draw * GOLDEN) % 2**63), 40)).float() / 2**24


def around_zero(keys: Tensor, draw: int) -> Tensor:
    """Return a number in [-1, 1) for each key; another draw gives others."""
    return 2 * uniform(keys, draw) - 1


def _hashed(state: Tensor) -> Tensor:
    """Mix the bits of 64-bit integers (SplitMix64's finaliser; products wrap around)."""
    state = (state ^ _shifted(state, 30)) * FACTORS[0]
    state = (state ^ _shifted(state, 27)) * FACTORS[1]
    return state ^ _shifted(state, 31)


def _shifted(state: Tensor, bits: int) -> Tensor:
    return (state >> bits) & ((1 << (64 - bits)) - 1)  # torch's shift would copy the sign down


def _per_sample(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _resampled(x: Tensor, matrix: Tensor, shift: Tensor | None = None) -> Tensor:
    """Move pixels by 2x2 matrices (B, 2, 2), about the middle, then by shifts (B, 2) in halves of a side."""
    theta = F.pad(matrix, (0, 1)) if shift is None else torch.cat([matrix, shift[:, :, None]], dim=2)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    moved = F.grid_sample(x.float(), grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return moved.round().to(x.dtype)
