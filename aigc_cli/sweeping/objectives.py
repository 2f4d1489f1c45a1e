"""Which figure the jobs of a sweep are compared by, and which way it is better."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from aigc_cli.composing.compose import VERBS
from aigc_cli.config import bind, load, parameters
from aigc_cli.data import PIPELINE
from aigc_cli.data.source import Stream
from aigc_cli.errors import ConfigError, DataError
from aigc_cli.evaluating.measures import MEASURES

OF_TEXT = "nats_per_symbol"


def is_typed(overrides: Iterable[str]) -> bool:
    """Tell whether a command says what to compare by."""
    return any(override.lstrip("+").startswith("objective=") for override in overrides)


def objective_of(
    verb: str, overrides: Iterable[str], configs: Sequence[Mapping[str, Any]], *, searching: bool
) -> str | None:
    """Return the figure that jobs with these settings are compared by; None where the command wants none.

    Where it does not say, it is what suits their data. ConfigError where a search has nothing to go by.
    """
    words = [override.lstrip("+") for override in overrides]
    objective = configs[0]["objective"] if is_typed(words) else _suited(verb, configs)
    if searching and not objective:
        raise ConfigError("objective: a search needs a figure to go by. Leave objective=null out.")
    if searching and any(word.startswith("hydra.sweeper.direction=") for word in words):
        raise ConfigError("hydra.sweeper.direction: which way is better follows from the objective. Leave it out.")
    return objective


def _suited(verb: str, configs: Sequence[Mapping[str, Any]]) -> str:
    if given := next((config["objective"] for config in configs if config["objective"]), None):
        return given  # by a recipe
    kinds = {_learns_text(node) for node in {repr(config["data"]): config["data"] for config in configs}.values()}
    if len(kinds) > 1:
        raise ConfigError("objective: no figure compares jobs on text with jobs on other data. Type objective=null.")
    if kinds == {True}:
        return OF_TEXT
    hint = parameters(load(VERBS[verb]))["objective"]
    return next(kind for option in get_args(hint) for kind in get_args(option))


def _learns_text(node: Mapping[str, Any]) -> bool:
    """Tell whether a data node is of text, without packing it; data that are not there are left to the job to tell."""
    try:
        source = bind("datasets", {key: value for key, value in node.items() if key not in PIPELINE}, "data")()
        return isinstance(source, Stream) or source.spec()["kind"] == "text"
    except (ConfigError, DataError, OSError):
        return False


def better(name: str | None) -> int:
    """Return +1 where more is better, else -1."""
    return 1 if name in MEASURES and MEASURES[name].better > 0 else -1


def cost(value: float | None, name: str | None) -> float:
    """Return a figure as what sorts and searches look for the smallest of; infinite where there is none."""
    return math.inf if value is None or not math.isfinite(value) else -better(name) * value


def order(name: str) -> str:
    """Say which runs come first."""
    return f"the {'larger' if better(name) > 0 else 'smaller'} {name}, the better"
