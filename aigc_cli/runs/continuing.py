"""Read what a run has written, and refuse to continue it by other settings or from other files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aigc_cli.errors import ConfigError
from aigc_cli.runs.added_settings import completed
from aigc_cli.runs.settings import RESUMABLE, differing, plain

if TYPE_CHECKING:
    from aigc_cli.composing.compose import Composed

SHOWN = 4  # changed settings worth reading at once


def read_config(directory: str | Path) -> dict[str, Any]:
    """Return what config.yaml holds: aigc (version), verb, command, choices, config; see runs/added_settings.py."""
    import yaml  # late: a fresh run has nothing to read

    path = Path(directory) / "config.yaml"
    try:
        stored = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{path} cannot be read ({reason}). Move the folder away, or type restart=true.") from error
    if not isinstance(stored, dict) or not isinstance(stored.get("config"), dict):
        raise ConfigError(f"{path} is no config that aigc wrote. Move the folder away, or type restart=true.")
    config = stored["config"]
    return {**stored, "config": {**config, "model": completed(config["model"])} if "model" in config else config}


def read_summary(directory: str | Path) -> dict[str, Any] | None:
    """Return a run's summary.json; None where there is none that can be read."""
    try:
        summary = json.loads((Path(directory) / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    told = {"status", "objective", "step", "minutes", "grid"}
    return summary if isinstance(summary, dict) and told <= summary.keys() else None


def refuse_changes(directory: Path, composed: Composed) -> None:
    """Raise ConfigError where a run of other settings lies in the folder; those of RESUMABLE may change."""
    if not (directory / "config.yaml").exists():
        return
    frozen = _frozen(composed.config.get("schedule") or {})
    stored = read_config(directory)["config"]
    changes = differing(stored, composed.config, [path for path in RESUMABLE if path not in frozen])
    if not changes:
        return
    reasons = {path: f" ({reason})" for path, reason in frozen.items()}
    ordered = sorted(changes, key=lambda path: path not in ("model.name", "data.name"))  # what the others follow from
    listed = [f"{path}: {plain(changes[path][0])} -> {plain(changes[path][1])}{reasons.get(path, '')}"
              for path in ordered[:SHOWN]]  # fmt: skip
    more = f"; and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
    raise ConfigError(
        f"{directory} was trained with other settings: {'; '.join(listed)}{more}. To continue it, type the old ones; "
        "to start afresh, add restart=true (the old run is kept aside) or a new name (name=...)."
    )


def refuse_other_files(directory: Path, files: Mapping[str, str]) -> None:
    """Raise ConfigError where a file that a setting names is not what the run began with."""
    before = read_config(directory).get("files") or {}
    for key, digest in files.items():
        if before.get(key, digest) != digest:
            raise ConfigError(
                f"{key}: not what {directory} began with (digest {before[key][:12]}, now {digest[:12]}). To continue "
                "the run, bring the old file back; to start afresh, add restart=true or a new name (name=...)."
            )


def _frozen(schedule: Mapping[str, Any]) -> dict[str, str]:
    """Say why the length of a run may not change once its learning rate falls over it."""
    name = schedule.get("name", "constant")
    if name == "constant":
        return {}
    reason = f"the {name} schedule falls over them: init=<this run> name=<another> trains on from its weights"
    return {"steps": reason, "epochs": reason}
