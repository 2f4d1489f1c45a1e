"""Hand over to Hydra's own main, in this process: for --cfg, --info and sweeps."""

from __future__ import annotations

import itertools
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from aigc_cli.composing.compose import checked_overrides
from aigc_cli.composing.composition import config_folders, searchpath
from aigc_cli.composing.overrides import Groups, Override, read
from aigc_cli.errors import ConfigError

# Hydra is to write nothing by itself: neither folders nor logs.
QUIET = ["hydra.output_subdir=null", "hydra.run.dir=.", "hydra/job_logging=none", "hydra/hydra_logging=none"]
KINDS = {
    "--cfg": ("job", "hydra", "all"),
    "--info": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
}
LONG = {"-c": "--cfg", "-i": "--info", "-p": "--package"}


def ask_hydra(verb: str, overrides: Sequence[str], flags: Sequence[str], config_dir: str | Path | None) -> int:
    """Let Hydra print what --cfg or --info ask for."""
    flags = [LONG.get(flag, flag) for flag in flags]
    for flag, value in itertools.pairwise(flags):
        if flag in KINDS and value not in KINDS[flag]:
            raise ConfigError(f"{flag}: given {value!r}, allowed: {', '.join(KINDS[flag])}.")
    if not KINDS.keys() & set(flags):
        raise ConfigError(f"{flags[0]}: goes with --cfg job.")
    folders = tuple(config_folders(config_dir))
    mistakes: list[str] = []
    typed = checked_overrides(verb, read(overrides, Groups(folders), mistakes), folders, mistakes)
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    logging.raiseExceptions = False  # Hydra answers through a logger, which would tell of a closed pipe line by line
    run_hydra(verb, lambda config: None, [*map(hydra_form, typed), *flags], folders)
    return 0


def hydra_form(override: Override) -> str:
    """Return an override as Hydra is to get it: values as ++key=value, choices as they are."""
    return override.choice if override.group else override.setting


def run_hydra(
    verb: str, task: Callable[..., Any], arguments: Sequence[str], folders: Sequence[Path], *flags: str
) -> None:
    """Run hydra.main on a task with these arguments in place of the command line's."""
    import hydra

    root = logging.getLogger()
    before, handlers, level = sys.argv, root.handlers[:], root.level
    sys.argv = ["aigc", *flags, *searchpath(folders), *QUIET, *arguments]
    try:
        hydra.main(version_base="1.3", config_path=str(folders[0]), config_name=verb)(task)()
    finally:
        sys.argv, root.handlers[:] = before, handlers  # --info logs its answer by a handler that would stay
        root.setLevel(level)
