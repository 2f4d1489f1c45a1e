"""The words that models, networks, data and the trainer share. Read this first, then trainer.py, then models/vae.py.

A network knows tensors; a model knows probability; a sampler knows time; data knows bytes; the trainer knows none of
these.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeAlias

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
class Sound:
    """Say how stored values become a waveform."""

    sample_rate: int  # Hz
    samples: int  # of a clip, in each channel
    mu_law: bool = False  # levels lie closer where it is quiet: ITU-T G.711
    bands: int = 0  # where the values are a picture of the sound, its log-mel spectrogram: rows, the lowest first


@dataclass(frozen=True)
class Text:
    """Say how stored symbols become text: see texts/vocabulary.py.

    Running text is cut into windows anywhere and has no end symbol; of pieces (a sum, a review, a sentence) each row
    holds one, closed by the end symbol and filled up with it.
    """

    symbols: tuple[str, ...] = ()  # of a vocabulary of characters, in the order of their ids; the end symbol is last
    tokenizer: str = ""  # of a byte-pair vocabulary: the JSON of the tokenizers library; neither: UTF-8 bytes
    end: int | None = None  # id of the end symbol; None: running text


@dataclass(frozen=True)
class DataSpec:
    """Say all that a model may know of its data.

    shape: image (C, H, W); audio (channels, T); text (T,). Stored values are integers in [0, levels), of
    16-bit audio in [-levels / 2, levels / 2).
    """

    kind: Kind
    shape: tuple[int, ...]
    levels: int = 256
    condition: Classes | DataSpec | None = None  # what comes with each sample: a label, or what it was made from
    sound: Sound | None = None  # of audio, and of pictures that are a sound's spectrogram
    text: Text | None = None  # of text; None where symbols have no reading: the codes of a first stage

    @property
    def dtype(self) -> torch.dtype:
        """Return the type of stored values."""
        if self.levels <= 256:
            return torch.uint8
        return torch.int16 if self.kind == "audio" else torch.int32

    @property
    def lowest(self) -> int:
        """Return the smallest stored value."""
        return -self.levels // 2 if self.dtype == torch.int16 else 0

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name the labels; none where the data have none."""
        return self.condition.names if isinstance(self.condition, Classes) else ()

    @property
    def classes(self) -> int:
        """Count the labels; 0 where the data have none."""
        return len(self.class_names)

    def encode(self, stored: Tensor) -> Tensor:
        """Map stored integers onto float32 in [-1, 1]."""
        step = 2 / (self.levels - 1)
        return stored.to(torch.float32).mul_(step).sub_(1 + self.lowest * step)

    def decode(self, signal: Tensor) -> Tensor:
        """Map floats in [-1, 1] onto stored integers, clamped and rounded: the inverse of encode."""
        level = signal.float().clamp(-1, 1).add(1).mul((self.levels - 1) / 2).round()
        return (level + self.lowest if self.lowest else level).to(self.dtype)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; `source`, `sound` and `text` are there only where they say something."""
        names = list(self.class_names) or None
        plain = {"kind": self.kind, "shape": list(self.shape), "levels": self.levels, "classes": names}
        plain |= {"source": self.condition.to_dict()} if isinstance(self.condition, DataSpec) else {}
        plain |= {"sound": asdict(self.sound)} if self.sound else {}
        return plain | ({"text": {**asdict(self.text), "symbols": list(self.text.symbols)}} if self.text else {})

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> DataSpec:
        """Rebuild a spec from to_dict's values."""
        condition: Classes | DataSpec | None = Classes(tuple(plain["classes"])) if plain["classes"] else None
        if plain.get("source"):
            condition = cls.from_dict(plain["source"])
        sound = Sound(**plain["sound"]) if plain.get("sound") else None
        about = plain.get("text")
        text = Text(tuple(about["symbols"]), about["tokenizer"], about["end"]) if about else None
        return cls(plain["kind"], tuple(plain["shape"]), plain["levels"], condition, sound, text)


class Batch(NamedTuple):
    """Carry one (micro-)batch, on the device."""

    x: Tensor  # (B, *spec.shape), stored integers
    condition: Tensor | None  # labels (B,) int64, or the source (B, *its shape) as stored; None where there is none
    step: Tensor  # 0-d int64, so that schedules also work inside a captured graph

    def chunks(self, parts: int) -> list[Batch]:
        """Cut it into equal micro-batches."""
        if parts == 1:
            return [self]
        conditions = self.condition.chunk(parts) if self.condition is not None else [None] * parts
        return [Batch(x, condition, self.step) for x, condition in zip(self.x.chunk(parts), conditions, strict=True)]


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


class Shapes(NamedTuple):
    """Tell a network what goes in and what comes out; the batch dimension is left out."""

    input: tuple[int, ...]
    output: tuple[int, ...]
    condition: int = 0  # number of classes; 0: the network takes no condition
    latent: int = 0  # size of the noise that a denoiser is told beside; 0: none


# A chosen node of the config arrives as the table's callable with its settings bound; the model gives it the shapes.
Network: TypeAlias = Annotated[Callable[[Shapes], nn.Module], Choice("networks")]  # any
Generator: TypeAlias = Annotated[Callable[[Shapes], nn.Module], Choice("networks", "generator")]
Critic: TypeAlias = Annotated[Callable[[Shapes], nn.Module], Choice("networks", "critic")]
Encoder: TypeAlias = Annotated[Callable[[Shapes], nn.Module], Choice("networks", "encoder")]
Decoder: TypeAlias = Annotated[Callable[[Shapes], nn.Module], Choice("networks", "decoder")]
