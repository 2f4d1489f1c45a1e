"""Compose a verb's config with Hydra, and answer every mistake at once, before torch is imported."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aigc_cli.config import bind, check, load
from aigc_cli.errors import ConfigError
from aigc_cli.overrides import Groups, Override, check_group, check_key, check_type, lookup, read
from aigc_cli.wording import suggestion

# The verbs that YAML configures: their functions' keyword-only parameters are the top-level keys.
VERBS = {
    "train": "aigc_cli.commands.train:train",
    "sample": "aigc_cli.commands.sample:sample",
    "data": "aigc_cli.commands.data:data",
}
SIGNED = {"data": "datasets", "optimizer": "optimizers", "schedule": "schedules"}  # tables that need no torch
# Keys of these nodes that are not the callable's: they are checked where they are used.
ELSEWHERE = {"data": ("cache", "workers", "max_bad", "augment"), "optimizer": ("phases",)}


@dataclass(frozen=True)
class Composed:
    """Hold what a command line says: plain, resolved, checked."""

    verb: str
    config: dict[str, Any]
    defaults: dict[str, Any]  # the same choices without the command line's values: what differs is what the user set
    choices: dict[str, str | None]  # {"model": "dcgan", "model/network@model.generator": ..., "recipe": None}
    overrides: list[str]  # as typed
    swept: tuple[str, ...] = ()  # the keys that the sweep varies which this is a job of


def configs_folder() -> Path:
    """Return the folder of configs: inside the package when installed, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    for folder in (package / "configs", package.parent / "configs"):
        if (folder / "train.yaml").is_file():
            return folder
    raise ConfigError(f"configs: not found beside {package}; install aigc again: pip install --force-reinstall aigc.")


def config_folders(config_dir: str | Path | None = None) -> list[Path]:
    """Return our folder of configs and the user's own."""
    if config_dir is None:
        return [configs_folder()]
    folder = Path(config_dir).expanduser().resolve()
    if not folder.is_dir():
        raise ConfigError(
            f"--config-dir: no folder {str(config_dir)!r}; it holds model/NAME.yaml, recipe/NAME.yaml, ..."
        )
    return [configs_folder(), folder]


def compose(
    verb: str, overrides: Sequence[str], *, config_dir: str | Path | None = None, swept: Iterable[str] = ()
) -> Composed:
    """Return the composed config of a verb, or raise one ConfigError that lists every mistake, a line each."""
    folders = tuple(config_folders(config_dir))
    mistakes: list[str] = []
    typed = checked_overrides(verb, read(overrides, Groups(folders), mistakes), folders, mistakes)
    choices = tuple(o.choice for o in typed if o.group)
    config, chosen = _hydra(verb, choices + tuple(o.setting for o in typed if not o.group), folders)
    defaults, _ = _hydra(verb, choices, folders)
    composed = Composed(verb, config, defaults, chosen, [o.normal for o in typed], tuple(swept))
    mistakes += unset_or_wrong(composed)
    if mistakes:
        raise ConfigError("\n".join(dict.fromkeys(mistakes)))
    return composed


def checked_overrides(
    verb: str, typed: Sequence[Override], folders: tuple[Path, ...], mistakes: list[str]
) -> list[Override]:
    """Return the overrides without mistakes: groups are checked against the files, keys against the composition."""
    groups = Groups(folders)
    single = [override for override in typed if not _is_misplaced(override, mistakes)]
    found = [override for override in single if override.group and check_group(override, groups, mistakes)]
    choices = _existing(verb, found, folders, mistakes)
    config, chosen = _hydra(verb, tuple(o.choice for o in choices), folders)
    keys = {choice.partition("@")[2]: choice for choice in chosen if "@" in choice}
    settings = []
    for override in [override for override in single if not override.group]:
        if override.key in keys and isinstance(override.value, str):  # model.loss=hinge is short for the whole key
            longer = replace(override, key=keys[override.key], group=True)
            choices += [longer] if check_group(longer, groups, mistakes) else []
        else:
            settings.append(override)
    config, chosen = _hydra(verb, tuple(o.choice for o in choices), folders)
    touched = [override.key for override in settings]
    for override in settings:
        wrong = check_key(override.key, config, touched) or _type_mistake(override, config)
        mistakes += [wrong] if wrong else []
        choices += [] if wrong else [override]
    return choices


def _is_misplaced(override: Override, mistakes: list[str]) -> bool:
    """Tell whether an override belongs to sweeps only."""
    if override.sweep:
        many = f"{override.key}: given {len(override.value)} values ({override.raw}), allowed: one."
        mistakes.append(f"{many} To run them all, add -m; for a list write {override.key}=[{override.raw}].")
    elif override.key.startswith(("hydra.", "hydra/")):
        mistakes.append(f"{override.key}: only sweeps use Hydra's own settings; add -m.")
    else:
        return False
    return True


def _existing(verb: str, typed: Sequence[Override], folders: tuple[Path, ...], mistakes: list[str]) -> list[Override]:
    """Return the choices that this verb, then this model, offers."""
    kept: list[Override] = []
    for nested in (False, True):  # which networks there are to choose is known once the model is
        these = [override for override in typed if ("@" in override.key) is nested]
        known = _hydra(verb, tuple(o.choice for o in kept), folders)[1] if these else {}
        offered = [choice for choice in known if ("@" in choice) is nested and choice != "pair"]
        for override in these:
            if override.key in known:
                kept.append(override)
                continue
            hint = suggestion(override.key, offered)
            mistakes.append(f"{override.key}: no such choice here.{hint} There are: {', '.join(offered) or 'none'}.")
    return kept


def _type_mistake(override: Override, config: Mapping[str, Any]) -> str | None:
    top, default = override.key.partition(".")[0], lookup(config, override.key)
    signed = top in SIGNED or top == override.key
    if override.prefix == "~" or (signed and not isinstance(default, Mapping)):
        return None  # a signature that needs no torch will say it better
    return check_type(override.key, override.value, default)


@functools.lru_cache(maxsize=64)
def _composition(verb: str, overrides: tuple[str, ...], folders: tuple[Path, ...]) -> tuple[dict, dict]:
    from hydra import compose as hydra_compose
    from omegaconf import DictConfig, OmegaConf, open_dict

    with hydra_ready(folders[0]):
        config = hydra_compose(verb, [*searchpath(folders), *overrides], return_hydra_config=True)
        choices = OmegaConf.to_container(config.hydra.runtime.choices)
        assert isinstance(choices, dict)
        with open_dict(config):
            del config["hydra"]
        assert isinstance(config, DictConfig)
        plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    if "pair" in choices and not any((folder / "pair" / f"{choices['pair']}.yaml").is_file() for folder in folders):
        choices["pair"] = None  # it is optional: Hydra names it, whether or not it exists
    return plain, {key: value for key, value in choices.items() if not key.startswith("hydra/")}


def _hydra(verb: str, overrides: tuple[str, ...], folders: tuple[Path, ...]) -> tuple[dict, dict]:
    """Compose, with Hydra's words cut to their first lines where a YAML of ours or the user's is wrong."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        return deepcopy(_composition(verb, overrides, folders))
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        said = " ".join(line.strip() for line in str(error).splitlines()[:4] if line.strip())
        raise ConfigError(f"configs: {said}") from error


@contextmanager
def hydra_ready(folder: Path) -> Iterator[None]:
    """Point Hydra's compose API at a folder, whatever Hydra did before in this process."""
    from hydra import initialize_config_dir

    with initialize_config_dir(str(folder), version_base="1.3"):
        yield


def searchpath(folders: Sequence[Path]) -> list[str]:
    """Return the override by which the user's own folders join."""
    own = ",".join("'file://{}'".format(str(folder).replace("'", "\\'")) for folder in folders[1:])
    return [f"hydra.searchpath=[{own}]"] if own else []


def unset_or_wrong(composed: Composed) -> list[str]:
    """Return what is left unset, and what the signatures that need no torch say: verb, data, optimiser, schedule."""
    config = composed.config
    unset = sorted(_unset(config))
    said = _said_by(check, load(VERBS[composed.verb]), config, "")
    for key, table in SIGNED.items():
        node = config.get(key)
        if isinstance(node, Mapping) and "name" in node:
            said += check_node(key, table, node)
    wrong = [line for line in said if line.partition(":")[0] not in unset]
    return [f"still to be set: {' '.join(f'{key}=...' for key in unset)}", *wrong] if unset else wrong


def check_node(key: str, table: str, node: Mapping[str, Any]) -> list[str]:
    """Return the mistakes of a node; the phases of an optimiser are nodes of their own."""
    phases = node.get("phases") or {} if table == "optimizers" else {}
    own = {name: value for name, value in node.items() if name not in ELSEWHERE.get(key, ())}
    said = _said_by(bind, table, own, key)
    for phase, settings in phases.items():
        path = f"{key}.phases.{phase}"
        if isinstance(settings, Mapping):
            lines = _said_by(bind, table, {**own, **settings}, path)
            said += [line for line in lines if line.partition(":")[0].removeprefix(f"{path}.") in settings]
        else:
            said.append(f"{path}: allowed: settings of the optimiser, such as {path}.lr=1e-4.")
    return said


def _said_by(function: Any, *arguments: Any) -> list[str]:
    try:
        function(*arguments)
    except ConfigError as error:
        return str(error).splitlines()
    return []


def _unset(config: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _unset(value, f"{prefix}{key}.")
        elif value == "???":
            yield f"{prefix}{key}"


def check_model(composed: Composed) -> None:
    """Check the model's settings as well: this imports torch."""
    node = composed.config.get("model")
    if isinstance(node, Mapping):
        bind("models", node, "model")
