"""Find the trained model that another builds upon: model.first_stage=outputs/vqvae-mnist.

The path becomes the settings of the model it leads to, so that what is built, and every checkpoint of it, names that
model whole; its weights are loaded once and belong to the new checkpoints from then on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from aigc_cli.checkpoints import Checkpoint, fit, latest, resolve
from aigc_cli.checkpoints.finding import Warn
from aigc_cli.checkpoints.restoring import outlined, read_node, restore
from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import DataSpec

KEY = "first_stage"
WHERE = f"model.{KEY}"
PLACE = f"{KEY}.model"  # where models hold it: models/first_stage.py


@dataclass(frozen=True)
class Stage:
    """A first stage and the model that builds upon it."""

    node: dict[str, Any]  # the model's settings, those of its first stage in the path's place
    tensors: Mapping[str, Tensor] | None  # the first stage's; None where the run's own checkpoint has them
    where: str

    def load_into(self, model: nn.Module) -> None:
        """Give the first stage its trained weights."""
        if self.tensors is not None:
            fit(model.get_submodule(PLACE), self.tensors, self.where)


def open_first_stage(config: Mapping[str, Any], directory: Path, spec: DataSpec, warn: Warn) -> Stage | None:
    """Return the first stage that a run's config names; None where the model has none.

    A run that goes on keeps the one it began with, whatever has become of that since.
    """
    node = config["model"]
    if not isinstance(node.get(KEY), str):
        return None
    own = None if config["restart"] else latest(directory / "checkpoints", warn=warn)
    if own is not None:
        return Stage({**node, KEY: read_node(own)[KEY]}, None, str(own.path))
    checkpoint = _opened(node[KEY])
    model = restore(checkpoint, torch.device("cpu"))
    _refuse_other_data(model.spec, spec, node[KEY])
    return Stage({**node, KEY: dict(read_node(checkpoint))}, model.state_dict(), str(checkpoint.path))


def with_first_stage(node: Mapping[str, Any], spec: DataSpec | None = None) -> Mapping[str, Any]:
    """Return a model's settings with those of its first stage in the path's place; spec: data it must have learnt.

    What the checkpoint says of itself is checked as that of any other.
    """
    if not isinstance(node.get(KEY), str):
        return node
    checkpoint = _opened(node[KEY])
    stage = outlined(checkpoint)
    if spec is not None:
        _refuse_other_data(stage.spec, spec, node[KEY])
    return {**node, KEY: dict(read_node(checkpoint))}


def _opened(path: str) -> Checkpoint:
    if path == "???":
        raise ConfigError(f"{WHERE}: not set. Train one (aigc train model=vqvae), then type {WHERE}=outputs/NAME.")
    return resolve(Path(path).expanduser())


def _refuse_other_data(learnt: DataSpec, spec: DataSpec, path: str) -> None:
    """Refuse data of another shape than the first stage's; of labels it may know others, or none."""
    if (learnt.kind, learnt.shape, learnt.levels, learnt.sound) != (spec.kind, spec.shape, spec.levels, spec.sound):
        was, now = (f"{each.kind} {'x'.join(map(str, each.shape))} of {each.levels} levels" for each in (learnt, spec))
        raise ConfigError(f"{WHERE}: {path} has learnt {was}, but the data are {now}. Type its data= and data.size=.")
