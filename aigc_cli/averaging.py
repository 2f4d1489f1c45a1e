"""The exponential moving average of the weights that sampling uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel

from aigc_cli.abilities import Samples
from aigc_cli.interfaces import Model

REESTIMATION_BATCHES, REESTIMATION_SIZE = 8, 64


class WeightAverage:
    """Keep an average of a model's generative submodules: average += (1 - decay) * (weights - average).

    The decay ramps up as min(decay, (1 + n) / (10 + n)) over the first updates: short runs forget their start.
    """

    def __init__(self, model: Model, decay: float, *, fixed: torch.device | None = None) -> None:
        """fixed: where the rate of an update lies, for steps that are replayed without their Python."""
        self.decay = decay
        self.updates = 0
        self._rate: float | Tensor = 1.0 if fixed is None else torch.ones((), device=fixed)
        self._source = nn.ModuleDict({name: getattr(model, name) for name in model.generative})
        self.average = AveragedModel(self._source, use_buffers=False)

    def advance(self) -> None:
        """Set the rate of the next update."""
        rate = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.updates else 1.0
        if isinstance(self._rate, Tensor):
            self._rate.fill_(rate)
        else:
            self._rate = rate
        self.updates += 1

    @torch.no_grad()
    def update(self, applied: Tensor | None = None) -> None:
        """Move the average; `applied` (0-d bool on the device) masks an update that loss scaling skipped."""
        # Not AveragedModel.update_parameters: it reads its counter back from the device at every call.
        averages: list[Tensor] = list(self.average.module.parameters())
        weights: list[Tensor] = list(self._source.parameters())
        if applied is None and not isinstance(self._rate, Tensor):
            torch._foreach_lerp_(averages, weights, self._rate)
        else:  # no fused kernel interpolates by a tensor
            difference = torch._foreach_sub(weights, averages)
            torch._foreach_mul_(difference, self._rate if applied is None else applied * self._rate)
            torch._foreach_add_(averages, difference)
        for averaged, buffer in zip(self.average.module.buffers(), self._source.buffers(), strict=True):
            averaged.copy_(buffer)

    @contextmanager
    def lent_to(self, model: Model) -> Iterator[None]:
        """Put the averaged submodules in the model's place of its own for a while."""
        own = {name: getattr(model, name) for name in model.generative}
        averaged: nn.Module = self.average.module
        for name in own:
            setattr(model, name, averaged[name])  # type: ignore[index]
        try:
            yield
        finally:
            for name, module in own.items():
                setattr(model, name, module)

    def state_dict(self) -> dict:
        return {"average": self.average.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict) -> None:
        self.average.load_state_dict(state["average"])
        self.updates = state["updates"]


@torch.no_grad()
def reestimate_batch_norm(model: Model, device: torch.device) -> None:
    """Fit the batch statistics to averaged weights, which have their own, by sampling in training mode."""
    if not isinstance(model, Samples):
        return
    modules = [module for name in model.generative for module in getattr(model, name).modules()]
    norms = [module for module in modules if isinstance(module, _BatchNorm)]
    generator = torch.Generator(device).manual_seed(0)
    norms = _visited(model, norms, generator)  # an encoder's, which sampling passes by, keep the statistics they have
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative mean over all the batches
        norm.train()
    try:
        for _ in range(REESTIMATION_BATCHES if norms else 0):
            model.sample(REESTIMATION_SIZE, _labels(model, generator), generator=generator)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()


def _visited(model: Model, norms: list[_BatchNorm], generator: torch.Generator) -> list[_BatchNorm]:
    """Return those of the norms that sampling passes through."""
    if not norms:
        return []
    visited: set[nn.Module] = set()
    hooks = [norm.register_forward_pre_hook(lambda module, _: visited.add(module)) for norm in norms]
    try:
        model.sample(2, _labels(model, generator, 2), generator=generator)  # type: ignore[operator]
    finally:
        for hook in hooks:
            hook.remove()
    return [norm for norm in norms if norm in visited]


def _labels(model: Model, generator: torch.Generator, n: int = REESTIMATION_SIZE) -> Tensor | None:
    if not model.conditional:
        return None
    return torch.randint(model.spec.classes, (n,), generator=generator, device=generator.device)
