"""What is to be measured, and what was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Wishes:
    """Say what to measure, and how."""

    metrics: tuple[str, ...]  # groups of measures
    n: int  # samples, and held-out data, at most
    features: str = "classifier"
    weights: str | None = None
    split: str = "test"
    draws: int = 50  # of the likelihood's bounds
    seed: int = 0
    batch_size: int = 256  # pictures that pass a network at once
    given: bool = False  # the samples are a folder's: there are no more of them
    translating: Mapping[str, Any] = field(default_factory=dict)  # settings by which text is made of held-out text


@dataclass
class Copies:
    """Hold pairs of samples and the training data nearest to them, the most alike first."""

    samples: Tensor
    nearest: Tensor


@dataclass
class Figures:
    """Hold what was measured."""

    values: dict[str, float] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)  # of the classes
    copies: Copies | None = None
    on: dict[str, str] = field(default_factory=dict)  # of text: of how much each figure is
    meanings: dict[str, str] = field(default_factory=dict)  # what figures say, where that is not as usual

    def add(self, other: Figures) -> None:
        """Take in what was measured otherwise: of the model, beside what was of its samples."""
        self.values |= other.values
        self.on |= other.on
        self.meanings |= other.meanings
