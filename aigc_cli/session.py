"""Set a run up: device, data, model, trainer; resume it or start it; leave a summary however it ends."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from aigc_cli import __version__, checkpoints
from aigc_cli.config import bind
from aigc_cli.data.pack import Pack, advice, open_data
from aigc_cli.data.tensor_data import TensorData
from aigc_cli.devices import Device, choose, slow_bf16
from aigc_cli.errors import ConfigError, TrainingError
from aigc_cli.interfaces import Model
from aigc_cli.loop import Loop
from aigc_cli.recorder import Recorder, open_board
from aigc_cli.runs import Run
from aigc_cli.stopping import StopRequest
from aigc_cli.trainer import Trainer

if TYPE_CHECKING:
    from aigc_cli.composing.compose import Composed

Config = Mapping[str, Any]
OBJECTIVE_SAMPLES = 256


@dataclass(frozen=True)
class Outcome:
    """Say how a run ended."""

    status: str  # "finished" or "stopped"
    step: int
    minutes: float
    objective: float | None
    grid: str | None
    exit_code: int


def start(composed: Composed, directory: Path) -> Outcome:
    """Train; nothing is written to the run's folder before data, model and settings are known to fit each other."""
    config = composed.config
    device = choose(config["device"], config["precision"], deterministic=config["trainer"]["deterministic"])
    if slow_bf16(device):
        warn("precision=bf16: this CPU has no bf16 instructions; expect it to be many times slower than fp32.")
    pack = open_data(config["data"])
    batch_size, seed = config["batch_size"], config["seed"]
    augment = config["data"]["augment"]
    data = TensorData(pack, batch_size=batch_size, seed=seed, device=device.torch, augment=augment)
    total = config["steps"] if config["epochs"] is None else max(1, round(config["epochs"] * data.batches_per_epoch))
    torch.manual_seed(seed)
    model: Model = bind("models", config["model"], "model")(pack.spec)
    trainer_of = _trainer_builder(model, config, total, device)
    source = checkpoints.resolve(Path(config["init"])) if config["init"] else None
    frozen = _frozen(config["schedule"]["name"])
    opened = Run.open(composed, directory, restart=config["restart"], frozen=frozen, warn=warn)
    with opened as run, StopRequest() as stop:
        newest = checkpoints.latest(run.checkpoints, warn=warn)
        if newest is None and source:
            _initialise(model, source)
        trainer = trainer_of()
        minutes = _resume(trainer, newest)
        run.rewind(trainer.steps)
        meta = {"aigc": __version__, "spec": pack.spec.to_dict(), "config": config, "choices": dict(composed.choices)}
        wanted = config["preview"]["tensorboard"]
        board = open_board(directory / "tensorboard", first_step=trainer.steps) if wanted else None
        loop = Loop(
            trainer, data, run, Recorder(run.log, board), meta, total, config["max_minutes"], config["log_every"],
            config["preview"], config["checkpoint"], minutes=minutes, newest=newest,
        )  # fmt: skip
        _announce(composed, directory, pack, model, device, trainer.steps, total)
        return _train(loop, run, stop, pack, config["objective"])


def _train(loop: Loop, run: Run, stop: StopRequest, pack: Pack, objective: str | None) -> Outcome:
    run.summarise("running", step=loop.trainer.steps, minutes=loop.minutes)
    try:
        status = loop.train(stop)
        figure = _objective(loop.trainer, pack) if status == "finished" and objective else None
    except (TrainingError, torch.OutOfMemoryError, RuntimeError) as error:
        explained = _explained(error, loop)
        run.summarise("failed", step=loop.trainer.steps, minutes=loop.elapsed(), error=str(explained), grid=loop.grid)
        if explained is error:
            raise
        raise explained from error
    step, minutes = loop.trainer.steps, loop.elapsed()
    run.summarise(status, step=step, minutes=minutes, objective=figure, grid=loop.grid)
    if loop.recorder.board:
        loop.recorder.board.close()
    return Outcome(status, step, minutes, figure, loop.grid, stop.exit_code)


def _trainer_builder(model: Model, config: Config, total: int, device: Device) -> partial[Trainer]:
    """Check every setting of the optimisers, schedule and trainer against the model's phases."""
    node = {key: value for key, value in config["optimizer"].items() if key != "phases"}
    overrides = config["optimizer"]["phases"]
    names = [phase.optimizer or phase.name for phase in model.phases()]
    for unknown in set(overrides) - set(names):
        known = ", ".join(dict.fromkeys(names))
        raise ConfigError(f"optimizer.phases.{unknown}: this model has no such phase. Phases: {known}.")
    nodes = {name: {**node, **overrides.get(name, {})} for name in names}
    optimizers = {name: bind("optimizers", settings, f"optimizer.phases.{name}") for name, settings in nodes.items()}
    factor = bind("schedules", config["schedule"], "schedule")
    parts, size = config["trainer"]["accumulate"], config["batch_size"]
    if size % parts:
        near = -(-size // parts) * parts
        raise ConfigError(f"trainer.accumulate: {parts} does not divide batch_size={size}. Type batch_size={near}.")
    settings = {key: value for key, value in config["trainer"].items() if key != "deterministic"}
    settings["seed"] = config["seed"]
    return partial(Trainer, model, optimizers, lambda step: factor(step, total), device, **settings)


def _frozen(schedule: str) -> dict[str, str]:
    """Say why the length of a run may not change once its learning rate falls over it."""
    if schedule == "constant":
        return {}
    reason = f"the {schedule} schedule falls over them: init=<this run> name=<another> trains on from its weights"
    return {"steps": reason, "epochs": reason}


def _resume(trainer: Trainer, newest: checkpoints.Checkpoint | None) -> float:
    """Load the newest good checkpoint, if any, and return the minutes trained before."""
    if newest is None:
        return 0.0
    state = newest.state()
    trainer.load_state_dict(state["trainer"])
    return state["minutes"]


def _initialise(model: Model, source: checkpoints.Checkpoint) -> None:
    for line in checkpoints.fit_partly(model, source.tensors()):
        warn(f"init: {line}")
    say(f"weights from {source.path} (step {source.step:,})")


def _objective(trainer: Trainer, pack: Pack) -> float:
    """Return the sliced Wasserstein distance between samples and the test split."""
    from aigc_cli.metrics.sliced_wasserstein import sliced_wasserstein
    from aigc_cli.pictures.previews import draw

    real, _ = pack.split("test")
    n = min(OBJECTIVE_SAMPLES, len(real))
    condition = torch.arange(n) % pack.spec.classes if trainer.model.conditional else None
    with trainer.sampling() as model:
        samples = draw(model, n, condition, seed=trainer.seed + 1, device=trainer.device.torch)  # type: ignore[arg-type]
    chosen = torch.randperm(len(real), generator=torch.Generator().manual_seed(0))[:n].numpy()
    return round(sliced_wasserstein(samples, torch.from_numpy(real[chosen])), 4)


def _explained(error: Exception, loop: Loop) -> Exception:
    """Turn a lack of memory into a line that says what to type; leave every other error as it is."""
    text = str(error)
    if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in text:
        return error
    size = loop.data.batch_size
    return TrainingError(
        f"out of memory at step {loop.trainer.steps} with batch_size={size} in {loop.trainer.device.precision}. "
        f"Type trainer.accumulate=2 (the same gradient), batch_size={max(1, size // 2)}, or precision=bf16."
    )


def _announce(
    composed: Composed, directory: Path, pack: Pack, model: Model, device: Device, step: int, total: int
) -> None:
    if line := advice(pack):
        warn(line)
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    shape = "x".join(map(str, pack.spec.shape))
    say(
        f"{composed.choices['model']}, {parameters:.2f}M parameters, on {composed.choices['data']} "
        f"({pack.counts['train']:,} of {shape}), {device}",
        f"{directory}: " + (f"continuing at step {step:,} of {total:,}" if step else f"{total:,} steps"),
    )


def say(*lines: str) -> None:
    """Print lines for the user at once."""
    print("\n".join(lines), flush=True)


def warn(line: str) -> None:
    """Print a warning on stderr."""
    print(f"aigc: {line}", file=sys.stderr, flush=True)
