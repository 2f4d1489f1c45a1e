"""How near data are to what they should be: pictures by peak signal-to-noise ratio and similarity, sounds by SNR."""

from __future__ import annotations

import torch
from torch import Tensor

WINDOW = 11  # pixels
SMALLEST_ERROR = 1e-10  # of the squared range: pictures without any error count as 100 dB


def psnr(made: Tensor, wanted: Tensor, levels: int) -> Tensor:
    """Return 10 log10(range^2 / mean squared error) of each stored picture, in decibels: (N,)."""
    errors = (made.float() - wanted.float()).div(levels - 1).square().flatten(1).mean(1)
    return -10 * errors.clamp(min=SMALLEST_ERROR).log10()


def snr(made: Tensor, wanted: Tensor) -> Tensor:
    """Return 10 log10(energy of what is wanted / of the error) of each wave, in decibels: (N,); silence counts as 0."""
    energy, error = (each.float().square().flatten(1).mean(1) for each in (wanted, made - wanted))
    return torch.where(energy > 0, 10 * (energy / error.clamp(min=SMALLEST_ERROR)).clamp(min=1e-10).log10(), 0.0)


def ssim(made: Tensor, wanted: Tensor, levels: int) -> Tensor:
    """Return the structural similarity of each stored picture, Wang et al. 2004: (N,); 1 where nothing differs.

    The paper's window, a Gaussian 11 pixels wide; where a picture is smaller, an even one of its size.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    side = min(wanted.shape[2:])
    each = structural_similarity_index_measure(
        made.float(), wanted.float(), gaussian_kernel=side >= WINDOW, sigma=1.5,
        kernel_size=min(WINDOW, side - 1 + side % 2), reduction="none", data_range=float(levels - 1),
    )  # fmt: skip
    assert isinstance(each, torch.Tensor)
    return each
