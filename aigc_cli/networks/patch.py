"""PatchGAN: a critic that judges each patch of a picture by itself. arXiv:1611.07004, Section 3.2.2."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Shapes
from aigc_cli.networks.encoder_decoder import initialise
from aigc_cli.networks.labels import append_one_hot_maps

WIDEST = 8  # times the width
RECEPTIVE = (1, 16, 34, 70, 142, 286)  # pixels a side of the patch, by the number of halvings


class PatchCritic(nn.Module):
    """Halve the size `halvings` times, then two convolutions of stride 1; 0 halvings: every pixel by itself."""

    def __init__(
        self,
        shapes: Shapes,
        *,
        width: Annotated[int, Gt(0)],
        halvings: Annotated[int, Ge(0), Le(5)],
        normalisation: Literal["none", "instance"],
    ) -> None:
        super().__init__()
        self.condition = shapes.condition
        refuse_small(shapes.input, halvings)
        entering = shapes.input[0] + shapes.condition
        widths = [width * min(1 << level, WIDEST) for level in range(halvings + 1)] if halvings else [width, 2 * width]
        kernel = 4 if halvings else 1
        layers: list[nn.Module] = []
        for level, leaving in enumerate(widths):
            normed = level > 0 and normalisation == "instance"
            stride, padding = (2 if level < halvings else 1), (1 if halvings else 0)
            layers.append(nn.Conv2d(entering, leaving, kernel, stride, padding, bias=not normed))
            layers += [nn.InstanceNorm2d(leaving, affine=True)] if normed else []
            layers.append(nn.LeakyReLU(0.2))
            entering = leaving
        layers.append(nn.Conv2d(entering, 1, kernel, 1, 1 if halvings else 0))
        self.layers = nn.Sequential(*layers)
        self.apply(initialise)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map pictures (B, C, H, W) and labels (B,) to a logit for each patch: (B, h, w)."""
        return self.layers(append_one_hot_maps(x, condition, self.condition))[:, 0]


def refuse_small(shape: tuple[int, ...], halvings: int) -> None:
    """Raise ConfigError where the last feature maps would be too small to judge or to norm."""
    given = "x".join(map(str, shape))
    if len(shape) != 3:
        raise ConfigError(f"model.critic: patches are parts of pictures, given data of {given}. Choose another data=.")
    fitting = next((n for n in range(halvings, -1, -1) if n == 0 or min(shape[1:]) >> n >= 3), 0)
    if fitting < halvings:
        raise ConfigError(
            f"model.critic.halvings: given {halvings}, but pictures of {given} bear {fitting} (patches of "
            f"{RECEPTIVE[fitting]} pixels). Type model.critic.halvings={fitting} or data.size={3 << halvings}."
        )
