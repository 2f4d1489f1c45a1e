"""Compare what a model makes of held-out data with what it should be: reconstructions, denoised, enlarged pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from aigc_cli.abilities import Reconstructs, Transforms
from aigc_cli.interfaces import Model
from aigc_cli.metrics.fidelity import psnr, ssim
from aigc_cli.pictures.rows import told
from aigc_cli.randomness import mix

Parts = Iterator[tuple[Tensor, Tensor | None]]


def restores(model: Model | None) -> bool:
    """Tell whether there is something to compare."""
    return isinstance(model, Transforms | Reconstructs)


def restoration(model: Any, parts: Parts, seed: int) -> dict[str, float]:
    """Return mean fidelities over chunks of held-out data and labels, on the device.

    Where the model transforms, what it was given is measured as well: enlarged to size by bicubic interpolation.
    """
    found: dict[str, list[Tensor]] = {}
    levels = model.spec.levels
    for number, (x, labels) in enumerate(parts):
        condition = told(model, labels)
        generator = torch.Generator(x.device).manual_seed(mix(seed, number))
        with torch.no_grad():
            if isinstance(model, Transforms):
                given = model.given(x, condition, generator=generator)
                made = model.transform(given, generator=generator)
                if given.shape[1] == x.shape[1]:  # a drawing to be coloured compares with no photograph
                    given = as_large(given, x)
                    found.setdefault("given_psnr", []).append(psnr(given, x, levels))
                    found.setdefault("given_ssim", []).append(ssim(given, x, levels))
            else:
                made = model.reconstruct(x, condition)
        found.setdefault("psnr", []).append(psnr(made, x, levels))
        found.setdefault("ssim", []).append(ssim(made, x, levels))
    return {
        name: float(torch.cat(values).cpu().double().mean()) for name, values in sorted(found.items(), reverse=True)
    }


def as_large(given: Tensor, like: Tensor) -> Tensor:
    """Return stored pictures enlarged to the sides of others."""
    if given.shape[2:] == like.shape[2:]:
        return given
    enlarged = F.interpolate(given.float(), like.shape[2:], mode="bicubic")
    return enlarged.round().clamp(0, 255 if like.dtype == torch.uint8 else None).to(like.dtype)
