"""Read what our YAML says of a part of a model, outside a composition."""

from __future__ import annotations

from typing import Any

from aigc_cli.composing.composition import configs_folder
from aigc_cli.config import entry
from aigc_cli.errors import ConfigError


def sampler_node(name: str) -> dict[str, Any]:
    """Return a sampler with its best-known settings: `sampler=heun` means configs/model/sampler/heun.yaml."""
    import yaml

    entry("samplers", name, "sampler")  # unknown names are answered by the table
    path = configs_folder() / "model" / "sampler" / f"{name}.yaml"
    if not path.is_file():
        raise ConfigError(f"sampler: {name!r} has no settings in configs/model/sampler. Choose another.")
    return yaml.safe_load(path.read_text(encoding="utf-8"))
