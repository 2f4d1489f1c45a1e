"""Set a run up: device, data, model, trainer; resume it or start it; leave a summary however it ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tqdm import tqdm

from aigc_cli import __version__, checkpoints
from aigc_cli.abilities import Consults
from aigc_cli.announcing import announce, say, warn
from aigc_cli.building import trainer_builder
from aigc_cli.captured import graphs_for
from aigc_cli.checkpoints import first_stages
from aigc_cli.config import bind
from aigc_cli.data.pack import Pack
from aigc_cli.data.tensor_data import TensorData
from aigc_cli.devices import Device, choose, explained, warn_of_slow_bf16
from aigc_cli.distributed import ranks, telling_of_lost_ranks, told_by_first
from aigc_cli.errors import ConfigError, TrainingError
from aigc_cli.following import Follower
from aigc_cli.guard import Guard, remedies
from aigc_cli.interfaces import Model
from aigc_cli.loop import Loop
from aigc_cli.next_step import use_of
from aigc_cli.previewing import Previews
from aigc_cli.recorder import Recorder, open_board
from aigc_cli.runs import Run
from aigc_cli.stopping import StopRequest
from aigc_cli.trainer import Trainer

if TYPE_CHECKING:
    from aigc_cli.composing.compose import Composed
    from aigc_cli.evaluating.during import Evaluation
    from aigc_cli.evaluating.evaluation import Evaluator
    from aigc_cli.evaluating.of_text import TextEvaluator
    from aigc_cli.profiling.profile import Profile

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """Say how a run ended."""

    status: str  # "finished" or "stopped"
    step: int
    minutes: float
    objective: float | None
    grid: str | None
    exit_code: int
    total: int  # the steps that were asked for
    use: str | None  # the verb that shows what was learnt, and settings for it


def start(composed: Composed, directory: Path, pack: Pack) -> Outcome | None:
    """Train; nothing is written to the run's folder before data, model and settings are known to fit each other.

    None where another rank is the one that writes and tells.
    """
    config = composed.config
    device = _device_of(config)
    data = _served(config, pack, device)
    total = config["steps"] if config["epochs"] is None else max(1, round(config["epochs"] * data.batches_per_epoch))
    model, config = _built(config, directory, pack, device)
    files = _consulted(model)
    trainer_of = trainer_builder(model, config, total, device)
    if not ranks().first:
        return _follow(trainer_of, data, total, config)
    evaluation, at_end = _prepared(config, pack, model, device, directory)
    source = _source(config, directory)
    opened = Run.open(composed, directory, restart=config["restart"], files=files, warn=warn)
    with opened as run, StopRequest() as stop:
        newest = checkpoints.latest(run.checkpoints, warn=warn)
        if newest is None and source:
            _initialise(model, *source)
        trainer = trainer_of()
        minutes = _resume(trainer, told_by_first(lambda: newest.state() if newest else None))
        run.rewind(trainer.steps)
        parts = ranks().world * config["trainer"]["accumulate"]
        _warn_of_differences(newest, pack, parts)
        meta = {"aigc": __version__, "spec": pack.spec.to_dict(), "config": config, "choices": dict(composed.choices),
                "data": pack.fingerprint, "files": dict(files), "micro_batches": parts}  # fmt: skip
        first = trainer.steps and trainer.steps + 1  # what lies after it in old events is from a run that was cut off
        board = open_board(directory / "tensorboard", first_step=first) if config["preview"]["tensorboard"] else None
        helping = remedies(config["model"], pack.spec.kind)
        guard = Guard(directory, pack, newest=newest.step if newest else None, remedies=helping)
        previews = Previews(pack, directory, n=config["preview"]["n"], seed=config["seed"], device=device.torch)
        loop = Loop(
            trainer, data, previews, run, Recorder(run.log, board), meta, total, config["max_minutes"],
            config["log_every"], config["preview"]["every"], config["checkpoint"], guard, evaluation,
            config["evaluate_every"], minutes=minutes, newest=newest,
        )  # fmt: skip
        announce(composed, directory, data, model, device, trainer.steps, total)
        loop.profile = _profile(loop, config) if config["profile"] else None
        return _train(loop, run, stop, at_end, config)


def _served(config: Config, pack: Pack, device: Device) -> TensorData:
    """Return what serves this rank's part of the batches."""
    if config["objective"] and not pack.counts["test"]:
        raise ConfigError("objective: nothing is held out to compare with. Type objective=null, or give it more data.")
    return TensorData(
        pack,
        batch_size=config["batch_size"],
        seed=config["seed"],
        device=device.torch,
        augment=config["data"]["augment"],
        ranks=ranks(),
        accumulate=config["trainer"]["accumulate"],
    )


def _train(
    loop: Loop, run: Run, stop: StopRequest, at_end: Evaluator | TextEvaluator | None, config: Config
) -> Outcome:
    run.summarise("running", step=loop.trainer.steps, minutes=loop.minutes)
    status, figure, said, use = "failed", None, None, use_of(loop.trainer.model)
    try:
        with telling_of_lost_ranks():
            status = loop.train(stop)
        figure = _objective(loop, at_end, config["objective"]) if status == "finished" and at_end else None
    except (TrainingError, RuntimeError) as error:
        where = f"step {loop.trainer.steps}"
        told = explained(error, where, config, loop.trainer.device) or error
        said = str(told)
        raise told from (None if told is error else error)
    finally:  # whatever it is that ends a run, the folder tells of it
        if loop.profile:
            loop.profile.close()
        step, minutes = loop.trainer.steps, loop.elapsed()
        run.summarise(status, step=step, minutes=minutes, objective=figure, error=said, grid=loop.grid, use=use)
        loop.recorder.close()
    code = stop.exit_code if status == "stopped" else 0
    return Outcome(status, step, minutes, figure, loop.grid, code, loop.total, use)


def _follow(trainer_of: partial[Trainer], data: TensorData, total: int, config: Config) -> None:
    """Take the first rank's steps with it."""
    with StopRequest() as stop:
        trainer = trainer_of()
        _resume(trainer, told_by_first(lambda: None))
        try:
            with telling_of_lost_ranks():
                Follower(trainer, data, total, config["log_every"]).train(stop)
        except (TrainingError, RuntimeError) as error:
            told = explained(error, f"step {trainer.steps} of rank {ranks().rank}", config, trainer.device) or error
            raise told from (None if told is error else error)


def _profile(loop: Loop, config: Config) -> Profile:
    from aigc_cli.profiling.profile import Profile

    settings = {"batch_size": config["batch_size"], "channels_last": config["trainer"]["channels_last"]}
    return Profile(loop.trainer, loop.run.directory, unit=loop.unit, say=tqdm.write, **settings)


def _device_of(config: Config) -> Device:
    device = choose(config["device"], config["precision"], deterministic=config["trainer"]["deterministic"])
    warn_of_slow_bf16(device)
    graphs_for(config["trainer"]["cuda_graph"], device)  # before anything is written
    return device


def _built(config: Config, directory: Path, pack: Pack, device: Device) -> tuple[Model, Config]:
    """Build the model, upon a trained one where it wants that; return the config with that one's settings as well."""
    stage = first_stages.open_first_stage(config, directory, pack.spec, warn)
    if stage:
        config = {**config, "model": stage.node}
    torch.manual_seed(config["seed"])
    try:
        model: Model = bind("models", config["model"], "model")(pack.spec)
        if stage:
            stage.load_into(model)
    except RuntimeError as error:
        raise explained(error, "building the model", config, device) or error from error
    return model, config


def _consulted(model: Model) -> Mapping[str, str]:
    """Let the model read the files that it learns by; return what they were."""
    return model.consult() if isinstance(model, Consults) else {}


def _resume(trainer: Trainer, state: Mapping[str, Any] | None) -> float:
    """Load a checkpoint's state, if any, and return the minutes trained before."""
    if state is None:
        return 0.0
    trainer.load_state_dict(state["trainer"])
    return state["minutes"]


def _warn_of_differences(newest: checkpoints.Checkpoint | None, pack: Pack, parts: int) -> None:
    """Say so where a run goes on with other files than it began with, or with other micro-batches."""
    if newest and (cut := newest.meta.get("micro_batches", parts)) != parts:
        warn(f"batches are cut into {parts} parts (processes x trainer.accumulate), {cut} before: noise, batch norm "
             "and the order of sharded data are not what they would have been.")  # fmt: skip
    before = newest.meta.get("data") if newest else None
    if before not in (None, pack.fingerprint):
        warn("data: not the files that this run began with (names, sizes or times differ); going on with these.")


def _source(config: Config, directory: Path) -> tuple[checkpoints.Checkpoint, dict[str, torch.Tensor]] | None:
    """Read the weights that a new run starts from, before restart=true may move their folder aside."""
    if not config["init"] or (not config["restart"] and any((directory / "checkpoints").glob("step-*"))):
        return None
    source = checkpoints.resolve(Path(config["init"]).expanduser())
    return source, source.tensors()


def _initialise(model: Model, source: checkpoints.Checkpoint, tensors: dict[str, torch.Tensor]) -> None:
    for line in checkpoints.fit_partly(model, tensors):
        warn(f"init: {line}")
    say(f"weights from {source.path} (step {source.step:,})")


def _prepared(
    config: Config, pack: Pack, model: Model, device: Device, directory: Path
) -> tuple[Evaluation | None, Evaluator | TextEvaluator | None]:
    """Open what measures during training and what measures the objective at its end, so that it cannot fail there."""
    if not config["evaluate_every"] and not config["objective"]:
        return None, None
    from aigc_cli.evaluating.during import Evaluation, evaluator_at_end

    settings, during, at_end = config["evaluation"], None, None
    if config["objective"]:
        at_end = evaluator_at_end(config["objective"], pack, model, settings, device.torch)
    if config["evaluate_every"]:
        during = Evaluation(pack, model, settings, device.torch, directory, fresh=config["restart"])
    return during, at_end


def _objective(loop: Loop, evaluator: Evaluator | TextEvaluator, name: str) -> float:
    """Return the figure that sweeps sort by."""
    from aigc_cli.evaluating.during import measure

    return round(measure(evaluator, loop.trainer)[name], 4)
