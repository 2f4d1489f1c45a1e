"""`aigc show`: the settings that `aigc train` would use, each with its comment, and the model's size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from aigc_cli.commands.list import read_words
from aigc_cli.composing.comments import description, meanings
from aigc_cli.composing.compose import ELSEWHERE, Composed, compose, to_be_given
from aigc_cli.composing.composition import config_folders
from aigc_cli.composing.overrides import Groups
from aigc_cli.composing.recipes import recipes_for

COMMENT_COLUMN = 36


def main(words: Sequence[str]) -> int:
    """Print settings, comments and sizes."""
    folder, overrides = read_words(words, "show")
    composed = compose("train", overrides, config_dir=folder, complete=False)
    folders = config_folders(folder)
    meaning = meanings("train", composed.choices, folders)
    print("\n".join(heading(composed, Groups(folders))), end="\n\n")
    print("\n".join(lines(composed.config, meaning)), end="\n\n", flush=True)
    print("\n".join(sizes(composed)))
    return 0


def heading(composed: Composed, groups: Groups) -> Iterator[str]:
    """Yield what is chosen, with the description of each file."""
    for group in ("recipe", "model", "data", "pair", "optimizer", "schedule"):
        choice = composed.choices.get(group)
        files: Mapping[str, Path] = groups.options(group) if choice else {}
        if choice in files:
            yield f"# {group}={choice}: {description(files[choice])}".removesuffix(": ")
    for name, about in recipes_for(composed.choices, groups).items():
        yield f"# known to work: recipe={name}: {about}"


def lines(config: Mapping[str, Any], meaning: Mapping[str, str], prefix: str = "") -> Iterator[str]:
    """Yield the settings as YAML with their comments, groups of settings last."""
    for key, value in sorted(config.items(), key=lambda item: isinstance(item[1], Mapping) and bool(item[1])):
        path, indent = f"{prefix}{key}", "  " * prefix.count(".")
        comment = f"# {meaning[path]}" if path in meaning else ""
        nested = isinstance(value, Mapping) and bool(value)
        text = f"{indent}{key}:" if nested else f"{indent}{key}: {plain_yaml(value)}"
        yield f"{text:{COMMENT_COLUMN}}  {comment}".rstrip() if comment else text
        if nested:
            yield from lines(value, meaning, f"{path}.")


def plain_yaml(value: Any) -> str:
    """Write a value on one line."""
    import yaml

    if value == "???":
        return "???  (to be set)"
    return yaml.safe_dump([value], default_flow_style=True, width=float("inf"), allow_unicode=True).strip()[1:-1]


def sizes(composed: Composed) -> Iterator[str]:
    """Yield the number of parameters of each part of the model, which is built without memory."""
    if missing := list(to_be_given(composed.config)):
        needed = " and ".join(f"{path}=" for path in missing)
        yield f"parameters: can be counted once {needed} {'are' if missing[1:] else 'is'} given."
        return
    first = composed.config["model"].get("first_stage")
    if isinstance(first, str) and not Path(first).expanduser().exists():
        yield f"parameters: can be counted once model.first_stage={first} is trained."
        return
    counts = parameter_counts(composed)
    yield f"parameters: {sum(counts.values()):,}"
    width = max(map(len, counts), default=0)
    yield from (f"  {name:{width}}  {count:>13,}" for name, count in counts.items())


def parameter_counts(composed: Composed) -> dict[str, int]:
    """Build the model on the meta device for the data's spec and count."""
    from aigc_cli.config import bind

    own = {key: value for key, value in composed.config["data"].items() if key not in ELSEWHERE["data"]}
    spec = bind("datasets", own, "data")().spec()

    import torch

    from aigc_cli.checkpoints.first_stages import with_first_stage
    from aigc_cli.interfaces import DataSpec

    with torch.device("meta"):
        shape = DataSpec.from_dict(spec)
        model = bind("models", with_first_stage(composed.config["model"], shape), "model")(shape)
    parts = dict(model.named_children())
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}
    return {name: count for name, count in counts.items() if count}
