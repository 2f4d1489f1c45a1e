"""A stand-in for composing a command line, which needs Hydra and the shipped configs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

DEFAULTS = {
    "steps": 100, "name": None, "restart": False, "init": None, "batch_size": 64, "seed": 0, "log_every": 50,
    "model": {"name": "gan", "z_dim": 64, "width": 32, "generator": {"name": "mlp", "depth": 2}},
    "data": {"name": "glyphs", "root": "???", "augment": [], "workers": None},
    "optimizer": {"name": "adam", "lr": 1e-3, "phases": {"critic": {"lr": 4e-4}}},
    "trainer": {"ema": 0.0}, "schedule": {"name": "constant"},
}  # fmt: skip


@dataclass
class FakeComposed:
    """Stand for compose.Composed, which needs Hydra."""

    config: dict[str, Any]
    defaults: dict[str, Any] = field(default_factory=lambda: DEFAULTS)
    choices: dict[str, str | None] = field(
        default_factory=lambda: {"model": "gan", "data": "glyphs", "optimizer": "adam", "recipe": None}
    )
    overrides: list[str] = field(default_factory=list)
    swept: tuple[str, ...] = ()
    verb: str = "train"


def composed(*overrides: str, swept: tuple[str, ...] = (), **choices: str | None) -> Any:
    """Return what `aigc train OVERRIDES` composes, near enough."""
    config = json.loads(json.dumps(DEFAULTS))
    made = FakeComposed(config, overrides=list(overrides), swept=swept)
    made.choices.update(choices)
    for override in overrides:
        key, _, value = override.partition("=")
        if key in made.choices:
            made.choices[key] = value
            continue
        *parents, last = key.split(".")
        node = config
        for parent in parents:
            node = node[parent]
        try:
            node[last] = json.loads(value)
        except ValueError:
            node[last] = value
    return made
