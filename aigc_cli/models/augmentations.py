"""Augment what the critic sees, real and generated alike, so that few data do not let it learn them by heart.

An augmentation is differentiable, for the generator learns through it, and random for each picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal, Protocol

import torch
from annotated_types import Gt, Le, Len
from torch import Tensor, nn
from torch.nn import functional as F

from aigc_cli.distributed import summed

MOST_OFTEN = 0.8  # above it augmentations leak into the samples: arXiv:2006.06676, Figure 4
MEMORY = 0.75  # of the moving average of the critic's signs: about four batches


class Augmentation(Protocol):
    """Change pictures (B, C, H, W) at random, all that belong together alike: each sample's changes are drawn once.

    One that adapts is shown the critic's logits of real ones.
    """

    adapts: bool

    def __call__(self, *pictures: Tensor) -> Sequence[Tensor]: ...

    def observe(self, real: Tensor) -> None: ...

    def adapt(self) -> None: ...


class NoAugmentation(nn.Module):
    """Show pictures as they are."""

    adapts = False

    def forward(self, *pictures: Tensor) -> Sequence[Tensor]:
        """Return the pictures."""
        return pictures

    def observe(self, real: Tensor) -> None:
        """Do nothing."""

    def adapt(self) -> None:
        """Do nothing."""


class DiffAugment(nn.Module):
    """Always change colours, move by up to an eighth and cut a square of half the side: arXiv:2006.10738, Section 4."""

    adapts = False

    def __init__(self, *, policy: Annotated[list[Literal["colour", "translation", "cutout"]], Len(1)]) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, *pictures: Tensor) -> Sequence[Tensor]:
        """Map pictures (B, C, H, W) to the same shapes."""
        changed: Sequence[Tensor] = pictures
        for name in self.policy:
            changed = STEPS[name](*changed)
        return changed

    def observe(self, real: Tensor) -> None:
        """Do nothing."""

    def adapt(self) -> None:
        """Do nothing."""


class AdaptiveAugmentation(nn.Module):
    """Change pictures the more often, the surer the critic is of real data: ADA, arXiv:2006.06676, Section 3.

    Departures: one bilinear resampling without the paper's wavelet filter; a moving average of the critic's signs in
    place of blocks of four batches; a ceiling of 0.8 for the probability.
    """

    adapts = True

    def __init__(
        self, *, target: Annotated[float, Gt(0), Le(1)], images: Annotated[int, Gt(0)], flips: bool, turns: bool
    ) -> None:
        super().__init__()
        self.target, self.images, self.flips, self.turns = target, images, flips, turns
        self.probability: Tensor
        self.sign: Tensor
        self.seen: Tensor
        self.register_buffer("probability", torch.zeros(()))
        self.register_buffer("sign", torch.zeros(()))  # mean sign of the critic's logits of real pictures
        self.register_buffer("seen", torch.zeros(()))  # pictures of an update
        self.observed: Tensor
        self.register_buffer("observed", torch.zeros(2), persistent=False)  # sum and count of an update's mean signs

    def forward(self, *pictures: Tensor) -> Sequence[Tensor]:
        """Map pictures (B, C, H, W) to the same shapes."""
        channels = [each.shape[1] for each in pictures]
        with torch.autocast(pictures[0].device.type, enabled=False):
            x = together(pictures).float()
            grid = F.affine_grid(self._geometry(x), list(x.shape), align_corners=False)
            x = F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
            return self._coloured(x.split(channels, 1))

    def advance(self) -> None:
        """Forget what the update before observed."""
        self.observed.zero_()
        self.seen.zero_()

    def observe(self, real: Tensor) -> None:
        """Take the critic's logits (B,) of real pictures into account; 0: it cannot tell."""
        mean = real.detach().float().sign().mean()
        self.observed.add_(torch.stack([mean, torch.ones_like(mean)]))
        self.seen.add_(len(real))

    def adapt(self) -> None:
        """Move the probability by 1 in `images` pictures of all micro-batches, upwards where the critic is too sure."""
        total, count, seen = summed(torch.cat([self.observed, self.seen[None]]))
        self.sign.lerp_(total / count, 1 - MEMORY)
        step = (self.sign - self.target).sign() * seen / self.images
        self.probability.add_(step).clamp_(0, MOST_OFTEN)

    def _often(self, x: Tensor) -> Tensor:
        """Return 1 for the pictures that a change befalls, else 0: (B,)."""
        return (torch.rand(len(x), device=x.device) < self.probability).float()

    def _geometry(self, x: Tensor) -> Tensor:
        """Return affine maps (B, 2, 3) of normalised coordinates, from the result's to the picture's."""
        height, width = x.shape[2:]
        count, device = len(x), x.device
        rows, columns = torch.zeros(count, 2, device=device), torch.zeros(count, 2, device=device)
        rows[:, 0] = columns[:, 1] = 1.0
        map_ = torch.stack([rows, columns], 1)
        if self.flips:
            side = 1 - 2 * self._often(x) * torch.randint(2, (count,), device=device)
            map_ = torch.stack([map_[:, 0] * side[:, None], map_[:, 1]], 1)
        if self.turns and height == width:
            quarter = self._often(x) * torch.randint(4, (count,), device=device)
            map_ = turned(map_, quarter * (math.pi / 2), 1.0)
        scale = torch.exp2(0.2 * torch.randn(count, device=device) * self._often(x))
        stretch = torch.exp2(0.2 * torch.randn(count, device=device) * self._often(x))
        sizes = torch.stack([scale * stretch, scale / stretch], 1)
        angle = (2 * torch.rand(count, device=device) - 1) * math.pi * self._often(x)
        map_ = turned(map_ / sizes[:, :, None], angle if self.turns else angle / 12, height / width)
        shift = 0.25 * (2 * torch.rand(count, 2, device=device) - 1) * self._often(x)[:, None]  # an eighth of the side
        return torch.cat([map_, shift[:, :, None]], 2)

    def _coloured(self, pictures: Sequence[Tensor]) -> Sequence[Tensor]:
        """Change brightness, contrast and, of coloured pictures, saturation."""
        first = pictures[0]
        count, device = len(first), first.device
        brightness = (0.2 * torch.randn(count, device=device) * self._often(first))[:, None, None, None]
        contrast = torch.exp2(0.5 * torch.randn(count, device=device) * self._often(first))[:, None, None, None]
        pictures = [(each + brightness) * contrast for each in pictures]
        if all(each.shape[1] == 1 for each in pictures):
            return pictures
        saturation = torch.exp2(torch.randn(count, device=device) * self._often(first))[:, None, None, None]
        return [torch.lerp(each.mean(1, keepdim=True), each, saturation) for each in pictures]


def turned(maps: Tensor, angle: Tensor, ratio: float) -> Tensor:
    """Return linear maps (B, 2, 2) followed by a turn; ratio: height / width of the pictures."""
    cosine, sine = angle.cos(), angle.sin()
    rows = torch.stack([cosine, -sine * ratio], 1), torch.stack([sine / ratio, cosine], 1)
    return torch.stack(rows, 1) @ maps


def colour(*pictures: Tensor) -> Sequence[Tensor]:
    """Change brightness by up to a quarter of the range, saturation by up to twice, contrast by up to half."""
    first = pictures[0]
    draw = torch.rand(3, len(first), 1, 1, 1, device=first.device, dtype=first.dtype)

    def changed(x: Tensor) -> Tensor:
        x = x + (draw[0] - 0.5)
        mean = x.mean(1, keepdim=True)
        x = (x - mean) * (2 * draw[1]) + mean
        mean = x.mean([1, 2, 3], keepdim=True)
        return (x - mean) * (draw[2] + 0.5) + mean

    return [changed(each) for each in pictures]


def translation(*pictures: Tensor) -> Sequence[Tensor]:
    """Move by up to an eighth of the side, filling with the middle of the range: the paper's zero."""
    channels = [each.shape[1] for each in pictures]
    x = together(pictures)
    count, _, height, width = x.shape
    most = [max(1, round(side / 8)) for side in (height, width)]
    padded = F.pad(x, (most[1], most[1], most[0], most[0]))
    down, right = (torch.randint(2 * m + 1, (count, 1, 1), device=x.device) for m in most)
    rows = torch.arange(height, device=x.device)[None, :, None] + down
    columns = torch.arange(width, device=x.device)[None, None, :] + right
    batch = torch.arange(count, device=x.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[batch, rows, columns].permute(0, 3, 1, 2).split(channels, 1)


def cutout(*pictures: Tensor) -> Sequence[Tensor]:
    """Blank a rectangle of half the sides anywhere, over the edge as well."""
    x = pictures[0]
    count, _, height, width = x.shape
    keep = []
    for side in (height, width):
        centre = torch.randint(side + 1, (count, 1), device=x.device)
        place = torch.arange(side, device=x.device)[None]
        keep.append((place < centre - side // 4) | (place >= centre - side // 4 + side // 2))
    mask = keep[0][:, :, None] | keep[1][:, None, :]
    return [each * mask[:, None] for each in pictures]


def together(pictures: Sequence[Tensor]) -> Tensor:
    """Stack the channels of pictures of one size."""
    return pictures[0] if len(pictures) == 1 else torch.cat(list(pictures), 1)


STEPS = {"colour": colour, "translation": translation, "cutout": cutout}
