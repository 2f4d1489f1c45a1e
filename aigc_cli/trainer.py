"""Train any model: optimisers, precision, accumulation, clipping, averaging. It knows phases, never what they learn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer

from aigc_cli.abilities import Advances, Fits
from aigc_cli.averaging import WeightAverage, reestimate_batch_norm
from aigc_cli.captured import Pieces, Wanted, graphs_for
from aigc_cli.compiled import compiled
from aigc_cli.devices import Device
from aigc_cli.distributed import as_first_has, greatest, ranks
from aigc_cli.divergence import Losses
from aigc_cli.errors import CheckpointError
from aigc_cli.gradients import GradientSum
from aigc_cli.interfaces import Batch, Logs, Model, Phase, nothing
from aigc_cli.optimizers import load_state, make_capturable, portable_state, set_rate
from aigc_cli.ownership import described, owned
from aigc_cli.profiling.spans import BACKWARD, EXCHANGE, FORWARD, GRADIENT, OPTIMIZER, UNMEASURED, Span, unmeasured
from aigc_cli.randomness import mix, seed_default_generators

if TYPE_CHECKING:
    from aigc_cli.sharding import Shards


class Trainer:
    """Descend the losses of a model's phases, one step at a time; with other ranks, the mean of all their losses.

    A step's micro-batches are numbered over the ranks, and each draws its own noise: so one process that accumulates
    over four, and four processes that take one each, descend the same gradient.

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
        compile: Wanted,
        shard: bool = False,
    ) -> None:
        if channels_last and not shard:  # whose parts are flat
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  (torch's stubs forget it)
        self.model = model.to(device.torch).train()
        self.device, self.schedule = device, schedule
        self.seed, self.accumulate, self.clip = seed, accumulate, clip
        self.pieces = Pieces(None if shard else graphs_for(cuda_graph, device))
        self.average = WeightAverage(model, ema, fixed=device.torch if self.pieces.fixed else None) if ema else None
        self.shards = self._sharded(model) if shard else None
        self.phases = compiled(model.phases()) if compile is True else model.phases()
        self.parameters = owned(model, self.phases)
        self.optimizers = {name: optimizers[name](list(params.values())) for name, params in self.parameters.items()}
        self.rates = {name: [group["lr"] for group in o.param_groups] for name, o in self.optimizers.items()}
        scaler = partial(GradScaler, device.torch.type, enabled=device.precision == "fp16")
        self.scalers = {name: scaler() for name in self.optimizers}
        self.losses = Losses(self.scalers)
        for optimizer in self.optimizers.values() if self.pieces.fixed else ():
            make_capturable(optimizer)
        self.averaged = {p for name in model.generative for p in getattr(model, name).parameters()}
        self.advancing = [module for module in model.modules() if isinstance(module, Advances)]
        self.ranks = ranks()
        self.parts = self.ranks.world * accumulate  # micro-batches of a step
        together = self.phases if self.ranks.world > 1 and not shard else ()
        self.sums = {phase.name: GradientSum(phase.params) for phase in together}
        self.steps = 0
        self.span: Span = unmeasured  # a profile puts its own in here

    def step(self, batch: Batch) -> Logs:
        """Run the phases that are due. Nothing in here waits for the device."""
        self._set_rates()
        logs: Logs = {}
        with self.device.rounding_products(), self.pieces.step(batch) as given:
            batches = given.chunks(self.accumulate)
            if self.steps == 0:
                self._begin(batches[0])
            for order, phase in enumerate(self.phases):
                if (self.steps + 1) % phase.every == 0:
                    logs |= {f"{phase.name}/{key}": value for key, value in self._update(order, phase, batches).items()}
        self.steps += 1
        return logs

    @torch.no_grad()
    def _begin(self, batch: Batch) -> None:
        """Begin on all ranks with what the first one has: its weights, and what it learns from the first batch."""
        if isinstance(self.model, Fits) and self.ranks.first:
            self.model.fit(batch)
        as_first_has([*(() if self.shards else self.model.parameters()), *self.model.buffers()])

    def _sharded(self, model: Model) -> Shards:
        from aigc_cli.sharding import Shards  # few need it, and it takes a second to import

        return Shards(model, self.average.average if self.average else None, self.device.torch)

    def _update(self, order: int, phase: Phase, batches: list[Batch]) -> Logs:
        """Run the pieces of a phase; what is no part of them, seeds and rates, is set before each."""
        logs: list[Logs] = []
        for number, batch in enumerate(batches):
            self._seed(order, self.ranks.rank * self.accumulate + number)
            learn = partial(self._learn, phase, batch, first=number == 0, last=number == len(batches) - 1)
            with self._span(GRADIENT, of_piece=True):
                logs.append(self.pieces.run((phase.name, number), learn))
        if self.sums:
            with self.span(EXCHANGE):
                self.sums[phase.name].finish()
        averaging = self.average if not self.averaged.isdisjoint(phase.params) else None
        if averaging:
            averaging.advance()
        with self.span(OPTIMIZER):
            descend = partial(self._descend, phase, logs, averaging)
            means, applied = self.pieces.report((phase.name, "descent"), descend)
        self.losses.note(phase, self.steps + 1, means["loss"])
        # Reading `applied` waits for the device: only in fp16, and only for a phase with something to do afterwards.
        if phase.after is not nothing and (applied is None or bool(applied)):
            self._seed(order, self.parts)  # the same on all ranks
            with torch.no_grad():
                after = partial(phase.after, batches[-1])
                after() if self.sums else self.pieces.run((phase.name, "after"), after)  # where ranks talk
        return means

    def _learn(self, phase: Phase, batch: Batch, *, first: bool, last: bool) -> Logs:
        """Add a micro-batch's gradient."""
        name = phase.optimizer or phase.name
        if first:
            # What ranks exchange between two replays stays where it is.
            self.optimizers[name].zero_grad(set_to_none=not (self.sums and self.pieces.fixed))
            for module in self.advancing:
                module.advance()
        with self._span(FORWARD), self.device.autocast():
            loss, logs = phase.loss(batch)
        if self.sums and last and not self.pieces.fixed:
            self.sums[phase.name].arm()
        # Confined to the phase: others' parameters receive no gradient and cost none. Shards take the ranks' mean.
        parts, inputs = (self.accumulate, None) if self.shards else (self.parts, list(phase.params))
        with self._span(BACKWARD):
            self.scalers[name].scale(loss / parts).backward(inputs=inputs)
        return {key: value.detach() for key, value in {**logs, "loss": loss}.items()}

    def _span(self, name: str, *, of_piece: bool = False) -> AbstractContextManager[object]:
        """Measure a whole piece where it is replayed, since nothing within can be; else what it consists of."""
        return self.span(name) if of_piece == self.pieces.fixed else UNMEASURED

    def _seed(self, order: int, number: int) -> None:
        seed_default_generators(self.device.torch, mix(self.seed, self.steps, order, number))

    def _descend(self, phase: Phase, logs: list[Logs], averaging: WeightAverage | None) -> tuple[Logs, Tensor | None]:
        """Clip, step and average; return the logs' means, and whether the update was applied (0-d bool).

        None: nothing can skip it.
        """
        name, applied = phase.optimizer or phase.name, None
        optimizer, scaler = self.optimizers[name], self.scalers[name]
        means = {key: torch.stack([part[key] for part in logs]).mean(0) for key in logs[0]} if logs[1:] else logs[0]
        if self.clip is not None or scaler.is_enabled():
            scaler.unscale_(optimizer)
            norm = get_total_norm([p.grad for p in phase.params if p.grad is not None])
            means["gradient_norm"] = self.shards.number(norm) if self.shards else norm
            if self.clip is not None:
                clip_grads_with_norm_(phase.params, self.clip, norm)
            applied = torch.isfinite(norm) if scaler.is_enabled() else None
        scaler.step(optimizer)
        scaler.update()
        if averaging:
            averaging.update(applied)
        return means, applied

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
        with torch.random.fork_rng(devices), torch.no_grad(), self._lent() as model:
            if self.average:
                reestimate_batch_norm(model, self.device.torch)
            yield model

    @contextmanager
    def _lent(self) -> Iterator[Model]:
        if self.shards:
            with self.shards.sampler(self.steps) as model:
                yield model
            return
        try:
            with self.average.lent_to(self.model) if self.average else nullcontext():
                yield self.model.eval()
        finally:
            self.model.train()

    def gather(self, *, wanted: bool) -> None:
        """Where the model is in parts, bring them together on the first rank, if any wants it. Collective."""
        if self.shards and greatest([int(wanted)])[0]:
            self.shards.gather(self.steps, self._state())

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values only: what torch.load(weights_only=True) reads back."""
        return self.shards.state(self.steps) if self.shards else self._state()

    def _state(self) -> dict[str, Any]:
        rates = self._last_rates()
        return {
            "steps": self.steps,
            "model": self.model.state_dict(),
            "parameters": {name: described(params) for name, params in self.parameters.items()},
            "optimizers": {name: portable_state(o, rates[name]) for name, o in self.optimizers.items()},
            "scalers": {name: scaler.state_dict() for name, scaler in self.scalers.items()},
            "average": self.average.state_dict() if self.average else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from state_dict's values."""
        mine = {name: described(params) for name, params in self.parameters.items()}
        if state["parameters"] != mine:
            raise CheckpointError("trainer.pt: its optimisers are of another model (other names or shapes).")
        if (state["average"] is None) != (self.average is None):
            raise CheckpointError("trainer.pt: trainer.ema was switched since. Type restart=true to start afresh.")
        if self.shards:
            state = self.shards.cut(state, self._state(), self.optimizers)
        self.model.load_state_dict(state["model"])
        for name, optimizer in self.optimizers.items():
            load_state(optimizer, state["optimizers"][name])
            self.scalers[name].load_state_dict(state["scalers"][name])
        if self.average:
            self.average.load_state_dict(state["average"])
        self.steps = state["steps"]
        self.pieces.forget()
