"""Learn to paint any picture in the style of one: a network that needs a single pass. arXiv:1603.08155.

The network descends style_weight * style error + content_weight * content error + smoothness * total variation, as
VGG-19 sees them; neither VGG-19 nor the style picture is needed once it has learnt.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor

from aigc_cli.config import Choice
from aigc_cli.errors import ConfigError
from aigc_cli.files import file_digest
from aigc_cli.interfaces import Batch, DataSpec, Logs, Model, Network, Phase, Shapes
from aigc_cli.models.suitability import count_classes
from aigc_cli.perception.style import StyleLoss, total_variation
from aigc_cli.perception.vgg import SMALLEST, read_weights
from aigc_cli.pictures.files import as_signal, open_picture

STYLE_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")  # arXiv:1603.08155, Section 4.1, there of VGG-16
CONTENT_LAYERS = ("relu2_2",)


class FastStyle(Model):
    """Turn pictures of any size into the same in the style that was learnt."""

    kinds = ("image",)
    generative = ("network",)
    conditional = False
    verb = "stylize"
    any_size = True

    def __init__(
        self,
        spec: DataSpec,
        *,
        style: str | None,
        style_size: Annotated[int, Ge(SMALLEST), Le(4096)],
        weights: str | None,
        style_weight: Annotated[float, Ge(0)],
        content_weight: Annotated[float, Ge(0)],
        smoothness: Annotated[float, Ge(0)],
        network: Annotated[Network, Choice("networks", "painter")],
    ) -> None:
        super().__init__()
        count_classes(spec, kinds=self.kinds, conditional=False)
        self.spec, self.source = spec, DataSpec(spec.kind, spec.shape, spec.levels)
        self.style, self.style_size, self.weights = style, style_size, weights
        self.style_weight, self.content_weight, self.smoothness = style_weight, content_weight, smoothness
        self.network = network(Shapes(spec.shape, spec.shape))
        self._judge: StyleLoss | None = None  # no submodule: it is neither trained, averaged nor saved

    def consult(self) -> dict[str, str]:
        """Read the style picture and VGG-19's weights; return what they are."""
        if self.style is None:
            raise ConfigError("model.style: not set. It is the picture whose style is to be learnt. Type model.style= "
                              "and its path.")  # fmt: skip
        if min(self.spec.shape[1:]) < SMALLEST:
            raise ConfigError(f"data.size: {min(self.spec.shape[1:])} pixels a side are too few for VGG-19, allowed: "
                              f"{SMALLEST} and more. Type data.size=256.")  # fmt: skip
        picture = open_picture(self.style, "model.style", longest=self.style_size, shortest=SMALLEST)
        weights, source = read_weights(self.weights, "model.weights")
        self._judge = StyleLoss(weights, as_signal(picture), STYLE_LAYERS, CONTENT_LAYERS, "max")
        return {"model.style": file_digest(Path(self.style).expanduser()), "model.weights": source}

    def phases(self) -> tuple[Phase, ...]:
        """Return the one update."""
        parameters = list(self.network.parameters())
        if self._judge:
            self._judge.to(parameters[0].device)
        return (Phase("network", parameters, self.loss),)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """Compare what the network paints with the style and with what it was given: arXiv:1603.08155, Section 3.2."""
        assert self._judge is not None, "the files are read before training: consult()"
        given = self.spec.encode(batch.x)
        made = self._painted(given)
        style, content = self._judge(made, self._judge.content(given))
        variation = total_variation(made)
        loss = self.style_weight * style + self.content_weight * content + self.smoothness * variation
        return loss, {"loss": loss.detach(), "style": style.detach(), "content": content.detach()}

    def given(self, x: Tensor, condition: Tensor | None, *, generator: torch.Generator) -> Tensor:
        """Return the picture itself."""
        return x

    @torch.no_grad()
    def transform(self, source: Tensor, *, generator: torch.Generator) -> Tensor:
        """Paint stored pictures of any height and width."""
        return self.spec.decode(self._painted(self.source.encode(source)))

    def _painted(self, signal: Tensor) -> Tensor:
        return torch.tanh(self.network(signal))
