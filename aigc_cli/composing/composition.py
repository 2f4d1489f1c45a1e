"""Ask Hydra to compose YAML files, in plain values and in few words."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

from aigc_cli.errors import ConfigError

if TYPE_CHECKING:
    from omegaconf import DictConfig

TO_BE_SET = "to be set"  # what a preset says of a setting that its base sets and it leaves to the user
WHOLE = ("optimizer", "schedule")  # and every part of a model: model/penalty@model.penalty


def configs_folder() -> Path:
    """Return the folder of configs: inside the package when installed, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
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


@functools.lru_cache(maxsize=64)
def _composition(verb: str, choices: tuple[str, ...], folders: tuple[Path, ...]) -> tuple[DictConfig, dict]:
    from hydra import compose as hydra_compose
    from omegaconf import open_dict

    with hydra_ready(folders[0]):
        config = hydra_compose(verb, [*searchpath(folders), *choices], return_hydra_config=True)
    chosen = {str(group): choice for group, choice in config.hydra.runtime.choices.items()}
    with open_dict(config):
        del config["hydra"]
        _keep_whole(config, choices, folders)
    if "pair" in chosen and not any((folder / "pair" / f"{chosen['pair']}.yaml").is_file() for folder in folders):
        chosen["pair"] = None  # it is optional: Hydra names it, whether or not it exists
    return config, {key: value for key, value in chosen.items() if not key.startswith("hydra/")}


def _keep_whole(config: DictConfig, choices: Sequence[str], folders: Sequence[Path]) -> None:
    """Let a part that the command line chooses be that part alone: what a pair or recipe says of another is dropped."""
    from omegaconf import OmegaConf

    for choice in choices:
        group, _, name = choice.partition("=")
        if group in WHOLE or group.startswith("model/"):
            node = _alone(group.partition("@")[0], name, folders)
            if node is not None:
                OmegaConf.update(config, package_of(group), node, merge=False)


def _alone(group: str, name: str, folders: Sequence[Path]) -> DictConfig | None:
    """Return what an option of a group says by itself; None where it takes more than its own group to say."""
    from omegaconf import DictConfig, OmegaConf

    file = next((each for folder in folders if (each := folder / group / f"{name}.yaml").is_file()), None)
    own = OmegaConf.load(file) if file else None
    if not isinstance(own, DictConfig):
        return None
    entries = own.pop("defaults", [])
    parts = [own if entry == "_self_" else _alone(group, str(entry), folders) for entry in entries]
    if any(part is None for part in parts):
        return None
    merged = OmegaConf.merge(*parts, *([] if "_self_" in entries else [own]))
    return merged if isinstance(merged, DictConfig) else None


def compose_plain(
    verb: str, choices: tuple[str, ...], folders: tuple[Path, ...], values: Sequence[str] = ()
) -> tuple[dict, dict]:
    """Compose choices, set values, resolve; return the config and the choices.

    Hydra's words are cut to their first lines where a YAML of ours or the user's is wrong.
    """
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        config, chosen = deepcopy(_composition(verb, choices, folders))
        # What Hydra itself does last; composing all files again for it would double the time of every command.
        ConfigLoaderImpl._apply_overrides_to_config(OverridesParser.create().parse_overrides(list(values)), config)
        plain = OmegaConf.to_container(config, resolve=True)
    except (HydraException, OmegaConfBaseException, YAMLError, UnicodeDecodeError) as error:
        said = " ".join(line.strip() for line in str(error).splitlines()[:4] if line.strip())
        if "nterpolation" in said and any("${" in value for value in values):
            which = next(value for value in values if "${" in value).lstrip("+")
            raise ConfigError(f'{which}: ${{...}} means another setting; for the shell\'s, quote by "...".') from error
        raise ConfigError(f"configs: {said}") from error
    assert isinstance(plain, dict)
    return _unset_again(plain), chosen


def _unset_again(config: dict) -> dict:
    """Return a config in which ??? stands for "to be set": OmegaConf lets no ??? replace what a base preset says."""
    return {
        key: _unset_again(value) if isinstance(value, dict) else "???" if value == TO_BE_SET else value
        for key, value in config.items()
    }


@contextmanager
def hydra_ready(folder: Path) -> Iterator[None]:
    """Point Hydra's compose API at a folder, whatever Hydra did before in this process."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    current = GlobalHydra.instance()
    outer, current.hydra = current.hydra, None  # the jobs of a sweep run inside of Hydra
    try:
        with initialize_config_dir(str(folder), version_base="1.3"):
            yield
    finally:
        current = GlobalHydra.instance()
        current.hydra = outer


def searchpath(folders: Sequence[Path]) -> list[str]:
    """Return the override by which the user's own folders join."""
    own = ",".join("'file://{}'".format(str(folder).replace("'", "\\'")) for folder in folders[1:])
    return [f"hydra.searchpath=[{own}]"] if own else []


def files_used(verb: str, choices: Mapping[str, str | None], folders: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """Yield the files that a config was composed from, in Hydra's order, with the package each one fills."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.types import RunMode

    chosen = [f"{group}={choice}" for group, choice in choices.items() if choice and group != "pair"]
    with hydra_ready(folders[0]):
        loader = GlobalHydra.instance().config_loader()
        overrides = [*searchpath(folders), *chosen]
        entries = loader.compute_defaults_list(verb, overrides, RunMode.RUN).defaults
    for entry in entries:
        files = [folder / f"{entry.config_path}.yaml" for folder in folders]
        found = [file for file in files if file.is_file()]
        if found:
            yield found[0], "" if entry.package in (None, "_global_") else entry.package


def package_of(choice: str) -> str:
    """Return the settings that a choice fills: model.generator of model/network@model.generator."""
    return choice.partition("@")[2] or choice.replace("/", ".")
