"""Sweepers and launchers of Hydra's: are they installed, and where does what they start write."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Sequence
from pathlib import Path

from aigc_cli.composing.composition import compose_plain
from aigc_cli.composing.overrides import Override
from aigc_cli.errors import ConfigError

EXTRAS = {"joblib": "'aigc[parallel]'", "optuna": "'aigc[sweep]'", "submitit": "'aigc[slurm]'"}
PLUGINS = {"joblib": "hydra_joblib_launcher", "optuna": "hydra_optuna_sweeper", "submitit": "hydra_submitit_launcher"}
LAUNCHER = "hydra/launcher"


def is_hydras(override: Override) -> bool:
    """Tell settings of Hydra's sweepers and launchers from ours."""
    return override.key.startswith(("hydra.", "hydra/"))


def check_plugins(verb: str, typed: Sequence[Override], folders: tuple[Path, ...], mistakes: list[str]) -> None:
    """Say what to install where a sweeper or launcher is an extra, and let Hydra check its own settings."""
    hydras = [override for override in typed if is_hydras(override)]
    missing = False
    for override in hydras:
        kind = str(override.value).partition("_")[0]
        plugin = PLUGINS.get(kind)
        if override.key in ("hydra/launcher", "hydra/sweeper") and plugin and not _is_installed(plugin):
            mistakes.append(f"{override.key}={override.value}: not installed; type pip install {EXTRAS[kind]}.")
            missing = True
    if any(o.key == LAUNCHER and o.value == "submitit_slurm" for o in hydras) and not shutil.which("srun"):
        mistakes.append(
            f"{LAUNCHER}=submitit_slurm: this machine is no part of a Slurm cluster (there is no srun). "
            f"Type {LAUNCHER}=submitit_local to run the jobs here."
        )
    if hydras and not missing:
        try:
            compose_plain(verb, tuple(override.typed for override in hydras), folders)
        except ConfigError as error:
            mistakes.append(str(error).replace("configs:", "-m:", 1))


def _is_installed(plugin: str) -> bool:
    parent = importlib.util.find_spec("hydra_plugins") is not None
    return parent and importlib.util.find_spec(f"hydra_plugins.{plugin}") is not None


def place_of_logs(typed: Sequence[Override], folder: Path) -> str | None:
    """Say where jobs write that have no screen: those of submitit's launchers; else None."""
    if not any(o.key == LAUNCHER and str(o.value).startswith("submitit") for o in typed):
        return None
    logs = folder / ".submitit"
    return f"the jobs write to {logs}/*/*_log.out, nothing here; watch them: tail -F {logs}/*/*_log.*"
