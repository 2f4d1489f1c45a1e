"""Find the recipes of a model and data: settings that are known to work, which nobody looks for who knows of none."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aigc_cli.composing.comments import description
from aigc_cli.composing.composition import config_folders
from aigc_cli.composing.overrides import Groups
from aigc_cli.distributed import ranks

if TYPE_CHECKING:
    from aigc_cli.composing.compose import Composed


def recipes_for(choices: Mapping[str, str | None], groups: Groups) -> dict[str, str]:
    """Return {name: description} of the recipes of the chosen model and data; none where one is chosen."""
    if choices.get("recipe"):
        return {}
    wanted = {group: choices.get(group) for group in ("model", "data")}
    files = groups.options("recipe")
    return {name: description(file) for name, file in files.items() if _chosen_by(file) == wanted}


def tell_recipes(composed: Composed, run: Path) -> None:
    """Name the recipes for what is to be trained anew: a preset as it is may take days, a recipe minutes."""
    if composed.swept or not ranks().first or (run / "config.yaml").exists():  # once is enough
        return
    groups = Groups(config_folders(composed.config_dir))
    for name, about in recipes_for(composed.choices, groups).items():
        print(f"aigc: known to work: recipe={name}: {about}", file=sys.stderr)


def first_stage_like(path: str) -> str:
    """Return what trains the first stage that a path names: the recipe of its name, or a usual one."""
    name = Path(path).name
    return f"recipe={name}" if name in Groups(config_folders(None)).options("recipe") else "model=vqvae"


def _chosen_by(file: Path) -> dict[str, str | None]:
    """Return the model and the data that a recipe's list of defaults names."""
    import yaml

    listed: list[Any] = (yaml.safe_load(file.read_text(encoding="utf-8")) or {}).get("defaults") or []
    named = {key.removeprefix("override /"): value for each in listed if isinstance(each, dict)
             for key, value in each.items()}  # fmt: skip
    return {group: named.get(group) for group in ("model", "data")}
