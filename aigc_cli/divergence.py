"""Notice a loss that is no finite number, without waiting for the device until somebody asks."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.amp.grad_scaler import GradScaler

from aigc_cli.distributed import summed
from aigc_cli.errors import TrainingError
from aigc_cli.interfaces import Phase

SMALLEST_SCALE = 2.0**-10  # a loss scale below this: fp16 overflows in the forward pass, where scaling cannot help


class Diverged(TrainingError):  # noqa: N818 (it names what happened)
    """Report the phase and step whose loss first was not a finite number."""

    of_all_ranks = True

    def __init__(self, phase: str, step: int) -> None:
        super().__init__(f"phase '{phase}': the loss stopped being a finite number at step {step}.")
        self.phase, self.step = phase, step


class Losses:
    """Keep the losses that nobody has looked at yet, on the device."""

    def __init__(self, scalers: Mapping[str, GradScaler]) -> None:
        self._scalers = scalers
        self._unchecked: list[tuple[Phase, int, Tensor]] = []

    def note(self, phase: Phase, step: int, loss: Tensor) -> None:
        """Keep a loss (0-d) for the next check."""
        self._unchecked.append((phase, step, loss))

    def check(self, *, alone: bool = False) -> None:
        """Raise Diverged if a loss was not finite, of any rank; waits for the device: call it at the log interval only.

        alone: look at this rank's losses, and leave them to the next check of all ranks.
        """
        if not self._unchecked:
            return
        bad = (~torch.stack([loss for *_, loss in self._unchecked]).isfinite()).float()
        for (phase, step, _), count in zip(self._unchecked, (bad if alone else summed(bad)).tolist(), strict=True):
            scaler = self._scalers[phase.optimizer or phase.name]
            # Loss scaling skipped such an update and adapts, unless there is nothing left to adapt.
            if count and not (scaler.is_enabled() and scaler.get_scale() > SMALLEST_SCALE):
                raise Diverged(phase.name, step)
        if not alone:
            self._unchecked = []
