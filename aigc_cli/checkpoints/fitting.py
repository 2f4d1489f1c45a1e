"""Load weights into a module, and say in the user's words why they do not fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from aigc_cli.errors import CheckpointError
from aigc_cli.runs.settings import differing, plain

SHOWN = 10  # mismatches worth reading; the rest repeat them


def fit(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    where: str,
    *,
    stored: Mapping[str, Any] | None = None,
    current: Mapping[str, Any] | None = None,
) -> None:
    """Load every tensor or raise; stored and current configs name the setting that differs first.

    Nothing is loaded unless all fits. A module on the meta device is compared only.
    """
    problems = mismatches(module, tensors)
    if problems:
        settings = _settings_that_differ(stored or {}, current or {})
        more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        listed = "; ".join(problems[:SHOWN]) + more
        raise CheckpointError(f"{where} is of another model. {settings}Weights: {listed}.")
    if not any(value.is_meta for value in module.state_dict().values()):
        module.load_state_dict(dict(tensors), strict=True)


def fit_partly(module: nn.Module, tensors: Mapping[str, Tensor]) -> list[str]:
    """Load what fits by name and shape; return one line for each that does not."""
    here = module.state_dict()
    fitting = {name: tensor for name, tensor in tensors.items() if name in here and tensor.shape == here[name].shape}
    if not fitting:
        raise CheckpointError("init: none of these weights fits this model. Check model= and its networks' sizes.")
    module.load_state_dict(fitting, strict=False)
    return mismatches(module, tensors)


def mismatches(module: nn.Module, tensors: Mapping[str, Tensor]) -> list[str]:
    """List names and shapes that differ between a module and tensors."""
    here = module.state_dict()
    lines = []
    for name in [*here, *(name for name in tensors if name not in here)]:
        if name not in tensors:
            lines.append(f"{name} is missing in the checkpoint")
        elif name not in here:
            lines.append(f"{name} is in the checkpoint only")
        elif here[name].shape != tensors[name].shape:
            lines.append(f"{name} is {_shape(tensors[name])} in the checkpoint, {_shape(here[name])} here")
    return lines


def _settings_that_differ(stored: Mapping[str, Any], current: Mapping[str, Any]) -> str:
    """Name the settings of model and data that differ; the others cannot change a shape."""
    changes = {path: pair for path, pair in differing(stored, current).items() if path.startswith(("model", "data"))}
    if not changes or not stored or not current:
        return ""
    listed = [f"{path} was {plain(old)}, is {plain(new)}" for path, (old, new) in changes.items()]
    return f"Settings that differ: {'; '.join(listed[:SHOWN])}. "


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"
