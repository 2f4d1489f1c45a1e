"""Name a run after its command: the same command finds its run again."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aigc_cli.data import WELL_KNOWN
from aigc_cli.errors import ConfigError
from aigc_cli.runs.settings import ABSENT, RUN_ONLY, differing, flatten, plain

if TYPE_CHECKING:
    from aigc_cli.composing.compose import Composed

SLUG_LENGTH = 60
VALUE_LENGTH = 20
NAME_LENGTH = 120  # leaves room for `.old-1` within the 255 bytes of a file name


def run_directory(composed: Composed, root: str | Path, run_only: Iterable[str] = RUN_ONLY) -> Path:
    """Return where the run of this command lives: root/<recipe or model-data>[-<what the user set>], or root/<name>."""
    name = composed.config.get("name")
    if name is not None:
        return Path(root) / checked_name(str(name))
    slug = slug_of(composed, tuple(run_only))
    return Path(root) / (base_name(composed.choices) + (f"-{slug}" if slug else ""))


def checked_name(name: str) -> str:
    """Return the name, or refuse one that would leave the folder of runs or confuse a shell."""
    if re.fullmatch(r"\w[\w.\-]*", name, re.ASCII) and len(name.encode()) <= NAME_LENGTH:
        return name
    allowed = f"letters a to z, digits, '_', '-' and '.', not starting with '.' or '-', at most {NAME_LENGTH} bytes"
    raise ConfigError(f"name: given {name!r}, allowed: {allowed}. Type for example: name=first_try.")


def base_name(choices: Mapping[str, str | None]) -> str:
    """Return the recipe, or model-data."""
    parts = [choices.get("recipe")] if choices.get("recipe") else [choices.get("model"), choices.get("data")]
    return "-".join(safe(part or "none") for part in parts)


def slug_of(composed: Composed, run_only: tuple[str, ...]) -> str:
    """Return what the user set, such as `batch_size_32-lr_0.0002`; cut and hashed where it grows long."""
    set_by_user = {**chosen(composed), **changed(composed, run_only)}
    if not set_by_user:
        return ""
    paths = {*flatten(composed.config), *flatten(composed.defaults)}
    # Two settings may have the same short key (a group chosen and a key set): then both are written in full.
    parts = [f"{short_key(path, paths)}_{short_value(value)}" for path, value in set_by_user.items()]
    if len(slug := "-".join(parts)) <= SLUG_LENGTH:
        return slug
    whole = next(short for count in range(len(parts), 0, -1)
                 if len(short := "-".join(parts[:count])) <= SLUG_LENGTH or count == 1)  # fmt: skip
    exact = json.dumps({path: plain(value) for path, value in set_by_user.items()})
    return f"{whole_words(whole, SLUG_LENGTH)}-{digest(exact, 6)}"


def chosen(composed: Composed) -> dict[str, str]:
    """Return the groups that the command line names, such as optimizer=sgd; model and data name the run already."""
    named = {"recipe"} if composed.choices.get("recipe") else {"recipe", "model", "data"}
    typed = {override.partition("=")[0].lstrip("+~") for override in composed.overrides}
    groups = sorted(typed & composed.choices.keys() - named)
    return {group: composed.choices[group] or "null" for group in groups}


def changed(composed: Composed, run_only: tuple[str, ...]) -> dict[str, Any]:
    """Return the settings that differ from the chosen presets', and all that a sweep varies.

    Settings that do not change what is learnt stay out, unless they are swept: their runs must not share a folder.
    Where a well-known data set lies is one of them; the folder of one's own pictures is not.
    """
    unnamed = (*run_only, "data.root") if composed.config["data"].get("name") in WELL_KNOWN else run_only
    paths = {path: new for path, (_, new) in differing(composed.defaults, composed.config, unnamed).items()}
    grown = {path for path, new in paths.items() if new is ABSENT and is_under_any(path, paths)}
    paths = {path: new for path, new in paths.items() if path not in grown}  # an empty group that got a setting
    flat = flatten(composed.config)
    swept = {path: flat[path] for path in composed.swept if path in flat}
    return dict(sorted({**paths, **swept}.items()))


def is_under_any(path: str, others: Iterable[str]) -> bool:
    """Tell whether one of the others lies below a path."""
    return any(other.startswith(f"{path}.") for other in others)


def short_key(path: str, paths: Iterable[str]) -> str:
    """Return the shortest ending of a dotted path that no other setting shares."""
    parts = path.replace("@", ".").replace("/", ".").split(".")
    for count in range(1, len(parts)):
        ending = ".".join(parts[-count:])
        if not any(other != path and (other == ending or other.endswith(f".{ending}")) for other in paths):
            return safe(ending)
    return safe(".".join(parts))


def short_value(value: Any) -> str:
    """Write a value in characters that neither shells nor Hydra read as their own; what is cut leaves a hash."""
    text = "unset" if value is ABSENT else "-".join(map(plain, value)) if isinstance(value, list) else plain(value)
    if value == []:
        return "none"
    short = safe(Path(text).name if "/" in text else text)
    if short == text and len(short) <= VALUE_LENGTH:
        return short
    return f"{whole_words(short, VALUE_LENGTH)}-{digest(text, 4)}"


def whole_words(text: str, most: int) -> str:
    """Return as much of a name as has so many characters, cut between its words; of one long word its beginning."""
    if len(text) <= most:
        return text
    places = [match.start() for match in re.finditer(r"[-_.+]+", text[: most + 1]) if match.start()]
    return text[: places[-1] if places else most].rstrip("-_.")


def safe(text: str) -> str:
    """Replace what is no letter, digit, '_', '.' or '-'."""
    return re.sub(r"[^A-Za-z0-9_.\-]+", "_", text).strip("_") or "_"


def digest(text: str, length: int) -> str:
    """Return the first hex digits of the SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]
