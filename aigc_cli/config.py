"""Bind the settings of a YAML node to the signature of the callable it names.

The signature is the schema: keyword-only parameters are settings, positional ones are run-time objects that the
caller supplies. A `name` can only pick an entry of our tables or of an installed package's entry points, so a
stranger's config runs no code of theirs.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import types
import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Union

from aigc_cli.errors import ConfigError
from aigc_cli.wording import allowed, given, near_miss, suggestion


@dataclass(frozen=True)
class Choice:
    """Mark a parameter that takes a node with a `name` from one of the tables, for a role that not all of it serve."""

    table: str
    role: str = ""


TABLES: dict[str, str] = {
    "models": "aigc_cli.models:MODELS",
    "losses": "aigc_cli.models:LOSSES",
    "penalties": "aigc_cli.models:PENALTIES",
    "regularisers": "aigc_cli.models:REGULARISERS",
    "augmentations": "aigc_cli.models:AUGMENTATIONS",
    "noises": "aigc_cli.models:NOISES",
    "corruptions": "aigc_cli.models:CORRUPTIONS",
    "networks": "aigc_cli.networks:NETWORKS",
    "datasets": "aigc_cli.data:DATASETS",
    "augments": "aigc_cli.data:AUGMENTS",
    "optimizers": "aigc_cli.optimizers:OPTIMIZERS",
    "schedules": "aigc_cli.schedules:SCHEDULES",
    "samplers": "aigc_cli.samplers:SAMPLERS",
}
ROLES = "aigc_cli.networks:ROLES"  # what each network serves as


def bind(table: str, node: Mapping[str, Any], path: str) -> functools.partial:
    """Return the callable that `node["name"]` names, with the node's other keys checked and bound."""
    mistakes: list[str] = []
    bound = _bind(table, node, path, mistakes)
    _raise_all(mistakes)
    assert bound is not None
    return bound


def check(
    function: Callable, settings: Mapping[str, Any], path: str = "", *, supplied: Collection[str] = ()
) -> dict[str, Any]:
    """Return the settings as the function's keyword-only parameters want them.

    supplied: keyword-only parameters that are run-time objects (a generator), so no settings.
    """
    mistakes: list[str] = []
    checked = _check(function, settings, path, mistakes, supplied)
    _raise_all(mistakes)
    return checked


def names(table: str, role: str = "") -> dict[str, str]:
    """Return the table's entries, name -> "module:callable", entry points of installed packages included.

    role: only what serves as that; what a package serves as is not known.
    """
    from importlib.metadata import entry_points

    found = {entry.name: entry.value for entry in entry_points(group=f"aigc.{table}")}
    ours = {name: target for name, target in load(TABLES[table]).items() if _serves(name, role)}
    return {**found, **ours}  # ours win: an installed package cannot replace what we wrote


def _serves(name: str, role: str) -> bool:
    return not role or role in load(ROLES).get(name, (role,))


def entry(table: str, name: Any, path: str, role: str = "") -> Callable:
    """Return what a table's name stands for; path: the setting that names it, role: what others would serve as."""
    target = load(TABLES[table]).get(name) if isinstance(name, str) else None
    if target is None:  # reading the installed packages' entry points takes a while: only now
        entries = names(table)
        target = entries.get(name) if isinstance(name, str) else None
        if target is None:
            serving = names(table, role)
            hint = suggestion(name, serving)
            raise ConfigError(f"{path}: no {name!r} among the {table}.{hint} Names: {', '.join(serving)}.")
    return load(target)


def load(target: str) -> Any:
    """Import what "module:attribute" names."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def parameters(function: Callable) -> dict[str, Any]:
    """Return the keyword-only parameters of a callable, name -> type (with its ranges)."""
    return {name: hint for name, (hint, _) in _schema(function).items()}


def _raise_all(mistakes: list[str]) -> None:
    if mistakes:
        raise ConfigError("\n".join(mistakes))


@functools.lru_cache(maxsize=256)
def _schema(function: Callable) -> dict[str, tuple[Any, bool]]:
    """Return keyword-only parameters, name -> (type, required); no other annotation is evaluated."""
    plain = inspect.unwrap(function.__init__ if inspect.isclass(function) else function)
    keywords = [p for p in inspect.signature(plain).parameters.values() if p.kind is p.KEYWORD_ONLY]

    def only() -> None: ...

    # Positional parameters may be annotated by names imported for type checkers only (torch): leave them alone.
    only.__annotations__ = {p.name: Any if p.annotation is p.empty else p.annotation for p in keywords}
    hints = typing.get_type_hints(only, globalns=getattr(plain, "__globals__", {}), include_extras=True)
    return {p.name: (hints[p.name], p.default is p.empty) for p in keywords}


def _bind(table: str, node: Any, path: str, mistakes: list[str], role: str = "") -> functools.partial | None:
    if not isinstance(node, Mapping) or "name" not in node:
        known = ", ".join(names(table, role))
        what = "no 'name'" if isinstance(node, Mapping) else f"given {given(node)}"
        mistakes.append(f"{path}: {what}, allowed: settings with a name out of {known}.")
        return None
    try:
        function = entry(table, node["name"], f"{path}.name", role)
    except ConfigError as error:
        mistakes.append(str(error))
        return None
    if not _serves(node["name"], role):
        mistakes.append(f"{path}: {node['name']} is no {role}. Names: {', '.join(names(table, role))}.")
        return None
    settings = {key: value for key, value in node.items() if key != "name"}
    return functools.partial(function, **_check(function, settings, path, mistakes))


def _check(
    function: Callable, settings: Mapping[str, Any], path: str, mistakes: list[str], supplied: Collection[str] = ()
) -> dict[str, Any]:
    schema = {name: entry for name, entry in _schema(function).items() if name not in supplied}
    prefix = f"{path}." if path else ""
    for key in settings:
        if key not in schema:
            known = ", ".join(schema) or "none"
            mistakes.append(f"{prefix}{key}: no such setting.{suggestion(key, schema)} Settings: {known}.")
    checked = {}
    for name, (hint, required) in schema.items():
        if name in settings:
            checked[name] = _value(hint, settings[name], prefix + name, mistakes)
        elif required:
            mistakes.append(f"{prefix}{name}: not set, allowed: {allowed_setting(hint)}.")
    return checked


def choice_of(hint: Any) -> tuple[Choice | None, bool]:
    """Return the Choice that a type carries, if any, and whether null is allowed."""
    if typing.get_origin(hint) in (Union, types.UnionType):
        inner = [choice_of(argument)[0] for argument in typing.get_args(hint)]
        return next((choice for choice in inner if choice), None), type(None) in typing.get_args(hint)
    marks = typing.get_args(hint)[1:] if typing.get_origin(hint) is Annotated else ()
    return next((mark for mark in reversed(marks) if isinstance(mark, Choice)), None), False  # the narrowest


def allowed_setting(hint: Any) -> str:
    """Say what a parameter takes, a choice out of a table included."""
    choice, optional = choice_of(hint)
    if choice is None:
        return allowed(hint)
    return f"settings with a name out of {', '.join(names(choice.table, choice.role))}" + (
        " or null" if optional else ""
    )


def _value(hint: Any, value: Any, path: str, mistakes: list[str]) -> Any:
    choice, optional = choice_of(hint)
    if choice is None:
        return _validated(hint, value, path, mistakes)
    return None if optional and value is None else _bind(choice.table, value, path, mistakes, choice.role)


def _validated(hint: Any, value: Any, path: str, mistakes: list[str]) -> Any:
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    adapter = TypeAdapter(hint, config=ConfigDict(strict=True, arbitrary_types_allowed=True, allow_inf_nan=False))
    try:  # as JSON, because YAML's lists are to pass for tuples and its texts for paths, strictly otherwise
        return adapter.validate_json(json.dumps(value))
    except ValidationError as error:
        reasons = [detail["msg"] for detail in error.errors() if detail["type"] in ("value_error", "assertion_error")]
    whole = isinstance(value, float) and value.is_integer() and "whole number" in allowed(hint)
    extra = [*reasons, f"write {int(value)}"] if whole else reasons
    said = "".join(f"; {each}" for each in extra)
    mistakes.append(f"{path}: given {given(value)}, allowed: {allowed(hint)}{said}.{near_miss(value, hint)}")
    return None
