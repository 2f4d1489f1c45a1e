"""Settle which sampler draws, and with what settings."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from aigc_cli.config import parameters
from aigc_cli.errors import ConfigError


def chosen_sampler(configured: Any, asked: Callable | None, most_steps: int | None, **changes: Any) -> partial:
    """Return the sampler that is asked for, else the configured one, with its settings but for what is given.

    A sampler that is already configured keeps its settings; another one brings its own, no more steps than there are.
    """
    base: Any = asked  # both are partials: their keywords are the settings
    if asked is None or base.func is configured.func:
        base = configured
    known, given = parameters(base.func), {key: value for key, value in changes.items() if value is not None}
    for key in given:
        if key not in known:
            name = base.func.__name__
            raise ConfigError(f"{key}: {name} has no such setting. Leave {key} out or type sampler=ddim.")
    if base is asked and most_steps is not None and "steps" not in given:
        given["steps"] = min(base.keywords["steps"] or most_steps, most_steps)
    return partial(base.func, **{**base.keywords, **given})


def refuse_steps(steps: int | None, most_steps: int | None) -> None:
    """Refuse a configured number of steps that the model does not have."""
    if most_steps is None and steps is None:
        raise ConfigError("model.sampler.steps: null means every timestep, but this time has none. Type a number.")
    if most_steps is not None and (steps or 0) > most_steps:
        raise ConfigError(
            f"model.sampler.steps: above model.noise.timesteps={most_steps}. Type model.sampler.steps={most_steps}."
        )
