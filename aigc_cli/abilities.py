"""What else a model can do, said by small protocols: verbs, previews and contract tests pick models by them.

Samples come out in storage form (integers of the spec's shape). Keyword-only parameters after `generator` are settings
of `aigc sample`, checked like any other (the signature is the schema).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from aigc_cli.interfaces import Batch, DataSpec


@runtime_checkable
class Samples(Protocol):
    """Draw new data."""

    def sample(self, n: int, condition: Tensor | None, *, generator: torch.Generator) -> Tensor:
        """Return (n, *spec.shape) stored integers; condition: labels (n,), or None where the model takes none."""
        ...


@runtime_checkable
class Fits(Protocol):
    """Look at the first batch of all before any update: what is learnt there is buffers of the model."""

    def fit(self, batch: Batch) -> None:
        """Take it in; called under no_grad, on the first rank alone, whose buffers all get."""
        ...


@runtime_checkable
class Advances(Protocol):
    """A module with something to do once an update, not once a forward pass: so micro-batches see the same."""

    def advance(self) -> None:
        """Do it before the first micro-batch of an update of any phase, or at the next forward pass in training mode.

        What is gathered over micro-batches begins anew here: so an update that loss scaling skipped leaves none of it.
        """
        ...


@runtime_checkable
class Writes(Protocol):
    """Draw text symbol by symbol, beginning as asked, as long as asked, and tell each symbol as it is drawn."""

    def write(
        self,
        n: int,
        condition: Tensor | None,
        *,
        generator: torch.Generator,
        prompt: Tensor | None,
        length: int | None,
        tell: Callable[[Tensor], None] | None,
    ) -> Tensor:
        """Return (n, at most length) int64 symbols that follow the prompt (P,), which is not repeated.

        condition: labels (n,), or sources (n, *their shape); tell: is given each step's symbols (n,). Text in pieces
        ends where all rows have ended; what follows a row's end symbol is that symbol. Further keyword-only parameters
        are settings of `aigc sample`, as of `Samples.sample`.
        """
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
        self,
        picture: Tensor,
        anew: Tensor | None,
        condition: Tensor | None,
        *,
        generator: torch.Generator,
        strength: float,
        resample: int,
    ) -> Tensor:
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
class Consults(Protocol):
    """Learn by the help of files besides the data, which are not needed once it has learnt."""

    def consult(self) -> Mapping[str, str]:
        """Read the files that the settings name, before training; return {setting: digest} of what was read."""
        ...


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
