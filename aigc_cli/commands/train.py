"""`aigc train`: compose, open, resume or start, train, say what came of it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt

from aigc_cli.config import check
from aigc_cli.errors import ConfigError
from aigc_cli.evaluating.measures import Figure, Group
from aigc_cli.runs import read_config, read_summary, run_directory
from aigc_cli.runs.settings import RUN_ONLY, differing

if TYPE_CHECKING:
    from aigc_cli.composing.compose import Composed

Whole = Annotated[int, Gt(0)]
Cadence = Annotated[int, Ge(0)]
Node = Mapping[str, Any]


def train(
    composed: Composed,
    *,
    model: Node,
    data: Node,
    optimizer: Node,
    schedule: Node,
    trainer: Node,
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
    objective: Literal["sliced_wasserstein", "frechet", "kernel"] | None,
) -> float | None:
    """Train a model on data; return the objective where one is asked for."""
    check(trainer_settings, trainer, "trainer")
    check(preview_settings, preview, "preview")
    check(checkpoint_settings, checkpoint, "checkpoint")
    check(evaluation_settings, evaluation, "evaluation")
    _check_length(composed, steps, epochs)
    directory = run_directory(composed, Path(output))
    if not restart and (done := _finished(composed, directory)):
        print(f"{directory} is finished: {done['step']:,} steps.")
        _say_next(composed, directory, done["step"], done["grid"])
        return done["objective"]
    from aigc_cli.session import start  # torch comes with it

    outcome = start(composed, directory)
    print(f"{directory}: {outcome.status} at step {outcome.step:,} after {outcome.minutes:.1f} minutes of training.")
    _say_next(composed, directory, outcome.step, outcome.grid, stopped=outcome.status == "stopped")
    if outcome.exit_code:
        raise SystemExit(outcome.exit_code)
    return outcome.objective


def trainer_settings(
    *,
    accumulate: Whole,
    clip: Annotated[float, Gt(0)] | None,
    ema: Annotated[float, Ge(0), Lt(1)],
    channels_last: bool,
    deterministic: bool,
) -> None:
    """Name the settings under `trainer`."""


def preview_settings(*, every: Cadence, n: Whole, tensorboard: bool) -> None:
    """Name the settings under `preview`."""


def checkpoint_settings(*, every: Cadence, minutes: Annotated[float, Gt(0)], keep: Whole, milestone: Cadence) -> None:
    """Name the settings under `checkpoint`."""


def evaluation_settings(
    *,
    metrics: list[Group],
    features: Literal["classifier", "inception", "pixels"] | None,
    weights: str | None,
    n: Whole,
    best: Figure | None,
) -> None:
    """Name the settings under `evaluation`."""


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
    enough = all(stored.get(key) == config[key] for key in lengths)
    changed = differing(stored, config, RUN_ONLY)
    missing = config["objective"] is not None and summary["objective"] is None
    return summary if enough and not changed and not missing else None


def _say_next(composed: Composed, directory: Path, step: int, grid: str | None, *, stopped: bool = False) -> None:
    """Say where the pictures lie and what to type next."""
    lines = [("look", str(directory / grid))] if grid else []
    lines.append(("sample", f"aigc sample ckpt={shlex.quote(str(directory))} n=64"))
    lines.append(("continue", _command_to_continue(composed, directory, step, stopped)))
    if composed.choices.get("data") == "glyphs":
        lines.append(("try next", "aigc train model=dcgan data=mnist"))
    print("\n".join(f"  {what + ':':<10}{text}" for what, text in lines), flush=True)


def _command_to_continue(composed: Composed, directory: Path, step: int, stopped: bool) -> str:
    flags = ["--config-dir", composed.config_dir] if composed.config_dir else []
    leave_out = ["restart"]
    more: list[str] = []
    if not stopped:
        leave_out += ["steps", "epochs", "max_minutes"]
        more = [f"steps={2 * step}"]
    if not stopped and composed.config["schedule"]["name"] != "constant":
        # The learning rate has fallen to its end: a new run goes on from the weights.
        leave_out += ["name", "init"]
        more = [f"init={directory}", f"name={directory.name}-2"]
    kept = [override for override in composed.overrides if override.split("=")[0] not in leave_out]
    return shlex.join(["aigc", "train", *flags, *kept, *more])
