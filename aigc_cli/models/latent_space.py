"""Work in the latent space of a trained first stage: arXiv:2112.10752."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aigc_cli.abilities import Compresses
from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import DataSpec
from aigc_cli.models.first_stage import FirstStage, Frozen

LEAST_DEVIATION = 1e-4  # of a channel that a first stage leaves unused


def latent_stage(first_stage: FirstStage, spec: DataSpec, conditional: bool) -> Frozen:
    """Return a trained model whose latent space can be worked in."""
    stage = Frozen(first_stage, spec, Compresses, "has no latent space")
    if stage.model.conditional and not conditional:
        raise ConfigError("model.first_stage: it was trained by label, so is all that builds on it. "
                          "Type model.conditional=true.")  # fmt: skip
    return stage


class UnitVariance(nn.Module):
    """Bring each channel of latents to mean 0 and variance 1, as the first batch has them.

    A departure from arXiv:2112.10752, appendix G, which scales all channels alike and moves none.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.mean: Tensor
        self.deviation: Tensor
        for name, value in (("mean", 0.0), ("deviation", 1.0)):
            self.register_buffer(name, torch.full((shape[0], *[1] * (len(shape) - 1)), value))
        self.fitted: Tensor
        self.register_buffer("fitted", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def fit(self, latents: Tensor) -> None:
        """Take the mean and the deviation of the first latents (B, C, ...) that there are."""
        parts = latents.transpose(0, 1).flatten(1)
        deviation = parts.std(1).clamp(min=LEAST_DEVIATION)
        for mine, found in ((self.mean, parts.mean(1)), (self.deviation, deviation)):
            mine.copy_(torch.where(self.fitted, mine, found.reshape(mine.shape)))
        self.fitted.fill_(True)

    def forward(self, latents: Tensor) -> Tensor:
        """Return scaled latents."""
        return (latents - self.mean) / self.deviation

    def undo(self, scaled: Tensor) -> Tensor:
        """Return latents."""
        return scaled * self.deviation + self.mean
