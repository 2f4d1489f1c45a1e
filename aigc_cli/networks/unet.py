"""DDPM's denoising U-Net: residual blocks that know the time, attention where maps are small. arXiv:2006.11239.

Of pictures, or of waves: the same in one dimension.
"""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le, Len, Lt, MultipleOf
from torch import Tensor, nn
from torch.nn import functional as F

from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Shapes
from aigc_cli.networks.attention import attend
from aigc_cli.networks.embeddings import embed_time
from aigc_cli.networks.normalisation import group_norm
from aigc_cli.networks.resampling import LAYERS, Convolution, Doubling


class UNet(nn.Module):
    """Halve the picture level by level and double it again; each upward block also sees its downward twin's output.

    Pixels (of waves: samples) may be taken together in patches, as more channels of a smaller picture
    (arXiv:2301.11093, Section 3.2). A fresh network returns zeros: its last convolution, like the last of every
    residual branch, begins at zero.
    """

    def __init__(
        self,
        shapes: Shapes,
        *,
        patch: Annotated[int, Gt(0), Le(64)],
        width: Annotated[int, Gt(0), MultipleOf(4)],
        multipliers: Annotated[list[Annotated[int, Gt(0)]], Len(1, 8)],
        blocks: Annotated[int, Gt(0), Le(64)],
        attention: list[Annotated[int, Gt(0)]],
        dropout: Annotated[float, Ge(0), Lt(1)],
    ) -> None:
        super().__init__()
        attends = [side in attention for side in sides_of(shapes.input, patch, multipliers, attention)]
        dimensions = len(shapes.input) - 1
        convolution, halve, double, fold, unfold = LAYERS[dimensions]
        self.fold, self.unfold = fold(patch), unfold(patch)
        self.width, channels, last = width, [width * multiplier for multiplier in multipliers], len(multipliers) - 1
        embedded = 4 * width
        self.time = nn.Sequential(nn.Linear(width, embedded), nn.SiLU(), nn.Linear(embedded, embedded))
        self.label = nn.Embedding(shapes.condition, embedded) if shapes.condition else None
        self.latent = nn.Linear(shapes.latent, embedded) if shapes.latent else None
        self.enter = convolution(shapes.input[0] * patch**dimensions, width, 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        current, skips = width, [width]
        for level, leaving in enumerate(channels):
            for _ in range(blocks):
                self.down.append(Block(current, leaving, embedded, dropout, attends[level], convolution))
                current = leaving
                skips.append(current)
            if level < last:
                self.down.append(halve(current))
                skips.append(current)
        middle = [Block(current, current, embedded, dropout, attention, convolution) for attention in (True, False)]
        self.middle = nn.ModuleList(middle)
        for level, leaving in reversed(list(enumerate(channels))):
            for _ in range(blocks + 1):
                self.up.append(Block(current + skips.pop(), leaving, embedded, dropout, attends[level], convolution))
                current = leaving
            if level:
                self.up.append(double(current))
        last_convolution = convolution(current, shapes.output[0] * patch**dimensions, 3, padding=1)
        self.leave = nn.Sequential(group_norm(current), nn.SiLU(), last_convolution)
        initialise(self)

    def forward(self, x: Tensor, time: Tensor, condition: Tensor | None = None, latent: Tensor | None = None) -> Tensor:
        """Map noisy pictures (B, C, H, W), times (B,), labels (B,) and latents (B, D) to pictures (B, C', H, W).

        Or waves (B, C, T) to waves (B, C', T).
        """
        embedding = self.time(embed_time(time, self.width))
        if self.label is not None:
            assert condition is not None, "a network built for classes is called with labels"
            embedding = embedding + self.label(condition)
        if self.latent is not None:
            assert latent is not None, "a network built for latents is called with them"
            embedding = embedding + self.latent(latent)
        embedding = F.silu(embedding)  # every block begins with it: once is enough
        x = self.enter(self.fold(x))
        skips = [x]
        for layer in self.down:
            x = layer(x, embedding)
            skips.append(x)
        for layer in self.middle:
            x = layer(x, embedding)
        for layer in self.up:
            x = layer(x, embedding) if isinstance(layer, Doubling) else layer(torch.cat([x, skips.pop()], 1), embedding)
        return self.unfold(self.leave(x))


class Block(nn.Module):
    """Add what two convolutions make of the picture and the embedding, then what its pixels tell each other."""

    def __init__(
        self, entering: int, leaving: int, embedded: int, dropout: float, attends: bool, convolution: type[Convolution]
    ) -> None:
        super().__init__()
        self.first_norm, self.second_norm = group_norm(entering), group_norm(leaving)
        self.first, self.second = (convolution(size, leaving, 3, padding=1) for size in (entering, leaving))
        self.embedding = nn.Linear(embedded, leaving)
        self.dropout = nn.Dropout(dropout)
        self.shortcut = convolution(entering, leaving, 1) if entering != leaving else nn.Identity()
        self.attention = Attention(leaving) if attends else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Map (B, C, H, W) and (B, D) to (B, C', H, W), or (B, C, T) to (B, C', T)."""
        told = self.embedding(embedding)
        hidden = self.first(F.silu(self.first_norm(x))) + told.view(*told.shape, *[1] * (x.ndim - 2))
        hidden = self.second(self.dropout(F.silu(self.second_norm(hidden))))
        return self.attention(self.shortcut(x) + hidden)


class Attention(nn.Module):
    """Let each pixel gather from all others what their match of query and key says: one head, as in the paper."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.project = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) or (B, C, T) to the same shape."""
        tokens = self.norm(x).flatten(2).transpose(1, 2)  # (B, HW, C): no copy where channels lie last
        query, key, value = self.query_key_value(tokens)[:, None].chunk(3, dim=-1)
        gathered = self.project(attend(query, key, value)[:, 0])
        return x + gathered.transpose(1, 2).reshape(x.shape)


def initialise(network: UNet) -> None:
    """Draw weights uniformly with Glorot's variance, as DDPM's code; residual branches and the output begin at zero."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv1d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            assert module.bias is not None
            nn.init.zeros_(module.bias)
    for module in network.modules():
        if isinstance(module, Block):
            nn.init.zeros_(module.second.weight)
        elif isinstance(module, Attention):
            nn.init.zeros_(module.project.weight)
    last = network.leave[-1]
    assert isinstance(last, nn.Conv2d | nn.Conv1d)
    nn.init.zeros_(last.weight)


def sides_of(shape: tuple[int, ...], patch: int, multipliers: list[int], attention: list[int]) -> list[int]:
    """Return the longer side at each level, having checked that the picture can be halved and attended to as asked."""
    given, waves = "x".join(map(str, shape)), len(shape) == 2
    if len(shape) not in (2, 3):
        raise ConfigError(
            f"model.denoiser: a U-Net takes pictures and waves, given data of {given}. Choose other data=."
        )
    if any(side % patch for side in shape[1:]):
        raise ConfigError(f"model.denoiser.patch: given {patch}, allowed: what divides {given}. Type 1 or 2.")
    if waves and patch == 1:
        raise ConfigError(f"model.denoiser: a U-Net for pictures is given waves of {given}. Type model=audio_diffusion,"
                          " or data.features=mel, which makes pictures of them.")  # fmt: skip
    lengths = [side // patch for side in shape[1:]]
    halvings = len(multipliers) - 1
    if any(length % 2**halvings for length in lengths):
        possible = next(n for n in range(halvings, -1, -1) if not any(length % 2**n for length in lengths))
        fewer = ",".join(map(str, multipliers[: possible + 1]))
        other = "another data.seconds=" if waves else "data.size=32"
        raise ConfigError(
            f"model.denoiser.multipliers: {len(multipliers)} levels halve the data {halvings} times, given {given}, "
            f"allowed: sides divisible by {patch * 2**halvings}. Type model.denoiser.multipliers=[{fewer}] or {other}."
        )
    sides = [max(lengths) >> level for level in range(len(multipliers))]
    unknown = [side for side in attention if side not in sides]
    if unknown:
        nearest = min(sides, key=lambda side: abs(side - unknown[0]))
        raise ConfigError(
            f"model.denoiser.attention: given {unknown[0]}, but the levels of data of {given} are "
            f"{', '.join(map(str, sides))} {'long' if waves else 'pixels a side'}. "
            f"Type model.denoiser.attention=[{nearest}]."
        )
    return sides
