"""Say how a run ended, and what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aigc_cli.distributed import started_by
from aigc_cli.evaluating.measures import MEASURES

if TYPE_CHECKING:
    from aigc_cli.composing.compose import Composed
    from aigc_cli.session import Outcome


def _out_of_time(config: Mapping[str, Any], step: int, minutes: float) -> bool:
    """Tell whether a finished run was ended by max_minutes, before its last step."""
    more = config["epochs"] is not None or step < config["steps"]
    return more and config["max_minutes"] is not None and minutes >= config["max_minutes"] - 0.01


def say_that_it_has_ended(composed: Composed, directory: Path, done: Mapping[str, Any]) -> None:
    """Say that nothing is left to do."""
    late = _out_of_time(composed.config, done["step"], done["minutes"])
    why = f" in max_minutes={composed.config['max_minutes']:g}" if late else ""
    print(f"{directory} is finished: {done['step']:,} steps{why}.")
    _say_next(composed, directory, done["step"], done["grid"], done.get("use", "sample"), late=late)


def say_how_it_ended(composed: Composed, directory: Path, outcome: Outcome) -> None:
    """Say what came of a training."""
    late = outcome.status == "finished" and outcome.step < outcome.total
    ended = f"max_minutes={composed.config['max_minutes']:g} ended it" if late else outcome.status
    of = f" of {outcome.total:,}" if late else ""
    print(f"{directory}: {ended} at step {outcome.step:,}{of} after {outcome.minutes:.1f} minutes of training.")
    if outcome.objective is not None:
        name = composed.config["objective"]
        way = "more" if MEASURES[name].better > 0 else "less"
        print(f"  {name}: {outcome.objective:.4g} (the objective: {way} is better)")
    stopped = outcome.status == "stopped"
    _say_next(composed, directory, outcome.step, outcome.grid, outcome.use, stopped=stopped, late=late)


def _say_next(
    composed: Composed,
    directory: Path,
    step: int,
    grid: str | None,
    use: str | None,
    *,
    stopped: bool = False,
    late: bool = False,
) -> None:
    """Say where the pictures lie and what to type next."""
    lines = [("look", str(directory / grid))] if grid else []
    if use:
        verb, _, more = use.partition(" ")
        lines.append((verb, f"aigc {verb} ckpt={shlex.quote(str(directory))} {more}".rstrip()))
    schedule = composed.config["schedule"]["name"]
    if stopped or late or schedule == "constant":
        lines.append(("continue", _command_to_continue(composed, directory, step, stopped, late)))
    else:
        lines.append(("train on", _command_of_a_new_run(composed, directory)))
        lines.append(("", f"(a new run from these weights: the rate of this one has come to its {schedule}'s end)"))
    if composed.choices.get("data") == "glyphs":
        lines.append(("try next", "aigc train model=dcgan data=mnist"))
    named = [(f"{what}:" if what else "", text) for what, text in lines]
    width = max(10, *(len(what) + 1 for what, _ in named))
    print("\n".join(f"  {what:<{width}}{text}" for what, text in named), flush=True)


def _command_to_continue(composed: Composed, directory: Path, step: int, stopped: bool, late: bool) -> str:
    more = [f"name={directory.name}"] if composed.swept else []  # a sweep's job has swept defaults in its name
    leave_out = ["restart", "profile", *(["name"] if more else [])]
    if stopped:
        return _command(composed, leave_out, more)
    if late:
        longer = f"max_minutes={2 * composed.config['max_minutes']:g}"
        return _command(composed, [*leave_out, "max_minutes"], [*more, longer])
    return _command(composed, [*leave_out, "steps", "epochs", "max_minutes"], [*more, f"steps={2 * step}"])


def _command_of_a_new_run(composed: Composed, directory: Path) -> str:
    more = [f"init={directory}", f"name={directory.name}-2"]
    return _command(composed, ["restart", "profile", "max_minutes", "name", "init"], more)


def _command(composed: Composed, leave_out: list[str], more: list[str]) -> str:
    """Return this command line without some of its settings and with others."""
    flags = ["--config-dir", composed.config_dir] if composed.config_dir else []
    kept = [override for override in composed.overrides if override.split("=")[0] not in leave_out]
    return shlex.join([*started_by(), "train", *flags, *kept, *more])
