"""Compile the losses of a model's phases; modules stay as they are, and so do the names in checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from aigc_cli.errors import TrainingError
from aigc_cli.interfaces import Phase


def compiled(phases: Sequence[Phase]) -> tuple[Phase, ...]:
    """Return the phases with their losses compiled, at the first call, for the shapes that they then see."""
    return tuple(replace(phase, loss=torch.compile(phase.loss, dynamic=False)) for phase in phases)


def explained(error: Exception, trainer: Mapping[str, Any]) -> TrainingError | None:
    """Turn what the compiler cannot do into a line that says what to type; None for every other error."""
    if trainer["compile"] is not True:
        return None
    why = None
    if "double backward" in str(error):
        why = "the model takes gradients of gradients (a penalty), which compiled code does not have"
    elif type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        why = f"it failed ({type(error).__name__}; it needs a C++ compiler, and Triton on GPUs)"
    return TrainingError(f"trainer.compile: {why}. Type trainer.compile=false.") if why else None
