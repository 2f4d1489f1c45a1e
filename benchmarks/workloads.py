"""Build aigc's trainer for a preset as `aigc train` does, without a run around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from aigc_cli.building import trainer_builder
from aigc_cli.composing.compose import compose
from aigc_cli.config import bind
from aigc_cli.devices import Device
from aigc_cli.interfaces import Batch, DataSpec
from aigc_cli.profiling.arithmetic import Products
from aigc_cli.trainer import Trainer


def trainer_for(overrides: Sequence[str], spec: DataSpec, device: Device) -> Trainer:
    """Return the trainer that these overrides describe; the same overrides give the same weights."""
    config: Mapping[str, Any] = compose("train", overrides).config
    torch.manual_seed(config["seed"])
    model = bind("models", config["model"], "model")(spec)
    return trainer_builder(model, config, config["steps"], device)()


def random_batch(spec: DataSpec, size: int, device: torch.device) -> Batch:
    """Return a batch of noise: what the values are does not change the time that a step takes."""
    generator = torch.Generator().manual_seed(0)
    lowest, shape = spec.lowest, (size, *spec.shape)
    x = torch.randint(lowest, lowest + spec.levels, shape, generator=generator, dtype=spec.dtype).to(device)
    return Batch(x, None, torch.zeros((), dtype=torch.int64, device=device))


def flops_of(work: Any) -> int:
    """Count the multiplications and additions of matrix products and convolutions in a call."""
    with Products() as products:
        work()
    return products.flops
