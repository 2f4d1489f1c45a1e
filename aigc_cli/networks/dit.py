"""The diffusion transformer: patches of the picture attend to each other, told of time and label. arXiv:2212.09748."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Lt, MultipleOf
from torch import Tensor, nn
from torch.nn import functional as F

from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Shapes
from aigc_cli.networks.attention import attend
from aigc_cli.networks.embeddings import embed_time

FREQUENCIES = 256  # of the time's embedding (the paper's code)
LONGEST_WAVE = 10_000


class DiT(nn.Module):
    """Cut the picture into patches, let them pass through transformer blocks, and put them together again.

    A fresh one returns zeros, and its blocks pass on what they get (adaLN-zero: arXiv:2212.09748, Section 3.2).
    """

    def __init__(
        self,
        shapes: Shapes,
        *,
        patch: Annotated[int, Gt(0)],
        width: Annotated[int, Gt(0), MultipleOf(4)],
        depth: Annotated[int, Gt(0)],
        heads: Annotated[int, Gt(0)],
        mlp_ratio: Annotated[float, Gt(0)],
        dropout: Annotated[float, Ge(0), Lt(1)],
    ) -> None:
        super().__init__()
        rows, columns = patches_of(shapes.input, patch)
        if width % heads:
            raise ConfigError(
                f"model.denoiser.heads: given {heads}, allowed: what divides width={width}. "
                f"Type model.denoiser.heads={math.gcd(width, 4)}."
            )
        self.grid = rows, columns
        self.enter = nn.Conv2d(shapes.input[0], width, patch, stride=patch)
        self.time = nn.Sequential(nn.Linear(FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))
        self.label = nn.Embedding(shapes.condition, width) if shapes.condition else None
        self.positions: Tensor
        self.register_buffer("positions", embed_positions(rows, columns, width), persistent=False)
        self.blocks = nn.ModuleList(Block(width, heads, round(width * mlp_ratio), dropout) for _ in range(depth))
        self.modulate = nn.Linear(width, 2 * width)
        self.leave = nn.Linear(width, patch**2 * shapes.output[0])
        self.unfold = nn.PixelShuffle(patch)
        initialise(self)

    def forward(self, x: Tensor, time: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map noisy pictures (B, C, H, W), times (B,) and labels (B,) to pictures (B, C', H, W)."""
        told = self.time(embed_time(time, FREQUENCIES))
        if self.label is not None:
            assert condition is not None, "a network built for classes is called with labels"
            told = told + self.label(condition)
        told = F.silu(told)  # every block begins with it: once is enough
        tokens = self.enter(x).flatten(2).transpose(1, 2) + self.positions
        for block in self.blocks:
            tokens = block(tokens, told)
        shift, scale = self.modulate(told)[:, None].chunk(2, dim=-1)
        patches = self.leave(normalised(tokens, shift, scale)).transpose(1, 2)
        return self.unfold(patches.unflatten(2, self.grid))


class Block(nn.Module):
    """Attend, then think, each behind a layer norm and a gate that time and label set: arXiv:2212.09748, Figure 3."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.modulate = nn.Linear(width, 6 * width)
        self.query_key_value, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.think = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU("tanh"), nn.Dropout(dropout), nn.Linear(hidden, width)
        )

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """Map tokens (B, N, D) and what is told (B, D) to tokens."""
        shift, scale, gate, next_shift, next_scale, next_gate = self.modulate(told)[:, None].chunk(6, dim=-1)
        x = x + gate * self._attend(normalised(x, shift, scale))
        return x + next_gate * self.think(normalised(x, next_shift, next_scale))

    def _attend(self, x: Tensor) -> Tensor:
        separate = self.query_key_value(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = separate.unbind(0)
        return self.project(attend(query, key, value).transpose(1, 2).flatten(2))


def normalised(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Normalise each token, then scale and shift it as told."""
    return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift


def embed_positions(rows: int, columns: int, width: int) -> Tensor:
    """Return sines and cosines of each patch's row and column, half of the width each: (rows * columns, width)."""
    frequencies = LONGEST_WAVE ** (-torch.arange(width // 4, dtype=torch.float32) / (width / 4))
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    angles = [place.flatten()[:, None] * frequencies for place in (row, column)]
    return torch.cat([wave for angle in angles for wave in (angle.sin(), angle.cos())], dim=1)


def patches_of(shape: tuple[int, ...], patch: int) -> tuple[int, int]:
    """Return the rows and columns of patches."""
    given = "x".join(map(str, shape))
    if len(shape) != 3:
        raise ConfigError(f"model.denoiser: a DiT takes pictures, given data of {given}. Choose another data=.")
    if shape[1] % patch or shape[2] % patch:
        possible = next(n for n in range(patch, 0, -1) if not (shape[1] % n or shape[2] % n))
        raise ConfigError(
            f"model.denoiser.patch: given {patch}, allowed: what divides the sides of {given}. "
            f"Type model.denoiser.patch={possible}."
        )
    return shape[1] // patch, shape[2] // patch


def initialise(network: DiT) -> None:
    """Begin linear layers with Glorot's variance, embeddings at 0.02, modulations and the output at zero.

    The paper's code: the first layer sees flat patches, and so is initialised as a linear one.
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(module.weight.flatten(1))
            assert module.bias is not None
            nn.init.zeros_(module.bias)
            if name.startswith("time."):
                nn.init.normal_(module.weight, std=0.02)
            elif name.endswith("modulate") or name == "leave":
                nn.init.zeros_(module.weight)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
