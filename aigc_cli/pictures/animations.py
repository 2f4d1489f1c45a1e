"""Walk between latents and write pictures that move."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from aigc_cli.pictures.previews import FORMATS, save
from aigc_cli.randomness import mix

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from aigc_cli.abilities import Renders

FRAME_MS = 50
FRAMES_A_LEG = 15  # pictures from one random latent to the next: less than a second
SAMPLED_FRAMES = 16  # a GIF has one palette for all frames, made from this many of them


def slerp(start: Tensor, end: Tensor, share: float) -> Tensor:
    """Turn latents (N, ...) on the great circle: a straight line leaves the typical norm (arXiv:1609.04468)."""
    import torch

    a, b = start.flatten(1), end.flatten(1)
    norm_a, norm_b = a.norm(dim=1, keepdim=True), b.norm(dim=1, keepdim=True)
    a, b = a / norm_a, b / norm_b
    angle = torch.acos((a * b).sum(1, keepdim=True).clamp(-1, 1))
    turned = (torch.sin((1 - share) * angle) * a + torch.sin(share * angle) * b) / torch.sin(angle)
    straight = torch.lerp(a, b, share)  # where there is no angle to divide by
    direction = torch.where(torch.sin(angle) < 1e-4, straight, turned)
    return (torch.lerp(norm_a, norm_b, share) * direction).view_as(start)


def walk(
    model: Renders, n: int, condition: Tensor | None, *, frames: int, seed: int, device: torch.device, **settings: Any
) -> Iterator[Tensor]:
    """Yield the moments of n walks, (n, *shape) each, on the CPU; they slow down at each latent: turning is smooth."""
    import torch

    legs = max(1, round((frames - 1) / FRAMES_A_LEG))
    latents = [model.latent(n, generator=torch.Generator(device).manual_seed(mix(seed, i))) for i in range(legs + 1)]
    for frame in range(frames):
        position = legs * frame / max(1, frames - 1)
        leg = min(int(position), legs - 1)
        eased = (1 - math.cos(math.pi * (position - leg))) / 2
        # The same generator at every moment: whatever else a model draws stays still while its latent moves.
        generator = torch.Generator(device).manual_seed(mix(seed, legs + 1))
        with torch.no_grad():
            latent = slerp(latents[leg], latents[leg + 1], eased)
            yield model.render(latent, condition, generator=generator, **settings).cpu()


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
