"""Show, while a model trains, what it makes: the same noise, or the same held-out data, each time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from aigc_cli.abilities import Samples, Writes
from aigc_cli.data.pack import Pack
from aigc_cli.files import atomic_write
from aigc_cli.inference.drawing import draw, progress
from aigc_cli.inference.held_out import some_of
from aigc_cli.interfaces import Model
from aigc_cli.next_step import verb_of
from aigc_cli.pictures.previews import default_columns, save_grid, stacked
from aigc_cli.pictures.rows import demonstration, showable, shown


@dataclass(frozen=True)
class Drawn:
    """Hold what was made."""

    pictures: np.ndarray | None = None  # (N, C, H, W); None of text
    columns: int = 0
    samples: Tensor | None = None  # as stored; None where they are not a model's own, or text
    labels: Tensor | None = None
    heard: Tensor | None = None  # of sounds, their waves
    texts: Sequence[str] = ()


@dataclass(frozen=True)
class Written:
    """Say what was written to a run's folder, for whoever shows it elsewhere."""

    name: str  # of the file, relative to the run
    page: Image | None = None
    text: str = ""
    heard: Tensor | None = None  # waves (N, channels, T)
    sample_rate: int = 0  # Hz


class Previews:
    """Draw a model's samples, or what it makes of held-out data, and write them to a run's folder."""

    def __init__(self, pack: Pack, folder: Path, *, n: int, seed: int, device: torch.device) -> None:
        self.pack, self.folder, self.n, self.seed, self.device = pack, folder, n, seed, device

    def draw(self, model: Model) -> Drawn | None:
        """Return what the model makes; None where nothing of it can be shown."""
        if isinstance(model, Writes) and self.pack.spec.text:
            from aigc_cli.texts.previews import written

            return Drawn(texts=written(model, self.pack, self.n, seed=self.seed, device=self.device))
        if verb_of(model) is None or not showable(self.pack.spec):
            return None
        return self._samples(model) if isinstance(model, Samples) else self._examples(model)

    def write(self, drawn: Drawn, step: int, about: dict[str, str]) -> Written:
        """Write a step's grid, of sounds a folder of them too, or its texts."""
        name = f"samples/step-{step:08d}"
        path = self.folder / name
        if drawn.pictures is None:
            text = "\n\n".join(drawn.texts) + "\n"
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path.with_suffix(".txt"), text.encode("utf-8", "replace"), durable=False)
            return Written(f"{name}.txt", text=text)
        page = save_grid(drawn.pictures, path.with_suffix(".png"), columns=drawn.columns, metadata=about)
        if drawn.heard is None or not self.pack.spec.sound:
            return Written(f"{name}.png", page)
        from aigc_cli.sounds.waveforms import write_waves

        names = None if drawn.labels is None else [self.pack.spec.class_names[label] for label in drawn.labels]
        rate = self.pack.spec.sound.sample_rate
        write_waves(drawn.heard, rate, path, names=names)
        return Written(f"{name}.png", page, heard=drawn.heard, sample_rate=rate)

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
        names = None if labels is None else [spec.class_names[label] for label in labels]
        return Drawn(drawn_waves(heard, spec.sound.sample_rate, names), columns, samples, labels, heard)

    def _examples(self, model: Model) -> Drawn:
        """Return what the model makes of the same held-out data each time."""
        columns = default_columns(self.n)
        x, labels = some_of(self.pack, max(columns, self.n // 3 // columns * columns), seed=self.seed)
        columns = min(columns, len(x))
        rows = demonstration(model, x, labels, seed=self.seed, device=self.device)
        return Drawn(stacked(rows, columns), columns)
