"""Learn to enlarge pictures: from what is left of them when they are made smaller, back to what they were.

arXiv:1707.02921 (EDSR: residual blocks without batch norm, L1 loss), arXiv:1609.05158 (sub-pixel convolution).
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from aigc_cli.config import Choice
from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Batch, DataSpec, Logs, Model, Network, Phase, Shapes
from aigc_cli.models.suitability import count_classes


class SuperResolution(Model):
    """Add to a bicubic enlargement what it lacks (arXiv:1511.04587): even a fresh network is as good as that."""

    kinds = ("image",)
    generative = ("network",)
    conditional = False
    verb = "upscale"
    any_size = True

    def __init__(
        self,
        spec: DataSpec,
        *,
        scale: Literal[2, 4],
        downscale: Literal["area", "bicubic"],
        network: Annotated[Network, Choice("networks", "enlarger")],
    ) -> None:
        super().__init__()
        count_classes(spec, kinds=self.kinds, conditional=False)
        channels, height, width = spec.shape
        if height % scale or width % scale or min(height, width) < 4 * scale:
            raise ConfigError(
                f"model.scale: {scale} is given pictures of {width}x{height}, allowed: sides divisible by it, from "
                f"{4 * scale}. Type data.size={max(4 * scale, -(-max(height, width) // scale) * scale)}."
            )
        self.spec, self.scale, self.downscale = spec, scale, downscale
        self.source = DataSpec(spec.kind, (channels, height // scale, width // scale), spec.levels)
        self.network = network(Shapes(self.source.shape, spec.shape))

    def phases(self) -> tuple[Phase, ...]:
        """Return the one update."""
        return (Phase("network", list(self.network.parameters()), self.loss),)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """Return the mean absolute error of the enlarged pictures: arXiv:1707.02921, Section 3.2."""
        loss = F.l1_loss(self._enlarged(self._reduced(batch.x)), self.spec.encode(batch.x))
        return loss, {"loss": loss.detach()}

    def given(self, x: Tensor, condition: Tensor | None, *, generator: torch.Generator) -> Tensor:
        """Make stored pictures smaller."""
        return self._reduced(x)

    @torch.no_grad()
    def transform(self, source: Tensor, *, generator: torch.Generator) -> Tensor:
        """Enlarge stored pictures of any size."""
        return self.spec.decode(self._enlarged(source))

    def _reduced(self, x: Tensor) -> Tensor:
        """Return pictures made smaller and stored, so that training sees what files hold."""
        signal = self.spec.encode(x)
        if self.downscale == "area":
            return self.spec.decode(F.avg_pool2d(signal, self.scale))
        sides = [side // self.scale for side in x.shape[2:]]
        return self.spec.decode(F.interpolate(signal, sides, mode="bicubic", antialias=True))

    def _enlarged(self, small: Tensor) -> Tensor:
        signal = self.spec.encode(small)
        return enlarge(signal, self.scale) + self.network(signal).float()


def enlarge(signal: Tensor, scale: int) -> Tensor:
    """Return pictures enlarged by bicubic interpolation."""
    return F.interpolate(signal, scale_factor=float(scale), mode="bicubic")
