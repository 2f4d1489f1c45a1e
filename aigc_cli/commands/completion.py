"""`aigc completion SHELL` prints a script; the hidden `aigc _complete SHELL LINE` answers it, without torch."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from aigc_cli.errors import ConfigError
from aigc_cli.wording import suggestion

SCRIPTS = {
    "bash": """\
_aigc() {
    local IFS=$'\\n'
    COMPREPLY=($("${COMP_WORDS[0]}" _complete bash "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null))
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=./] ]]; then compopt -o nospace 2>/dev/null; fi
}
complete -F _aigc aigc
""",
    "zsh": """\
#compdef aigc
_aigc() {
    local -a found open closed
    found=("${(@f)$("${words[1]}" _complete zsh "${(j: :)words[1,CURRENT]}" 2>/dev/null)}")
    open=("${(@M)found:#*[=./]}") closed=("${(@)found:#*[=./]}")
    (( ${#open} )) && compadd -S '' -- "${open[@]}"
    [[ -n "${closed[1]}" ]] && compadd -- "${closed[@]}"
}
compdef _aigc aigc
""",
    "fish": """\
complete -c aigc -f -a '(aigc _complete fish (commandline -cp | string collect))'
""",
}
FLAGS = ["--help", "--multirun", "--cfg", "--resolve", "--package", "--info", "--config-dir"]
WORDS = {"data": ["check", "pack"], "completion": list(SCRIPTS)}


def main(words: Sequence[str]) -> int:
    """Print the script of a shell."""
    if len(words) != 1 or words[0] not in SCRIPTS:
        hint = suggestion(words[0], SCRIPTS) if words else ""
        raise ConfigError(f"completion: name a shell.{hint} Shells: {', '.join(SCRIPTS)}.")
    print(SCRIPTS[words[0]], end="")
    return 0


def complete(words: Sequence[str]) -> int:
    """Print what the last word of a line, read up to the cursor, could become."""
    shell, line, breaks = (*words, "", "", "")[:3]
    try:
        found = candidates(split(line))
    except ConfigError:
        return 1  # a config folder that cannot be read completes nothing, and says so when the command runs
    if shell == "bash":
        typed = split(line)[-1]
        head = max((typed.rfind(character) for character in breaks), default=-1) + 1
        # bash replaces only what stands behind its last break, and inserts as it is what would end the word
        found = [re.sub(r"""([\s()&;<>|'"$`\\])""", r"\\\1", word[head:]) for word in found if word.startswith(typed)]
    print("".join(f"{word}\n" for word in found), end="")
    return 0


def split(line: str) -> list[str]:
    """Split a line into words as a shell would; the last is the one to complete, maybe empty."""
    for closing in ("", "'", '"'):
        try:
            words = shlex.split(line + closing)
        except ValueError:
            continue
        return [*words, ""] if not closing and (not line or line[-1].isspace()) else words
    return [""]


def candidates(words: Sequence[str]) -> list[str]:
    """Return what the last word could become."""
    from aigc_cli.commands.list import GROUPS
    from aigc_cli.composing.compose import VERBS
    from aigc_cli.manual import MANUAL

    known = {**WORDS, "list": list(GROUPS)}
    current = words[-1]
    if len(words) <= 2:
        return _starting(current, [*MANUAL, "--help", "--version"])
    verb, before = words[1], [word for word in words[2:-1] if not word.startswith("-")]
    if current.startswith("-"):
        return _starting(current, FLAGS if verb in VERBS else ["--help", "--config-dir"])
    if words[-2] in ("--cfg", "--info", "--config-dir"):
        kinds = {"--cfg": ["job", "hydra", "all"], "--info": ["defaults", "defaults-tree", "searchpath", "plugins"]}
        return _starting(current, kinds.get(words[-2]) or files(current))
    if verb in known and (verb != "data" or not before) and "=" not in current:
        return _starting(current, [word for word in known[verb] if word not in before])
    if verb not in (*VERBS, "show"):
        return []
    return settings("train" if verb == "show" else verb, before, current, _config_dir(words))


def _config_dir(words: Sequence[str]) -> str | None:
    """Return the user's own folder of configs, where the line names one."""
    spaced = [value for flag, value in pairwise(words[:-1]) if flag == "--config-dir"]
    joined = [word.partition("=")[2] for word in words if word.startswith("--config-dir=")]
    return next(iter([*spaced, *joined]), None)


def settings(verb: str, before: Sequence[str], current: str, config_dir: str | None = None) -> list[str]:
    """Return the keys or the values that the word could become, in the composition of what stands before it."""
    from aigc_cli.composing.compose import checked_overrides
    from aigc_cli.composing.composition import compose_plain, config_folders
    from aigc_cli.composing.overrides import Groups, read

    folders = tuple(config_folders(config_dir))
    groups = Groups(folders)
    typed = checked_overrides(verb, read([word for word in before if "=" in word], groups, []), folders, [])
    config, choices = compose_plain(verb, tuple(override.choice for override in typed if override.group), folders)
    key, equals, _ = current.partition("=")
    prefix = key[: len(key) - len(key.lstrip("+~"))]
    if equals:
        return _starting(
            current, [f"{key}={value}" for value in values(verb, key.lstrip("+~"), config, choices, groups)]
        )
    return _starting(current, [prefix + name for name in keys(key.lstrip("+~"), config, choices)])


def keys(typed: str, config: Mapping[str, Any], choices: Iterable[str]) -> list[str]:
    """Return the keys on the level of what is typed: `lr=` for a setting, `optimizer.` for a group of them."""
    from aigc_cli.composing.composition import package_of
    from aigc_cli.composing.overrides import lookup

    parent = typed.rpartition(".")[0]
    node = lookup(config, parent) if parent else config
    if "/" in typed or not isinstance(node, Mapping):
        return [f"{choice}=" for choice in choices if "/" in choice]
    names = {f"{parent}.{key}".lstrip("."): value for key, value in node.items() if not parent or key != "name"}
    found = {f"{name}." if isinstance(value, Mapping) else f"{name}=" for name, value in names.items()}
    short = {package_of(choice) for choice in choices if choice != "pair"}
    return sorted(found | {f"{name}=" for name in short if name.rpartition(".")[0] == parent})


def values(verb: str, key: str, config: Mapping[str, Any], choices: Iterable[str], groups: Any) -> list[str]:
    """Return what a key can be set to; for a number, what it is."""
    from aigc_cli.composing.composition import package_of
    from aigc_cli.composing.overrides import PATHS, lookup

    group = next((choice for choice in choices if key in (choice, package_of(choice))), None)
    if group:
        return list(groups.options(group.partition("@")[0]))
    if key.rpartition(".")[2] in PATHS:
        return _FILES
    default = lookup(config, key)
    if isinstance(default, bool):
        return ["true", "false"]
    return _literals(verb, key) or ([] if default is None or isinstance(default, Mapping) else [str(default)])


_FILES = ["\0"]  # stands for the files below what is typed


def _literals(verb: str, key: str) -> list[str]:
    from aigc_cli.composing.compose import VERBS
    from aigc_cli.config import load, parameters

    hint = parameters(load(VERBS[verb])).get(key)
    options = [hint, *get_args(hint)]
    return [str(value) for option in options if get_origin(option) is Literal for value in get_args(option)]


def _starting(current: str, words: Iterable[str]) -> list[str]:
    words = list(words)
    if words and words[0].endswith("\0"):
        key, _, path = current.partition("=")
        return [f"{key}={file}" for file in files(path)]
    return [word for word in words if word.startswith(current)]


def files(typed: str) -> list[str]:
    """Return the files and folders that a path could become; hidden ones only when asked for."""
    folder, slash, start = typed.rpartition("/")
    where = Path((folder + slash) or ".").expanduser()
    if not where.is_dir():
        return []
    names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in where.iterdir())
    return [f"{folder}{slash}{name}" for name in names if name.startswith(start) and (start or name[0] != ".")]
