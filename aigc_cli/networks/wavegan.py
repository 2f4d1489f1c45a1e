"""WaveGAN's generator and critic, arXiv:1802.04208: DCGAN flattened to one dimension, with strides of 4.

And an encoder made as the critic is, whose codes the generator decodes.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn
from torch.nn import functional as F

from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Shapes
from aigc_cli.networks.labels import append_one_hot
from aigc_cli.networks.normalisation import latents_of

BASE = 16  # samples that the first layer makes
KERNEL = 25  # samples
WIDEST = 16  # times the width
SLOPE = 0.2  # of leaky ReLU


class Generator(nn.Module):
    """Lengthen 16 samples fourfold again and again (where the clip wants it, the last time twofold), with ReLU between.

    No batch norm, as the paper's.
    """

    def __init__(self, shapes: Shapes, *, width: Annotated[int, Gt(0)]) -> None:
        super().__init__()
        self.condition, strides = shapes.condition, strides_of(shapes.output)
        channels = [width * min(WIDEST, 1 << level) for level in reversed(range(len(strides)))]
        self.base = channels[0]
        latent = latents_of(shapes.input, "wavegan_generator") + shapes.condition
        self.enter = nn.Linear(latent, BASE * self.base)
        layers: list[nn.Module] = []
        for stride, (entering, leaving) in zip(strides, pairwise([*channels, shapes.output[0]]), strict=True):
            padding = (KERNEL - stride + 1) // 2
            beyond = stride + 2 * padding - KERNEL
            layers += [
                nn.ReLU(),
                nn.ConvTranspose1d(entering, leaving, KERNEL, stride, padding, output_padding=beyond),
            ]
        self.layers = nn.Sequential(*layers)
        self.apply(initialise)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map latents (B, D) to waves (B, channels, T)."""
        x = self.enter(append_one_hot(x, condition, self.condition))
        return self.layers(x.unflatten(1, (self.base, BASE)))


class Critic(nn.Module):
    """Shorten a wave fourfold until 16 samples are left; one logit at the end, which asks for the label by projection.

    Between layers each sample's maps are shifted at random by up to `shuffle` places, reflected at the ends: phase
    shuffle (arXiv:1802.04208, Section 3.3), or a critic would know generated waves by the phase of their artefacts.
    """

    def __init__(self, shapes: Shapes, *, width: Annotated[int, Gt(0)], shuffle: Annotated[int, Ge(0), Le(8)]) -> None:
        super().__init__()
        self.shuffle, strides = shuffle, strides_of(shapes.input)[::-1]
        channels = [width * min(WIDEST, 1 << level) for level in range(len(strides))]
        self.layers = nn.ModuleList(
            nn.Conv1d(entering, leaving, KERNEL, stride, KERNEL // 2)
            for stride, (entering, leaving) in zip(strides, pairwise([shapes.input[0], *channels]), strict=True)
        )
        self.leave = nn.Linear(BASE * channels[-1], 1, bias=False)
        self.label = nn.Embedding(shapes.condition, BASE * channels[-1]) if shapes.condition else None
        self.apply(initialise)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map waves (B, channels, T) to logits (B,)."""
        last = len(self.layers) - 1
        for number, layer in enumerate(self.layers):
            x = F.leaky_relu(layer(x), SLOPE)
            if self.shuffle and number < last:
                x = shuffled(x, self.shuffle)
        features = x.flatten(1)
        logits = self.leave(features).flatten()
        if self.label is None:
            return logits
        assert condition is not None, "a network built for classes is called with labels"
        return logits + (self.label(condition) * features).sum(1)


class Encoder(nn.Module):
    """Shorten a wave as the critic does, without shuffling, to a code."""

    def __init__(self, shapes: Shapes, *, width: Annotated[int, Gt(0)]) -> None:
        super().__init__()
        self.output = shapes.output
        strides = strides_of(shapes.input)[::-1]
        channels = [width * min(WIDEST, 1 << level) for level in range(len(strides))]
        layers: list[nn.Module] = []
        for stride, (entering, leaving) in zip(strides, pairwise([shapes.input[0], *channels]), strict=True):
            layers += [nn.Conv1d(entering, leaving, KERNEL, stride, KERNEL // 2), nn.LeakyReLU(SLOPE)]
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.leave = nn.Linear(BASE * channels[-1] + shapes.condition, math.prod(shapes.output))
        self.condition = shapes.condition
        self.apply(initialise)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map waves (B, channels, T) to codes (B, *output)."""
        return self.leave(append_one_hot(self.layers(x), condition, self.condition)).reshape(len(x), *self.output)


def shuffled(x: Tensor, most: int) -> Tensor:
    """Shift each sample's maps (B, C, T) by -most to most places, all by the same; the gap shows a reflection."""
    length = x.shape[2]
    shift = torch.randint(-most, most + 1, (len(x), 1), device=x.device)
    place = (torch.arange(length, device=x.device) + shift).abs()
    place = (length - 1) - ((length - 1) - place).abs()
    return x.gather(2, place[:, None].expand_as(x))


def initialise(module: nn.Module) -> None:
    """Draw weights uniformly with Glorot's variance, as the paper's code; a label asks nothing at first."""
    if isinstance(module, nn.Conv1d | nn.ConvTranspose1d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        nn.init.zeros_(module.weight)


def strides_of(shape: tuple[int, ...]) -> list[int]:
    """Return the factors by which 16 samples grow to a clip's: fours, and a two at the end where it is wanted."""
    factor = shape[-1] // BASE
    fours = max(0, factor.bit_length() - 1) // 2
    if len(shape) == 2 and factor * BASE == shape[-1] and fours >= 2 and factor in (4**fours, 2 * 4**fours):
        return [4] * fours + [2] * (factor != 4**fours)
    raise ConfigError(
        f"model: WaveGAN makes waves of 256 samples doubled over and over, given data of {'x'.join(map(str, shape))}. "
        f"Type data.seconds= so that seconds times sample_rate is {_nearest(shape[-1])}, such as data.seconds=1.024 at "
        "data.sample_rate=8000 or 16000."
    )


def _nearest(samples: int) -> int:
    return 1 << max(8, (max(1, samples) - 1).bit_length())
