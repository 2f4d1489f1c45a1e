"""Compose a verb's config with Hydra, and answer every mistake at once, before torch is imported."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aigc_cli.composing.comments import comments, meanings
from aigc_cli.composing.composition import compose_plain, config_folders, package_of
from aigc_cli.composing.overrides import VERBATIM, Groups, Override, check_group, check_key, check_type, lookup, read
from aigc_cli.config import bind, check, load
from aigc_cli.data import PIPELINE, check_pipeline
from aigc_cli.errors import ConfigError

# The verbs that YAML configures: their functions' keyword-only parameters are the top-level keys.
VERBS = {
    "train": "aigc_cli.commands.train:train",
    "sample": "aigc_cli.commands.sample:sample",
    "data": "aigc_cli.commands.data:data",
    "evaluate": "aigc_cli.commands.evaluate:evaluate",
    "reconstruct": "aigc_cli.commands.reconstruct:reconstruct",
    "encode": "aigc_cli.commands.encode:encode",
    "anomaly": "aigc_cli.commands.anomaly:anomaly",
    "denoise": "aigc_cli.commands.transform:transform",
    "upscale": "aigc_cli.commands.transform:transform",
    "translate": "aigc_cli.commands.transform:transform",
    "stylize": "aigc_cli.commands.stylize:stylize",
    "chat": "aigc_cli.commands.chat:chat",
}
SIGNED = {"data": "datasets", "optimizer": "optimizers", "schedule": "schedules"}  # tables that need no torch
# Keys of these nodes that are not the callable's: they are checked where they are used.
ELSEWHERE = {"data": PIPELINE, "optimizer": ("phases",)}


@dataclass(frozen=True)
class Composed:
    """Hold what a command line says: plain, resolved, checked."""

    verb: str
    config: dict[str, Any]
    defaults: dict[str, Any]  # the same choices without the command line's values: what differs is what the user set
    choices: dict[str, str | None]  # {"model": "dcgan", "model/network@model.generator": ..., "recipe": None}
    overrides: list[str]  # as typed, without pluses, short forms of choices written out
    swept: tuple[str, ...] = ()  # the keys that the sweep varies which this is a job of
    config_dir: str | None = None  # the user's own folder of configs


def compose(
    verb: str,
    overrides: Sequence[str],
    *,
    config_dir: str | Path | None = None,
    swept: Iterable[str] = (),
    complete: bool = True,
) -> Composed:
    """Return the composed config of a verb, or raise one ConfigError that lists every mistake, a line each.

    complete: whether settings that nobody set are a mistake.
    """
    folders = tuple(config_folders(config_dir))
    mistakes: list[str] = []
    typed = checked_overrides(verb, read(overrides, Groups(folders), mistakes), folders, mistakes)
    choices = tuple(o.choice for o in typed if o.group)
    config, chosen = compose_plain(verb, choices, folders, [o.setting for o in typed if not o.group])
    defaults, _ = compose_plain(verb, choices, folders)
    own = str(config_dir) if config_dir is not None else None
    composed = Composed(verb, config, defaults, chosen, [o.normal for o in typed], tuple(swept), own)
    unset, wrong = unset_and_wrong(composed, ours=len(folders) == 1)
    if unset and complete:
        meaning = meanings(verb, chosen, folders)
        mistakes += [f"{key}: not set. It is: {meaning.get(key, 'needed')}. Type {key}=..." for key in unset]
    mistakes += wrong
    if mistakes:
        raise ConfigError("\n".join(dict.fromkeys(mistakes)))
    return composed


def checked_overrides(
    verb: str, typed: Sequence[Override], folders: tuple[Path, ...], mistakes: list[str]
) -> list[Override]:
    """Return the overrides without mistakes: groups are checked against the files, keys against the composition."""
    groups = Groups(folders)
    single = [override for override in typed if not _is_misplaced(verb, override, mistakes)]
    found = [override for override in single if override.group and check_group(override, groups, mistakes)]
    choices = _existing(verb, found, folders, mistakes)
    config, chosen = compose_plain(verb, tuple(o.choice for o in choices), folders)
    keys = {package_of(choice): choice for choice in chosen if "." in package_of(choice)}
    settings = []
    for override in [override for override in single if not override.group]:
        if override.key in keys and isinstance(override.value, str):  # model.loss=hinge is short for the whole key
            key = keys[override.key]
            longer = replace(override, typed=f"{key}={override.raw}", key=key, group=True)
            choices += [longer] if check_group(longer, groups, mistakes) else []
        else:
            settings.append(override)
    config, chosen = compose_plain(verb, tuple(o.choice for o in choices), folders)
    touched = [override.key for override in settings]
    offered = [choice for choice in chosen if choice != "pair"]
    for override in settings:
        wrong = check_key(override.key, config, touched, choices=offered) or _type_mistake(override, config)
        mistakes += [wrong + _others_with(override.key, groups)] if wrong else []
        choices += [] if wrong else [override]
    return choices


def _others_with(key: str, groups: Groups) -> str:
    """Say which other files of the group have the setting that this one has not."""
    group, _, setting = key.partition(".")
    if not setting or "." in setting:
        return ""
    having = [name for name, file in groups.options(group).items() if setting in dict(comments(file))]
    return f" It is one of {group}={', '.join(having)}." if having else ""


def _is_misplaced(verb: str, override: Override, mistakes: list[str]) -> bool:
    """Tell whether an override belongs to sweeps only."""
    if override.sweep:
        many = f"{override.key}: given {len(override.value)} values ({override.raw}), allowed: one."
        if re.fullmatch(r"\d{1,3}(,\d{3})+", override.raw or ""):
            ways = f"write {override.key}={override.raw.replace(',', '')}"  # type: ignore[union-attr]
        else:
            all_of_them = "to run them all, add -m; " if verb == "train" else ""
            ways = f"{all_of_them}a list is written {override.key}=[{override.raw}]"
        mistakes.append(f"{many} {ways[0].upper()}{ways[1:]}.")
    elif override.key.startswith(("hydra.", "hydra/")):
        mistakes.append(f"{override.key}: only sweeps use Hydra's own settings; add -m.")
    else:
        return False
    return True


def _existing(verb: str, typed: Sequence[Override], folders: tuple[Path, ...], mistakes: list[str]) -> list[Override]:
    """Return the choices that this verb, then this model, offers."""
    try:
        compose_plain(verb, tuple(override.choice for override in typed), folders)
        return list(typed)
    except ConfigError:  # one of them does not exist here: find out which
        pass
    kept: list[Override] = []
    for nested in (False, True):  # which networks there are to choose is known once the model is
        these = [override for override in typed if ("/" in override.key) is nested]
        known = compose_plain(verb, tuple(o.choice for o in kept), folders)[1] if these else {}
        offered = [choice for choice in known if ("/" in choice) is nested and choice != "pair"]
        for override in these:
            if override.key in known:
                kept.append(override)
                continue
            if not offered:
                mistakes.append(f"{override.key}: `aigc {verb}` has settings to set, nothing to choose by name.")
                continue
            where = f"model={known.get('model')}" if nested else f"`aigc {verb}`"
            known_here = ", ".join(offered) or "none"
            hint = _choice_meant(override.key, offered)
            mistakes.append(f"{override.key}: {where} has no such choice.{hint} It has: {known_here}.")
    return kept


def _choice_meant(key: str, offered: Sequence[str]) -> str:
    """Return which choice may have been meant: one of the same group at another place, or one of a similar name."""
    if places := [choice for choice in offered if choice.partition("@")[0] == key]:
        return f" Did you mean {' or '.join(map(repr, places))}?"
    short = {choice.partition("/")[2]: choice for choice in offered}  # what all of them have in common says nothing
    close = difflib.get_close_matches(key.partition("/")[2], short, n=1)
    return f" Did you mean '{short[close[0]]}'?" if close else ""


def _type_mistake(override: Override, config: Mapping[str, Any]) -> str | None:
    default = lookup(config, override.key)
    top, _, rest = override.key.partition(".")
    signed = not rest or (top in SIGNED and rest not in ELSEWHERE.get(top, ()))
    if override.prefix == "~" or (signed and not isinstance(default, Mapping)):
        return None  # a signature that needs no torch will say it better
    return check_type(override.key, override.value, default)


def unset_and_wrong(composed: Composed, *, ours: bool) -> tuple[list[str], list[str]]:
    """Return what is left unset, and what the signatures that need no torch say: verb, data, optimiser, schedule.

    ours: whether all files are. Such data that nobody set anything of are right: a test says so, and importing
    what reads them takes longer than all the rest.
    """
    config = composed.config
    unset = sorted(key for key in to_be_given(config) if key not in VERBATIM)
    said = _said_by(check, load(VERBS[composed.verb]), config, "")
    plain = ours and not composed.choices.get("recipe") and not composed.choices.get("pair")
    for key, table in SIGNED.items():
        node = config.get(key)
        tested = plain and key == "data" and node == composed.defaults.get(key)
        if isinstance(node, Mapping) and "name" in node and not tested:
            said += check_node(key, table, node)
    return unset, [line for line in said if line.partition(":")[0] not in unset]


def check_node(key: str, table: str, node: Mapping[str, Any]) -> list[str]:
    """Return the mistakes of a node; the phases of an optimiser are nodes of their own."""
    phases = node.get("phases") or {} if table == "optimizers" else {}
    own = {name: value for name, value in node.items() if name not in ELSEWHERE.get(key, ())}
    said = _said_by(bind, table, own, key)
    if table == "datasets":
        said += _said_by(lambda: check_pipeline(node, complete=False))
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


def to_be_given(config: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted paths of what must be given and is not."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from to_be_given(value, f"{prefix}{key}.")
        elif value == "???":
            yield f"{prefix}{key}"


def check_model(composed: Composed) -> None:
    """Check the model's settings as well: this imports torch."""
    node = composed.config.get("model")
    if isinstance(node, Mapping):
        from aigc_cli.checkpoints.first_stages import with_first_stage

        bind("models", with_first_stage(node), "model")
