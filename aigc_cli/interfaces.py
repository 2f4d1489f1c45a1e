"""The words that models, networks, data and the trainer share. Read this first, then trainer.py, then models/vae.py.

A network knows tensors; a model knows probability; a sampler knows time; data knows bytes; the trainer knows none of
these.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor, nn

from aigc_cli.config import Choice

Kind = Literal["image", "audio", "text"]
Logs: TypeAlias = dict[str, Tensor]  # 0-d tensors on the device; nobody reads them before the log interval


@dataclass(frozen=True)
class Classes:
    """Name the labels that a sample may be asked for; a label is an index into `names`."""

    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class DataSpec:
    """Say all that a model may know of its data.

    shape: image (C, H, W); audio (channels, T); text (T,). Stored values are integers in [0, levels).
    """

    kind: Kind
    shape: tuple[int, ...]
    levels: int = 256
    condition: Classes | None = None

    @property
    def classes(self) -> int:
        """Count the labels; 0 where the data have none."""
        return len(self.condition) if self.condition else 0

    def encode(self, stored: Tensor) -> Tensor:
        """Map stored integers onto float32 in [-1, 1]."""
        return stored.to(torch.float32).mul_(2 / (self.levels - 1)).sub_(1)

    def decode(self, signal: Tensor) -> Tensor:
        """Map floats in [-1, 1] onto stored integers, clamped and rounded: the inverse of encode."""
        dtype = torch.uint8 if self.levels <= 256 else torch.int32
        return signal.float().clamp(-1, 1).add(1).mul((self.levels - 1) / 2).round().to(dtype)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        names = list(self.condition.names) if self.condition else None
        return {"kind": self.kind, "shape": list(self.shape), "levels": self.levels, "classes": names}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> DataSpec:
        """Rebuild a spec from to_dict's values."""
        condition = Classes(tuple(plain["classes"])) if plain["classes"] else None
        return cls(plain["kind"], tuple(plain["shape"]), plain["levels"], condition)


class Batch(NamedTuple):
    """Carry one (micro-)batch, on the device."""

    x: Tensor  # (B, *spec.shape), stored integers
    condition: Tensor | None  # labels (B,) int64; None where the data have none
    step: Tensor  # 0-d int64, so that schedules also work inside a captured graph


def nothing(batch: Batch) -> None:
    """Do nothing after an update."""


@dataclass(frozen=True)
class Phase:
    """One update: the parameters it moves and the loss they descend."""

    name: str  # "critic", "generator", "denoiser": names configs, logs, checkpoints
    params: Sequence[nn.Parameter]
    loss: Callable[[Batch], tuple[Tensor, Logs]]
    every: int = 1  # runs when (step + 1) % every == 0: a critic has learnt before its generator moves
    optimizer: str = ""  # phases naming the same optimiser share its parameters, state and scaler
    after: Callable[[Batch], None] = nothing  # under no_grad, once the update succeeded: clip weights, codebooks


class Model(nn.Module, ABC):
    """A way of learning. Its constructor takes the data's spec; its keyword-only parameters are its settings."""

    kinds: ClassVar[tuple[Kind, ...]]
    generative: ClassVar[tuple[str, ...]]  # the submodules that sampling uses, which EMA averages
    spec: DataSpec
    conditional: bool  # whether samples are asked for by label

    @abstractmethod
    def phases(self) -> tuple[Phase, ...]:
        """Return the updates of one training step, in their order."""


# What else a model can do is said by small protocols; verbs, previews and contract tests pick models by them.
# Samples come out in storage form (integers of the spec's shape). Keyword-only parameters after `generator`
# are settings of `aigc sample`, checked like any other (the signature is the schema).


@runtime_checkable
class Samples(Protocol):
    """Draw new data."""

    def sample(self, n: int, condition: Tensor | None, *, generator: torch.Generator) -> Tensor:
        """Return (n, *spec.shape) stored integers; condition: labels (n,), or None where the model takes none."""
        ...


@runtime_checkable
class Renders(Protocol):
    """Grow samples from latents, so that a walk between two latents can be drawn."""

    def latent(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Return (n, ...) standard normal latents."""
        ...

    def render(self, latent: Tensor, condition: Tensor | None, *, generator: torch.Generator) -> Tensor:
        """Return (n, *spec.shape) stored integers."""
        ...


@runtime_checkable
class Revises(Protocol):
    """Draw data that begin with given data: a part made anew, or all of it more or less freely."""

    keeps: bool  # whether the rest stays exactly as given

    def revise(
        self, picture: Tensor, anew: Tensor | None, condition: Tensor | None, *,
        generator: torch.Generator, strength: float, resample: int,
    ) -> Tensor:  # fmt: skip
        """Return stored integers of picture's shape (B, C, H, W); anew: (B, 1, H, W), 1 where it is not kept."""
        ...


@runtime_checkable
class Reconstructs(Protocol):
    """Pass data through a bottleneck and back."""

    def reconstruct(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Return stored integers of x's shape."""
        ...


@runtime_checkable
class Encodes(Protocol):
    """Say in few numbers what data are to the model."""

    def encode(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Return (B, D) float32 codes of stored integers; the mean, where the model gives a distribution of codes."""
        ...


@runtime_checkable
class Scores(Protocol):
    """Tell the unusual from the usual."""

    def score(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Return (B,) float32 scores of stored integers: the higher, the less like the training data."""
        ...


@runtime_checkable
class Transforms(Protocol):
    """Turn data into other data: noisy into clean, small into large, a drawing into a photograph."""

    verb: ClassVar[str]  # of the command line: denoise, upscale, translate
    source: DataSpec  # of what goes in; what comes out is of the model's spec

    def given(self, x: Tensor, condition: Tensor | None, *, generator: torch.Generator) -> Tensor:
        """Return what would have to be turned into x: (B, *source.shape) stored integers."""
        ...

    def transform(self, source: Tensor, *, generator: torch.Generator) -> Tensor:
        """Return (B, *spec.shape) stored integers."""
        ...


@runtime_checkable
class AnySize(Protocol):
    """Transform pictures of any height and width, not of the source's only."""

    any_size: ClassVar[bool]


@runtime_checkable
class Compresses(Protocol):
    """Put data into a smaller space and back: what diffusion in that space needs of its first stage."""

    latent_shape: tuple[int, ...]

    def compress(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Return (B, *latent_shape) float32 latents of stored integers; the mean, where there is a distribution."""
        ...

    def expand(self, latent: Tensor, condition: Tensor | None) -> Tensor:
        """Return (B, *spec.shape) stored integers."""
        ...


@runtime_checkable
class Tokenises(Protocol):
    """Write data as a sequence of symbols and read it back: what a prior over symbols needs of its first stage."""

    token_spec: DataSpec  # a text of (T,), of as many levels as there are symbols

    def tokenise(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Return (B, T) int64 symbols of stored integers."""
        ...

    def detokenise(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        """Return (B, *spec.shape) stored integers."""
        ...


@runtime_checkable
class Bounds(Protocol):
    """Bound the likelihood of data from below."""

    bound_names: ClassVar[tuple[str, ...]]

    def bounds(self, x: Tensor, condition: Tensor | None, *, draws: int) -> dict[str, Tensor]:
        """Return lower bounds of log p(x) by name, in nats: (B,) each; more draws estimate them better.

        Where the model gives a density of signals, it is that of the stored levels: times a level's width.
        """
        ...


class Shapes(NamedTuple):
    """Tell a network what goes in and what comes out; the batch dimension is left out."""

    input: tuple[int, ...]
    output: tuple[int, ...]
    condition: int = 0  # number of classes; 0: the network takes no condition
    latent: int = 0  # size of the noise that a denoiser is told beside; 0: none


# A chosen node of the config arrives as the table's callable with its settings bound; the model gives it the shapes.
Network: TypeAlias = Annotated[Callable[[Shapes], nn.Module], Choice("networks")]
