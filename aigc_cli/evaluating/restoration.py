"""Compare what a model makes of held-out data with what it should be: reconstructions, denoised, enlarged pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from aigc_cli.abilities import Reconstructs, Transforms
from aigc_cli.inference.drawing import told
from aigc_cli.interfaces import DataSpec, Model
from aigc_cli.metrics.fidelity import psnr, snr, ssim
from aigc_cli.randomness import mix
from aigc_cli.sounds.waveforms import as_waves

Parts = Iterator[tuple[Tensor, Tensor | None]]


def restores(model: Model | None) -> bool:
    """Tell whether there is something to compare."""
    return isinstance(model, Transforms | Reconstructs)


def restoration(model: Any, parts: Parts, seed: int) -> dict[str, float]:
    """Return mean fidelities over chunks of held-out data and labels, on the device.

    Where the model transforms, what it was given is measured as well: enlarged to size by bicubic interpolation.
    """
    found: dict[str, list[Tensor]] = {}
    spec: DataSpec = model.spec
    for number, (x, labels) in enumerate(parts):
        condition = told(model, labels)
        generator = torch.Generator(x.device).manual_seed(mix(seed, number))
        with torch.no_grad():
            if isinstance(model, Transforms):
                given = model.given(x, condition, generator=generator)
                made = model.transform(given, generator=generator)
                if given.shape[1] == x.shape[1]:  # a drawing to be coloured compares with no photograph
                    for name, values in fidelities(as_large(given, x), x, spec).items():
                        found.setdefault(f"given_{name}", []).append(values)
            else:
                made = model.reconstruct(x, condition)
        for name, values in fidelities(made, x, spec).items():
            found.setdefault(name, []).append(values)
    return {
        name: float(torch.cat(values).cpu().double().mean()) for name, values in sorted(found.items(), reverse=True)
    }


def fidelities(made: Tensor, wanted: Tensor, spec: DataSpec) -> dict[str, Tensor]:
    """Return how near each stored sample is to what is wanted, by what is used of pictures, or of sounds: (N,) each."""
    if spec.kind == "audio":
        return {"snr": snr(as_waves(made, spec), as_waves(wanted, spec))}
    return {"psnr": psnr(made, wanted, spec.levels), "ssim": ssim(made, wanted, spec.levels)}


def as_large(given: Tensor, like: Tensor) -> Tensor:
    """Return stored pictures enlarged to the sides of others; what has these already, as it is."""
    if given.shape[2:] == like.shape[2:]:
        return given
    enlarged = F.interpolate(given.float(), like.shape[2:], mode="bicubic")
    return enlarged.round().clamp(0, 255 if like.dtype == torch.uint8 else None).to(like.dtype)
