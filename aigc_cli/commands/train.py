"""`aigc train`: compose, open, resume or start, train, say what came of it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from annotated_types import Ge, Gt, Le, Len, Lt

from aigc_cli.composing.recipes import first_stage_like, tell_recipes
from aigc_cli.config import check
from aigc_cli.data.pack import open_data
from aigc_cli.distributed import connected, one_before_the_others, started_again
from aigc_cli.errors import ConfigError
from aigc_cli.evaluating.measures import Figure, Group, Look
from aigc_cli.parting import say_how_it_ended, say_that_it_has_ended
from aigc_cli.runs import RUN_ONLY, read_config, read_summary, refuse_changes, run_directory
from aigc_cli.runs.finding import near_runs
from aigc_cli.runs.settings import differing

if TYPE_CHECKING:
    from aigc_cli.composing.compose import Composed
    from aigc_cli.session import Outcome

Whole = Annotated[int, Gt(0)]
Cadence = Annotated[int, Ge(0)]
Node = Mapping[str, Any]
Objective: TypeAlias = Literal[  # the first is what sweeps sort by where nobody says; of text it is nats_per_symbol
    "sliced_wasserstein", "frechet", "kernel", "nats_per_symbol", "perplexity", "bits_per_character", "correct", "bleu",
    "chrf", "rouge_l",
]  # fmt: skip


def train(
    composed: Composed,
    *,
    model: Node,
    data: Node,
    optimizer: Node,
    schedule: Node,
    trainer: Node,
    ranks: Node,
    preview: Node,
    checkpoint: Node,
    steps: Whole | None,
    epochs: Annotated[float, Gt(0)] | None,
    max_minutes: Annotated[float, Gt(0)] | None,
    batch_size: Whole,
    seed: Annotated[int, Ge(0), Lt(2**63)],
    device: str,
    precision: Literal["auto", "fp32", "bf16", "fp16"],
    name: str | None,
    output: str,
    restart: bool,
    init: str | None,
    log_every: Annotated[int, Gt(0), Le(10_000)],
    evaluate_every: Cadence,
    evaluation: Node,
    objective: Objective | None,
    profile: bool,
) -> float | None:
    """Train a model on data; return the objective where one is asked for."""
    _check_groups(trainer=trainer, ranks=ranks, preview=preview, checkpoint=checkpoint, evaluation=evaluation)
    _check_values(composed, steps, epochs, device)
    composed = _as_started(composed)
    restart = composed.config["restart"]
    directory = run_directory(composed, Path(output))
    _check_sources(init, model, fresh=restart or not (directory / "checkpoints").is_dir())
    if not restart:
        if done := _finished(composed, directory):
            say_that_it_has_ended(composed, directory, done)
            return done["objective"]
        refuse_changes(directory, composed)
    if (outcome := _outcome(composed, directory)) is None:
        return None
    say_how_it_ended(composed, directory, outcome)
    return _left(outcome)


def _as_started(composed: Composed) -> Composed:
    """Let a run go on that restart=true began, where torchrun or Slurm types the command again."""
    return replace(composed, config={**composed.config, "restart": False}) if started_again() else composed


def _left(outcome: Outcome) -> float | None:
    """Return the objective, or leave as the signal that stopped the training asks."""
    if outcome.exit_code:
        raise SystemExit(outcome.exit_code)
    return outcome.objective


def _outcome(composed: Composed, directory: Path) -> Outcome | None:
    """Train with the other ranks, if there are any; None where the first one tells."""
    config = composed.config
    if config["profile"]:  # torch reads it when it is imported: its profiler would complain where there is no GPU
        os.environ.setdefault("KINETO_LOG_LEVEL", "5")
    tell_recipes(composed, directory)
    with connected(config["device"], config["ranks"]["timeout"]):
        pack = one_before_the_others(lambda: open_data(config["data"]))
        from aigc_cli.session import start  # torch comes with it

        return start(composed, directory, pack)


def trainer_settings(
    *,
    accumulate: Whole,
    clip: Annotated[float, Gt(0)] | None,
    ema: Annotated[float, Ge(0), Lt(1)],
    channels_last: bool,
    cuda_graph: bool | Literal["auto"],
    compile: bool | Literal["auto"],
    deterministic: bool,
) -> None:
    """Name the settings under `trainer`."""


def ranks_settings(*, timeout: Annotated[float, Gt(0)], shard: bool) -> None:
    """Name the settings under `ranks`."""


def preview_settings(*, every: Cadence, n: Whole, tensorboard: bool) -> None:
    """Name the settings under `preview`."""


def checkpoint_settings(*, every: Cadence, minutes: Annotated[float, Gt(0)], keep: Whole, milestone: Cadence) -> None:
    """Name the settings under `checkpoint`."""


def evaluation_settings(
    *,
    metrics: Annotated[list[Group], Len(1)],
    features: Look | None,
    weights: str | None,
    n: Whole,
    best: Figure | None,
) -> None:
    """Name the settings under `evaluation`."""


def _check_groups(**nodes: Node) -> None:
    """Check the groups of settings whose names functions of this file hold."""
    schemas = {"trainer": trainer_settings, "ranks": ranks_settings, "preview": preview_settings,
               "checkpoint": checkpoint_settings, "evaluation": evaluation_settings}  # fmt: skip
    for path, node in nodes.items():
        check(schemas[path], node, path)


def _check_sources(init: str | None, model: Node, *, fresh: bool) -> None:
    """Refuse checkpoints that are not there; a run that goes on needs them no more."""
    for key, path in {"init": init, "model.first_stage": model.get("first_stage")}.items():
        if fresh and isinstance(path, str) and not Path(path).expanduser().exists():
            otherwise = None if key == "init" else f"aigc train {first_stage_like(path)}"
            raise ConfigError(f"{key}: no such file or folder: {path}.{near_runs(path, key, otherwise)}")


def _check_values(composed: Composed, steps: int | None, epochs: float | None, device: str) -> None:
    """Refuse two lengths, or none, and a device that no torch knows; whether it is here is found out with torch."""
    _check_length(composed, steps, epochs)
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        raise ConfigError(f"device: given {device!r}, allowed: auto, cpu, cuda, cuda:N, mps. Type device=auto.")


def _check_length(composed: Composed, steps: int | None, epochs: float | None) -> None:
    typed = {override.lstrip("+").split("=")[0] for override in composed.overrides}
    if {"steps", "epochs"} <= typed and epochs is not None and steps is not None:
        raise ConfigError(f"steps={steps} and epochs={epochs}: which of the two? Type one of them.")
    if steps is None and epochs is None:
        raise ConfigError("steps, epochs: both are null. Type steps=5000 or epochs=10.")


def _finished(composed: Composed, directory: Path) -> dict[str, Any] | None:
    """Return the summary of a run that has nothing left to do; answered without torch."""
    summary = read_summary(directory)
    if not summary or summary["status"] != "finished" or not (directory / "config.yaml").exists():
        return None
    stored, config = read_config(directory)["config"], composed.config
    lengths = ("steps", "epochs", "max_minutes")
    fewer = config["epochs"] is None and config["steps"] <= summary["step"]
    enough = fewer or all(stored.get(key) == config[key] for key in lengths)
    changed = differing(stored, config, RUN_ONLY)  # other files in data.root are told from these by their fingerprint
    known = summary["objective"] is not None and stored.get("objective") == config["objective"]
    missing = config["objective"] is not None and not known
    return summary if enough and not changed and not missing else None
