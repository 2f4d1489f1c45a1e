"""Misspell every setting of every shipped config; run by test_every_config.py in a process that must not import torch.

Usage: python -m tests.misspell_configs; prints one JSON list of [command, seconds, what is wrong with the answer].
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from aigc_cli.composing.compose import compose
from aigc_cli.errors import ConfigError

CONFIGS = Path(__file__).parents[1] / "configs"
GROUPS = ("model", "data", "optimizer", "schedule", "recipe")
WRONG = {bool: "maybe", int: "many", float: "much", list: "3"}


def choices() -> Iterator[tuple[str, str]]:
    """Yield every file of every group."""
    for group in GROUPS:
        yield from ((group, file.stem) for file in sorted((CONFIGS / group).glob("[!_]*.yaml")))


def leaves(node: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return dotted path -> value; a part's name is a choice, no setting."""
    found: dict[str, Any] = {}
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            found |= leaves(value, f"{prefix}{key}.")
        elif key != "name":
            found[prefix + key] = value
    return found


def cases(group: str, name: str) -> Iterator[tuple[list[str], list[str]]]:
    """Yield (words, beginnings of the lines that must answer them)."""
    config = compose("train", [f"{group}={name}"], complete=False).config
    mine = leaves(config, "") if group == "recipe" else leaves(config[group], f"{group}.")
    longer = [f"{key}{key[-1]}" for key in mine]
    swapped = [f"{key[:-2]}{key[-1]}{key[-2]}" for key in mine if key[-1] != key[-2] and len(key.split(".")[-1]) > 3]
    for typed in (longer, swapped):
        yield [f"{key}=1" for key in typed], [f"{key}: no such setting. Did you mean '" for key in typed]
    kinds = {key: WRONG[type(value)] for key, value in mine.items() if type(value) in WRONG}
    yield [f"{key}={value}" for key, value in kinds.items()], [f"{key}: given " for key in kinds]
    yield [f"{group}={name}{name[-1]}"], [f"{group}: no '{name}{name[-1]}'. Did you mean '{name}'"]


def complaint(words: list[str], expected: list[str]) -> str:
    """Say what is wrong with the answer to a command line."""
    try:
        compose("train", words, complete=False)
    except ConfigError as error:
        lines = str(error).splitlines()
        return "; ".join(each for each in expected if not any(line.startswith(each) for line in lines))
    return "it was taken" if expected else ""


def main() -> None:
    answers = []
    for group, name in choices():
        for typed, expected in cases(group, name):
            chosen = [] if typed[0].startswith(f"{group}=") else [f"{group}={name}"]
            began = time.perf_counter()
            wrong = complaint([*chosen, *typed], expected)
            answers.append(([*chosen, *typed], time.perf_counter() - began, wrong))
    assert not {"torch", "torchvision"} & set(sys.modules), "a typo is answered without torch"
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
