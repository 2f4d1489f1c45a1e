"""Measure a model while it trains, and remember which checkpoint was the best."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from aigc_cli.data.pack import Pack
from aigc_cli.errors import ConfigError
from aigc_cli.evaluating.evaluation import Evaluator, Wishes, applicable
from aigc_cli.evaluating.measures import MEASURES, is_better
from aigc_cli.files import atomic_write
from aigc_cli.interfaces import Model, Samples
from aigc_cli.pictures.previews import draw

if TYPE_CHECKING:
    from aigc_cli.trainer import Trainer

FILE = "best.json"


class Evaluation:
    """Draw samples as previews do, from their own seed, and measure them; training's randomness stays untouched."""

    def __init__(self, pack: Pack, model: Model, settings: Mapping[str, Any], device: torch.device, run: Path) -> None:
        if not isinstance(model, Samples):
            raise ConfigError("evaluate_every: this model draws no samples. Type evaluate_every=0.")
        features = settings["features"] or ("classifier" if pack.spec.classes else "pixels")
        metrics = tuple(settings["metrics"])
        if unfit := [group for group in metrics if group not in applicable(pack, model)]:
            raise ConfigError(f"evaluation.metrics: {unfit[0]} does not apply to this model and data. Leave it out.")
        if settings["best"] is not None and MEASURES[settings["best"]].group not in metrics:
            best, group = settings["best"], MEASURES[settings["best"]].group
            raise ConfigError(f"evaluation.best: {best} is not measured. Add {group} to evaluation.metrics.")
        wishes = Wishes(metrics, settings["n"], features, settings["weights"])
        self.evaluator, self.best, self.path = Evaluator(pack, wishes, device).prepare(), settings["best"], run / FILE
        self.value, self.step = self._read()

    def measure(self, trainer: Trainer) -> dict[str, float]:
        """Return the figures of the model as it samples."""
        return measure(self.evaluator, trainer)

    def improves(self, values: Mapping[str, float]) -> bool:
        """Tell whether the figure that counts is the best so far."""
        return self.best is not None and is_better(self.best, values[self.best], self.value)

    def remember(self, step: int, values: Mapping[str, float]) -> None:
        """Note that this step's checkpoint is the best."""
        assert self.best is not None
        self.value, self.step = values[self.best], step
        about = {"figure": self.best, "value": self.value, "step": step}
        atomic_write(self.path, json.dumps(about).encode(), durable=False)

    def _read(self) -> tuple[float | None, int | None]:
        """Return the best so far of a run that goes on; another figure begins afresh."""
        try:
            about = json.loads(self.path.read_text())
            return (about["value"], about["step"]) if about["figure"] == self.best else (None, None)
        except (OSError, ValueError, KeyError, TypeError):
            return None, None


def measure(evaluator: Evaluator, trainer: Trainer) -> dict[str, float]:
    """Return the figures of a trainer's model as it samples, by an evaluator's wishes."""
    n, classes = evaluator.wishes.n, trainer.model.spec.classes
    asked = torch.arange(n) % classes if trainer.model.conditional else None
    with trainer.sampling() as model:
        samples = draw(model, n, asked, seed=trainer.seed + 1, device=trainer.device.torch)  # type: ignore[arg-type]
        return {**evaluator.of_samples(samples, asked).values, **evaluator.of_model(model)}
