"""Read what was typed as key=value, and find what is wrong with it before anything is composed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aigc_cli.errors import ConfigError
from aigc_cli.wording import ALSO_CALLED, GROUP, given, suggestion

# Values of these keys are paths or names, in which `=`, commas and brackets mean nothing.
PATHS = {"ckpt", "init", "output", "root", "cache", "path", "folder", "file", "name"}

VERBATIM = ("prompt", "source", "target")  # text as it is, of aigc sample


@dataclass(frozen=True)
class Override:
    """Hold one override as Hydra's grammar read it."""

    typed: str
    prefix: str  # "", "+", "++" or "~"
    key: str  # optimizer.lr, model or model/network@model.generator
    raw: str | None  # what stands behind the first `=`, quoted where the grammar needs it
    value: Any  # the plain value; for a sweep the list of its values (of an interval: its ends)
    sweep: bool = False
    texts: tuple[str, ...] = ()  # the values of a sweep, as they would be typed one by one
    group: bool = False  # chooses a file of a group

    @property
    def normal(self) -> str:
        """Return what was typed without a plus."""
        return self.typed.lstrip("+")

    @property
    def setting(self) -> str:
        """Return the form for Hydra that sets a value: whether the key exists was checked by us."""
        return f"~{self.key}" if self.prefix == "~" else f"++{self.key}={self.raw}"

    @property
    def choice(self) -> str:
        """Return the form for Hydra that chooses a file of a group."""
        return f"~{self.key}" if self.value is None else f"{self.key}={self.raw}"


class Groups:
    """Know which files can be chosen: groups are the folders below the folders of configs."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = folders

    def options(self, group: str) -> dict[str, Path]:
        """Return the files of a group, name -> path; the first folder wins, as in Hydra."""
        found: dict[str, Path] = {}
        for folder in self.folders:
            for file in sorted((folder / group).glob("*.yaml")):
                found.setdefault(file.stem, file)
        return {name: file for name, file in sorted(found.items()) if not name.startswith("_")}

    def names(self) -> list[str]:
        """Return the groups: model, data, model/network, ..."""
        inside = {f.parent.relative_to(folder) for folder in self.folders for f in folder.rglob("*.yaml")}
        return sorted(str(group) for group in inside if str(group) != ".")

    def __contains__(self, key: str) -> bool:
        return "@" in key or any((folder / key).is_dir() for folder in self.folders if key)


def read(typed: Iterable[str], groups: Groups, mistakes: list[str]) -> list[Override]:
    """Parse what was typed; what cannot be parsed is added to the mistakes."""
    found = []
    for text in typed:
        try:
            override = parse(text)
            found.append(replace(override, group=override.key in groups))
        except ConfigError as error:
            options = [f"{g}={text}" for g in groups.names() if "=" not in text and text in groups.options(g)]
            mistakes.append(f"{error} Did you mean {' or '.join(options)}?" if options else str(error))
    return found


def parse(text: str) -> Override:
    """Parse one override by Hydra's grammar, quoting a value that it cannot take as it is."""
    if text.startswith("-"):
        key, _, value = text.lstrip("-").partition("=")
        raise ConfigError(f"{text}: no such flag; settings are written without dashes: {key}={value or 'VALUE'}.")
    if text.startswith("~"):
        return Override(text, "~", text[1:].partition("=")[0], None, None)
    key, equals, raw = text.partition("=")
    if key in VERBATIM and raw not in ("", "null"):
        return Override(text, "", key, quote(raw), raw)
    if not key and not raw:
        raise ConfigError(f"{text}: no spaces around '='; write key=value in one word.")
    if raw.count("[") > raw.count("]"):
        raise ConfigError(f"{text}: this list has no end; write it without spaces, or in quotes: '{key}=[a,b]'.")
    prefix = "++" if key.startswith("++") else "+" if key.startswith("+") else ""
    key = key[len(prefix) :].strip()
    group, _, package = key.partition("@")
    key = group if package == group.replace("/", ".") else key  # model/noise@model.noise is where it goes anyway
    if not equals or not key:
        raise ConfigError(f"{text}: not of the form key=value.")
    path_like = key.rpartition(".")[2] in PATHS
    plain = path_like or not re.search(r"""[][{}(),'"]""", raw)
    parsed, problem = _grammar(f"{key}={raw}")
    odd = parsed is not None and not parsed.is_sweep_override() and not isinstance(parsed.value(), str | None)
    if path_like and (odd or (parsed and parsed.is_sweep_override() and Path(raw).exists())):
        parsed = None  # a folder called 2024 is no number, and one called a,b no sweep
    if parsed is None and plain:
        raw = quote(raw)
        parsed, problem = _grammar(f"{key}={raw}")
    if parsed is None:
        raise ConfigError(f'{text}: the value cannot be read ({problem}); put it in quotes: "{key}={quote(raw)}".')
    if not parsed.is_sweep_override():
        return Override(text, prefix, key, raw, parsed.value())
    return _sweep(text, prefix, key, raw, parsed)


def quote(raw: str) -> str:
    """Put a text in quotes that Hydra's grammar takes off again."""
    escaped = re.sub(r"(\\*)'", lambda found: found[1] * 2 + r"\'", raw)
    return "'" + re.sub(r"(\\+)$", lambda found: found[1] * 2, escaped) + "'"


def _grammar(text: str) -> tuple[Any, str]:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(text), ""
    except HydraException as error:
        return None, str(error).splitlines()[0]


def _sweep(text: str, prefix: str, key: str, raw: str, parsed: Any) -> Override:
    from hydra.core.override_parser.types import QuotedString

    if parsed.is_discrete_sweep():
        values = list(parsed.sweep_iterator())
        texts = tuple(map(str, parsed.sweep_string_iterator()))
    else:
        values = [parsed.value().start, parsed.value().end]
        texts = tuple(map(str, values))
    plain = [value.text if isinstance(value, QuotedString) else value for value in values]
    return Override(text, prefix, key, raw, plain, sweep=True, texts=texts)


def check_group(override: Override, groups: Groups, mistakes: list[str]) -> bool:
    """Tell whether the file that a group override chooses exists; if not, say what exists."""
    group, value = override.key.partition("@")[0], override.value
    options = groups.options(group)
    if value is None and (group in ("recipe", "pair") or "/" in group):  # the others are what training is made of
        return True
    if isinstance(value, str) and any((folder / group / f"{value}.yaml").is_file() for folder in groups.folders):
        return True
    known = ", ".join(options) or "none, looked in " + ", ".join(str(folder / group) for folder in groups.folders)
    given_name = "null" if value is None else str(value)
    mistakes.append(f"{override.key}: no '{given_name}'.{suggestion(given_name, options)} There are: {known}.")
    return False


def check_key(key: str, config: Mapping[str, Any], touched: Iterable[str], choices: Iterable[str] = ()) -> str | None:
    """Return what is wrong with a dotted key; `touched` are all keys that the same command sets, choices the groups.

    Below optimizer.phases a phase is free: the model, which is not built yet, knows its phases.
    """
    parts = key.split(".")
    if parts[:2] == ["optimizer", "phases"] and len(parts) == 4 and isinstance(config.get("optimizer"), Mapping):
        siblings = [name for name in config["optimizer"] if name not in ("name", "phases")]
        return None if parts[3] in siblings else _no_such(key, siblings, config)
    node: Any = config
    for depth, part in enumerate(parts):
        parent = ".".join(parts[:depth])
        if isinstance(node, Mapping) and part in node:
            node = node[part]
        elif isinstance(node, list) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        elif depth and (node is None or f"{parent}.name" in touched or parent in touched):
            return None  # another name brings other settings: its signature will check them
        elif isinstance(node, Mapping):
            more = [choice for choice in choices if "/" not in choice and choice not in node] if not depth else []
            return _no_such(".".join(parts[: depth + 1]), [*node, *more], config)
        else:
            return f"{key}: no such setting, {parent} is a single value ({given(node)})."
    return None


def _no_such(key: str, siblings: Sequence[str], config: Mapping[str, Any]) -> str:
    parent, _, last = key.rpartition(".")
    known = list(flatten(config))
    elsewhere = [other for other in known if other.rpartition(".")[2] in (last, ALSO_CALLED.get(last))]
    if elsewhere and not parent:
        hint = f" Did you mean {' or '.join(repr(other) for other in elsewhere[:3])}?"
    else:
        hint = suggestion(last, siblings) or suggestion(key, known, 0.8)
    return f"{key}: no such setting.{hint} Settings: {', '.join(map(str, siblings)) or 'none'}."


def flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield every dotted key, groups included."""
    for key, value in config.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")


def lookup(config: Any, key: str) -> Any:
    """Return the value of a dotted key, None where there is none."""
    for part in key.split("."):
        if isinstance(config, Mapping):
            config = config.get(part)
        elif isinstance(config, list) and part.isdigit() and int(part) < len(config):
            config = config[int(part)]
        else:
            return None
    return config


def check_type(key: str, value: Any, default: Any) -> str | None:
    """Return what is wrong with the type of a value, judged by the type of the default."""
    if value is None or default is None or default == "???" or (isinstance(value, str) and "${" in value):
        return None  # whether null is allowed, or what else is where null is the default, the signature says
    if default == "auto" and isinstance(value, bool):
        return None  # so it does whether `auto` has true and false beside it
    kinds = {bool: "true or false", int: "number", float: "number", str: "text", list: "list", dict: GROUP}
    wanted = kinds.get(type(default))
    if wanted is None or kinds.get(type(value)) == wanted:
        return None
    hint = f"; write {key}=[{value}]" if wanted == "list" else ""
    usual = f"{key}.{next(iter(default), '...')}=..." if isinstance(default, Mapping) else plain(default)
    such = "" if isinstance(default, bool) else f" (such as {usual})"
    return f"{key}: given {given(value)}, allowed: {wanted}{such}{hint}."


def plain(value: Any) -> str:
    """Write a value as it would be typed."""
    return str(value).lower() if isinstance(value, bool) else str(value)
