"""Show, while a model trains, what it makes: the same noise, or the same held-out data, each time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from aigc_cli.abilities import Samples
from aigc_cli.data.pack import Pack
from aigc_cli.interfaces import Model
from aigc_cli.pictures.held_out import some_of
from aigc_cli.pictures.previews import default_columns, draw, progress, save_grid, stacked
from aigc_cli.pictures.rows import demonstration, showable, shown, verb_of


@dataclass(frozen=True)
class Drawn:
    """Hold what was made."""

    pictures: np.ndarray
    columns: int
    samples: Tensor | None = None  # as stored; None where they are not a model's own
    labels: Tensor | None = None
    heard: Tensor | None = None  # of sounds, their waves


class Previews:
    """Draw a model's samples, or what it makes of held-out data, and write them to a run's folder."""

    def __init__(self, pack: Pack, folder: Path, *, n: int, seed: int, device: torch.device) -> None:
        self.pack, self.folder, self.n, self.seed, self.device = pack, folder, n, seed, device

    def draw(self, model: Model) -> Drawn | None:
        """Return what the model makes; None where nothing of it can be shown."""
        if verb_of(model) is None or not showable(self.pack.spec):
            return None
        return self._samples(model) if isinstance(model, Samples) else self._examples(model)

    def write(self, drawn: Drawn, step: int, about: dict[str, str]) -> tuple[str, Image]:
        """Write a step's grid, and of sounds a folder of them; return the grid's name in the run and the grid."""
        name = f"samples/step-{step:08d}.png"
        path = self.folder / name
        page = save_grid(drawn.pictures, path, columns=drawn.columns, metadata=about)
        if drawn.heard is not None and self.pack.spec.sound:
            from aigc_cli.sounds.waveforms import write_waves

            names = None if drawn.labels is None else [self.pack.spec.class_names[label] for label in drawn.labels]
            write_waves(drawn.heard, self.pack.spec.sound.sample_rate, path.with_suffix(""), names=names)
        return name, page

    def _samples(self, model: Any) -> Drawn:
        """Return samples from the same noise each time."""
        n, spec = self.n, self.pack.spec
        if model.conditional and spec.classes <= n:
            n = -(-n // spec.classes) * spec.classes  # whole rows of the classes
        labels = torch.arange(n) % spec.classes if model.conditional else None
        with progress(model, "preview"):
            samples = draw(model, n, labels, seed=self.seed, device=self.device)
        columns = default_columns(n, spec.classes if model.conditional else 1)
        if spec.sound is None:
            return Drawn(shown(samples, spec), columns, samples, labels)
        from aigc_cli.sounds.sheets import drawn_waves
        from aigc_cli.sounds.waveforms import waves

        heard = waves(samples, spec)
        return Drawn(drawn_waves(heard, spec.sound.sample_rate), columns, samples, labels, heard)

    def _examples(self, model: Model) -> Drawn:
        """Return what the model makes of the same held-out data each time."""
        columns = default_columns(self.n)
        x, labels = some_of(self.pack, max(columns, self.n // 3 // columns * columns), seed=self.seed)
        columns = min(columns, len(x))
        rows = demonstration(model, x, labels, seed=self.seed, device=self.device)
        return Drawn(stacked(rows, columns), columns)
