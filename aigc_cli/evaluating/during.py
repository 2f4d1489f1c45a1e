"""Measure a model while it trains, and remember which checkpoint was the best."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from aigc_cli.abilities import Bounds, Samples, Transforms
from aigc_cli.data.pack import Pack
from aigc_cli.errors import ConfigError
from aigc_cli.evaluating.applicable import applicable, features_for, too_slow_for_notes
from aigc_cli.evaluating.choosing import evaluator_of
from aigc_cli.evaluating.evaluation import Evaluator
from aigc_cli.evaluating.measures import MEASURES, OF_SAMPLES, is_better
from aigc_cli.evaluating.of_text import TextEvaluator
from aigc_cli.evaluating.wishes import Wishes
from aigc_cli.files import atomic_write
from aigc_cli.inference.drawing import draw, progress
from aigc_cli.interfaces import Model
from aigc_cli.sounds.seen import made_of_spectrograms

if TYPE_CHECKING:
    from aigc_cli.trainer import Trainer

FILE = "best.json"
OBJECTIVE_SAMPLES = 256  # that the sliced Wasserstein distance is measured of, where jobs are compared by it
ALIKE = ("features", "weights", "n", "metrics")  # settings that must agree for two figures to compare


class Evaluation:
    """Draw samples as previews do, from their own seed, and measure them; training's randomness stays untouched."""

    def __init__(
        self, pack: Pack, model: Model, settings: Mapping[str, Any], device: torch.device, run: Path, *, fresh: bool
    ) -> None:
        metrics, best, fitting = tuple(settings["metrics"]), settings["best"], applicable(pack, model)
        if unfit := [group for group in metrics if group not in fitting]:
            way = _fitting_settings(fitting, best, model) if fitting else "evaluate_every=0"
            why = too_slow_for_notes(pack.spec) if unfit[0] == "pitch" else ""
            what = why or f"{unfit[0]} does not apply to this model and data"
            raise ConfigError(f"evaluation.metrics: {what}. Type {way}.")
        if best is not None and best not in (known := produced(metrics, model)):
            raise ConfigError(f"evaluation.best: {best} is not measured. Allowed: {', '.join(known)}.")
        self.evaluator = evaluator_of(pack, wishes_of(settings, pack, metrics), device).prepare()
        self.best, self.path = best, run / FILE
        self.about = {"figure": best, "data": pack.fingerprint, **{key: settings[key] for key in ALIKE}}
        self.value, self.step = (None, None) if fresh else self._read()

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
        try:
            text = json.dumps({**self.about, "value": self.value, "step": step})
            atomic_write(self.path, text.encode(), durable=False)
        except OSError as error:
            print(f"aigc: {self.path} cannot be written ({error.strerror}); training goes on.", file=sys.stderr)

    def _read(self) -> tuple[float | None, int | None]:
        """Return the best so far of a run that goes on; figures that were measured otherwise do not count."""
        try:
            about = json.loads(self.path.read_text())
            alike = all(about[key] == value for key, value in self.about.items())
            return (about["value"], about["step"]) if alike else (None, None)
        except (OSError, ValueError, KeyError, TypeError):
            return None, None


def _fitting_settings(fitting: Sequence[str], best: str | None, model: Model) -> str:
    """Return the settings that measure what applies; evaluation.best among them, where it is to be another."""
    offered = fitting[:1] if model.spec.text else fitting[:2]
    typed, known = f"evaluation.metrics=[{','.join(offered)}]", produced(offered, model)
    if best is None or best in known:
        return typed
    return f"{typed} evaluation.best={offered[0] if offered[0] in known else known[0]}"


def evaluator_at_end(
    figure: str, pack: Pack, model: Model, settings: Mapping[str, Any], device: torch.device
) -> Evaluator | TextEvaluator:
    """Open what measures one figure when training ends; ConfigError where this model and data do not give it."""
    fitting = applicable(pack, model)
    if (group := MEASURES[figure].group) not in fitting or figure not in produced([group], model):
        if not fitting or not (pack.spec.text or isinstance(model, Samples)):
            raise ConfigError("objective: this model draws no samples to compare. Type objective=null.")
        way = "nats_per_symbol" if "perplexity" in fitting else "sliced_wasserstein"
        raise ConfigError(f"objective: {figure} does not apply to this model and data. Type objective={way}.")
    n = OBJECTIVE_SAMPLES if figure == "sliced_wasserstein" else settings["n"]
    wishes = wishes_of(settings, pack, [group], min(n, pack.counts["test"]))
    return evaluator_of(pack, wishes, device).prepare()


def produced(metrics: Sequence[str], model: Model) -> list[str]:
    """Return the figures that these groups give for a model."""
    known = [name for name, measure in MEASURES.items() if measure.group in metrics]
    bounds = model.bound_names if isinstance(model, Bounds) else ()
    without = set() if model.conditional else {"agreement", "heard"}
    without |= set() if made_of_spectrograms(model.spec) else {"heard"}
    without |= {"psnr", "ssim", "given_psnr", "given_ssim"} if model.spec.kind == "audio" else {"snr", "given_snr"}
    without |= set() if isinstance(model, Transforms) else {"given_psnr", "given_ssim", "given_snr"}
    return [name for name in known if name not in without and (MEASURES[name].group != "likelihood" or name in bounds)]


def wishes_of(settings: Mapping[str, Any], pack: Pack, metrics: Sequence[str], n: int | None = None) -> Wishes:
    """Return what the settings under `evaluation` ask for."""
    features = features_for(settings["features"], pack)
    return Wishes(tuple(metrics), n or settings["n"], features, settings["weights"])


def measure(evaluator: Evaluator | TextEvaluator, trainer: Trainer) -> dict[str, float]:
    """Return the figures of a trainer's model as it samples, by an evaluator's wishes."""
    n, classes = evaluator.wishes.n, trainer.model.spec.classes
    asked = torch.arange(n) % classes if trainer.model.conditional else None
    with trainer.sampling() as model:
        values = evaluator.of_model(model).values
        if set(evaluator.wishes.metrics) & set(OF_SAMPLES) and isinstance(model, Samples):
            with progress(model, "samples to measure"):
                samples = draw(model, n, asked, seed=trainer.seed + 1, device=trainer.device.torch)
            values = {**evaluator.of_samples(samples, asked).values, **values}
        return values
