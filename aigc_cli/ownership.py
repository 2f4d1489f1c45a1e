"""Say which optimiser moves which parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from aigc_cli.interfaces import Phase


def owned(model: nn.Module, phases: Sequence[Phase]) -> dict[str, dict[str, nn.Parameter]]:
    """Group the trainable parameters by optimiser, each in exactly one."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    parameters: dict[str, dict[str, nn.Parameter]] = {}
    for phase in phases:
        parameters.setdefault(phase.optimizer or phase.name, {}).update({names[p]: p for p in phase.params})
    listed = [name for params in parameters.values() for name in params]
    trainable = [name for name, p in model.named_parameters() if p.requires_grad]
    assert sorted(listed) == sorted(trainable), "every trainable parameter belongs to exactly one optimiser"
    return parameters


def described(params: Mapping[str, nn.Parameter]) -> list[list[Any]]:
    """Return names and shapes, to recognise another model's state by."""
    return [[name, list(p.shape)] for name, p in params.items()]
