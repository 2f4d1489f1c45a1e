"""Train any model: optimisers, precision, accumulation, clipping, averaging. It knows phases, never what they learn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer

from aigc_cli.averaging import WeightAverage, reestimate_batch_norm
from aigc_cli.captured import Pieces, Wanted, graphs_for
from aigc_cli.devices import Device
from aigc_cli.errors import CheckpointError, ConfigError, TrainingError
from aigc_cli.interfaces import Batch, Logs, Model, Phase, nothing
from aigc_cli.optimizers import load_state, make_capturable, portable_state, set_rate
from aigc_cli.randomness import mix, seed_default_generators

SMALLEST_SCALE = 2.0**-10  # a loss scale below this: fp16 overflows in the forward pass, where scaling cannot help


class Diverged(TrainingError):  # noqa: N818 (it names what happened)
    """Report the phase and step whose loss first was not a finite number."""

    def __init__(self, phase: str, step: int) -> None:
        super().__init__(f"phase '{phase}': the loss stopped being a finite number at step {step}.")
        self.phase, self.step = phase, step


class Trainer:
    """Descend the losses of a model's phases, one step at a time.

    optimizers: phase name -> what builds its optimiser from parameters. schedule: step -> factor of the learning rate.
    """

    def __init__(
        self,
        model: Model,
        optimizers: Mapping[str, Callable[[Sequence[nn.Parameter]], Optimizer]],
        schedule: Callable[[int], float],
        device: Device,
        *,
        seed: int,
        accumulate: int,
        clip: float | None,
        ema: float,
        channels_last: bool,
        cuda_graph: Wanted,
    ) -> None:
        if channels_last:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  (torch's stubs forget it)
        self.model = model.to(device.torch).train()
        self.device, self.schedule = device, schedule
        self.seed, self.accumulate, self.clip = seed, accumulate, clip
        self.phases = model.phases()
        self.parameters = _owned(model, self.phases)
        self.optimizers = {name: optimizers[name](list(params.values())) for name, params in self.parameters.items()}
        self.rates = {name: [group["lr"] for group in o.param_groups] for name, o in self.optimizers.items()}
        scaling = device.precision == "fp16"
        self.scalers = {name: GradScaler(device.torch.type, enabled=scaling) for name in self.optimizers}
        self.pieces = Pieces(graphs_for(cuda_graph, device), required=cuda_graph is True)
        if self.pieces.fixed:
            for optimizer in self.optimizers.values():
                make_capturable(optimizer)
        self.average = WeightAverage(model, ema, fixed=device.torch if self.pieces.fixed else None) if ema else None
        self.averaged = {p for name in model.generative for p in getattr(model, name).parameters()}
        self.steps = 0
        self.unchecked: list[tuple[Phase, int, Tensor]] = []  # losses that nobody has read yet: on the device

    def step(self, batch: Batch) -> Logs:
        """Run the phases that are due. Nothing in here waits for the device."""
        self._set_rates()
        logs: Logs = {}
        with self.pieces.step(batch) as given:
            batches = _split(given, self.accumulate)
            for order, phase in enumerate(self.phases):
                if (self.steps + 1) % phase.every == 0:
                    logs |= {f"{phase.name}/{key}": value for key, value in self._update(order, phase, batches).items()}
        self.steps += 1
        return logs

    def _update(self, order: int, phase: Phase, batches: list[Batch]) -> Logs:
        """Run the pieces of a phase: what is not in them, seeds and rates, is set before each."""
        logs: list[Logs] = []
        for number, batch in enumerate(batches):
            seed_default_generators(self.device.torch, mix(self.seed, self.steps, order, number))
            learn = partial(self._learn, phase, batch, first=number == 0, parts=len(batches))
            logs.append(self.pieces.run((phase.name, number), learn))
        averaging = self.average if not self.averaged.isdisjoint(phase.params) else None
        if averaging:
            averaging.advance()
        descend = partial(self._descend, phase, logs, batches[-1], averaging)
        means = self.pieces.report((phase.name, "descent"), descend)
        self.unchecked.append((phase, self.steps + 1, means["loss"]))
        return means

    def _learn(self, phase: Phase, batch: Batch, *, first: bool, parts: int) -> Logs:
        """Add a micro-batch's gradient."""
        name = phase.optimizer or phase.name
        if first:
            self.optimizers[name].zero_grad(set_to_none=True)
        with self.device.autocast():
            loss, logs = phase.loss(batch)
        # Confined to the phase: other phases' parameters receive no gradient and cost none.
        self.scalers[name].scale(loss / parts).backward(inputs=list(phase.params))
        return {key: value.detach() for key, value in {**logs, "loss": loss}.items()}

    def _descend(self, phase: Phase, logs: list[Logs], batch: Batch, averaging: WeightAverage | None) -> Logs:
        """Move the parameters by the gradients that were gathered, and what follows them; return the logs' means."""
        means = {key: torch.stack([part[key] for part in logs]).mean(0) for key in logs[0]} if logs[1:] else logs[0]
        applied = self._apply(phase, means)
        if averaging:
            averaging.update(applied)
        # Reading `applied` waits for the device: only in fp16, and only for a phase with something to do afterwards.
        if phase.after is not nothing and (applied is None or bool(applied)):
            with torch.no_grad():
                phase.after(batch)
        return means

    def _apply(self, phase: Phase, logs: Logs) -> Tensor | None:
        """Clip and step; return whether the update was applied (0-d bool), or None where nothing can skip it."""
        name = phase.optimizer or phase.name
        optimizer, scaler = self.optimizers[name], self.scalers[name]
        applied = None
        if self.clip is not None or scaler.is_enabled():
            scaler.unscale_(optimizer)
            norm = get_total_norm([p.grad for p in phase.params if p.grad is not None])
            logs["gradient_norm"] = norm
            if self.clip is not None:
                clip_grads_with_norm_(phase.params, self.clip, norm)
            applied = torch.isfinite(norm) if scaler.is_enabled() else None
        scaler.step(optimizer)
        scaler.update()
        return applied

    def check(self) -> None:
        """Raise Diverged if a loss was not finite; waits for the device, so call it at the log interval only."""
        unchecked, self.unchecked = self.unchecked, []
        finite = torch.stack([loss for *_, loss in unchecked]).isfinite().tolist() if unchecked else []
        for (phase, step, _), good in zip(unchecked, finite, strict=True):
            scaler = self.scalers[phase.optimizer or phase.name]
            # Loss scaling skipped such an update and adapts, unless there is nothing left to adapt.
            if not good and not (scaler.is_enabled() and scaler.get_scale() > SMALLEST_SCALE):
                raise Diverged(phase.name, step)

    def _set_rates(self) -> None:
        factor = self.schedule(self.steps)
        for name, optimizer in self.optimizers.items():
            for group, rate in zip(optimizer.param_groups, self.rates[name], strict=True):
                set_rate(group, rate * factor)

    def learning_rate(self) -> float:
        """Return the rate of the first phase's last step."""
        return next(iter(self._last_rates().values()))[0]

    def _last_rates(self) -> dict[str, list[float]]:
        factor = self.schedule(self.steps - 1) if self.steps else 1.0
        return {name: [rate * factor for rate in rates] for name, rates in self.rates.items()}

    @contextmanager
    def sampling(self) -> Iterator[Model]:
        """Lend the model as it samples: averaged weights, evaluation mode; training's randomness stays untouched."""
        devices = [self.device.torch] if self.device.torch.type == "cuda" else []
        self.model.eval()
        try:
            with torch.random.fork_rng(devices), torch.no_grad():
                if self.average is None:
                    yield self.model
                else:
                    with self.average.lent_to(self.model):
                        reestimate_batch_norm(self.model.eval(), self.device.torch)
                        yield self.model
        finally:
            self.model.train()

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values only: what torch.load(weights_only=True) reads back."""
        rates = self._last_rates()
        return {
            "steps": self.steps,
            "model": self.model.state_dict(),
            "parameters": {name: _described(params) for name, params in self.parameters.items()},
            "optimizers": {name: portable_state(o, rates[name]) for name, o in self.optimizers.items()},
            "scalers": {name: scaler.state_dict() for name, scaler in self.scalers.items()},
            "average": self.average.state_dict() if self.average else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from state_dict's values."""
        mine = {name: _described(params) for name, params in self.parameters.items()}
        if state["parameters"] != mine:
            raise CheckpointError("trainer.pt: its optimisers are of another model (other names or shapes).")
        if (state["average"] is None) != (self.average is None):
            raise CheckpointError("trainer.pt: trainer.ema was switched since. Type restart=true to start afresh.")
        self.model.load_state_dict(state["model"])
        for name, optimizer in self.optimizers.items():
            load_state(optimizer, state["optimizers"][name])
            self.scalers[name].load_state_dict(state["scalers"][name])
        if self.average:
            self.average.load_state_dict(state["average"])
        self.steps = state["steps"]
        self.pieces.forget()


def _owned(model: nn.Module, phases: Sequence[Phase]) -> dict[str, dict[str, nn.Parameter]]:
    """Group the trainable parameters by optimiser, each in exactly one."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    owned: dict[str, dict[str, nn.Parameter]] = {}
    for phase in phases:
        owned.setdefault(phase.optimizer or phase.name, {}).update({names[p]: p for p in phase.params})
    listed = [name for params in owned.values() for name in params]
    trainable = [name for name, p in model.named_parameters() if p.requires_grad]
    assert sorted(listed) == sorted(trainable), "every trainable parameter belongs to exactly one optimiser"
    return owned


def _described(params: Mapping[str, nn.Parameter]) -> list[list[Any]]:
    return [[name, list(p.shape)] for name, p in params.items()]


def _split(batch: Batch, parts: int) -> list[Batch]:
    """Cut a batch into equal micro-batches."""
    if parts == 1:
        return [batch]
    if len(batch.x) % parts:
        raise ConfigError(
            f"trainer.accumulate: batch_size={len(batch.x)} does not divide into {parts} equal parts. "
            f"Type batch_size={len(batch.x) // parts * parts or parts}."
        )
    conditions = batch.condition.chunk(parts) if batch.condition is not None else [None] * parts
    return [Batch(x, condition, batch.step) for x, condition in zip(batch.x.chunk(parts), conditions, strict=True)]
