"""Build the trainer that a composed config describes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from aigc_cli.config import bind
from aigc_cli.devices import Device
from aigc_cli.distributed import ranks
from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Model
from aigc_cli.trainer import Trainer


def trainer_builder(model: Model, config: Mapping[str, Any], total: int, device: Device) -> partial[Trainer]:
    """Check every setting of the optimisers, schedule and trainer against the model's phases; return what builds it."""
    node = {key: value for key, value in config["optimizer"].items() if key != "phases"}
    overrides = config["optimizer"]["phases"]
    names = [phase.optimizer or phase.name for phase in model.phases()]
    for unknown in set(overrides) - set(names):
        known = ", ".join(dict.fromkeys(names))
        raise ConfigError(f"optimizer.phases.{unknown}: this model has no such phase. Phases: {known}.")
    nodes = {name: {**node, **overrides.get(name, {})} for name in names}
    optimizers = {name: bind("optimizers", settings, f"optimizer.phases.{name}") for name, settings in nodes.items()}
    for build in optimizers.values():  # what their signatures cannot say, before anything is written
        build([torch.nn.Parameter(torch.zeros(1))])
    factor = bind("schedules", config["schedule"], "schedule")
    parts, size = config["trainer"]["accumulate"] * ranks().world, config["batch_size"]
    if size == parts and any(isinstance(module, _BatchNorm) for module in model.modules()):
        raise ConfigError(f"batch_size: batch norm needs two samples a part. Type batch_size={2 * size}.")
    settings = {key: value for key, value in config["trainer"].items() if key != "deterministic"}
    settings |= {"seed": config["seed"], "shard": _in_parts(config, device)}
    return partial(Trainer, model, optimizers, lambda step: factor(step, total), device, **settings)


def _in_parts(config: Mapping[str, Any], device: Device) -> bool:
    """Tell whether the model is to be split over the ranks."""
    if not config["ranks"]["shard"] or ranks().world == 1:  # one rank holds all of it anyway
        return False
    if device.precision == "fp16":
        raise ConfigError("ranks.shard: loss scaling (fp16) does not go with it. Type precision=bf16.")
    if config["trainer"]["compile"] is True:
        raise ConfigError("ranks.shard: compiled losses do not go with it. Type trainer.compile=false.")
    return True
