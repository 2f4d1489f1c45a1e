"""Walk between latents."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from aigc_cli.randomness import mix

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from aigc_cli.abilities import Renders

FRAMES_A_LEG = 15  # moments from one random latent to the next: of pictures, less than a second


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
    model: Renders, n: int, condition: Tensor | None, *, frames: int, seed: int, device: torch.device,
    latents: Sequence[Tensor] = (), **settings: Any,
) -> Iterator[Tensor]:  # fmt: skip
    """Yield the moments of n walks, (n, *shape) each, on the CPU; they slow down at each latent: turning is smooth.

    latents: (n, ...) each, to pass by, two or more; none: as many as the frames allow are drawn.
    """
    import torch

    legs = len(latents) - 1 if latents else max(1, round((frames - 1) / FRAMES_A_LEG))
    latents = latents or [
        model.latent(n, generator=torch.Generator(device).manual_seed(mix(seed, i))) for i in range(legs + 1)
    ]
    for frame in range(frames):
        position = legs * frame / max(1, frames - 1)
        leg = min(int(position), legs - 1)
        eased = (1 - math.cos(math.pi * (position - leg))) / 2
        # The same generator at every moment: whatever else a model draws stays still while its latent moves.
        generator = torch.Generator(device).manual_seed(mix(seed, legs + 1))
        with torch.no_grad():
            latent = slerp(latents[leg], latents[leg + 1], eased)
            yield model.render(latent, condition, generator=generator, **settings).cpu()
