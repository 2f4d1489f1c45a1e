"""Read what the YAML files say in their comments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

LINE = re.compile(r"^(?P<indent> *)(?:- )?(?P<key>[A-Za-z_]\w*):(?P<rest>(?: .*)?)$")
VALUE = re.compile(r"""(?:'[^']*'|"[^"]*"|(?! #).)*""")  # up to a comment; what is quoted may look like one


def meanings(verb: str, choices: Mapping[str, str | None], folders: Sequence[Path]) -> dict[str, str]:
    """Return dotted key -> comment of all settings of a composition."""
    from aigc_cli.composing.composition import files_used

    found: dict[str, str] = {}
    for file, package in files_used(verb, choices, folders):
        found |= {f"{package}.{key}".lstrip("."): comment for key, comment in comments(file)}
    return found


def description(file: Path) -> str:
    """Return the comment on a file's first lines, Hydra's package line left out."""
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            return line.lstrip("# ").strip()
    return ""


def comments(file: Path) -> Iterator[tuple[str, str]]:
    """Yield (dotted key, trailing comment) of a file's settings; its defaults list is no setting."""
    parents: list[tuple[int, str]] = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        found = LINE.match(line)
        if not found:
            continue
        depth = len(found["indent"])
        parents = [(indent, key) for indent, key in parents if indent < depth]
        key = ".".join([*(key for _, key in parents), found["key"]])
        parents.append((depth, found["key"]))
        value = VALUE.match(found["rest"])
        comment = found["rest"][value.end() if value else 0 :].removeprefix(" #").strip()
        if comment and not key.startswith("defaults"):
            yield key, comment
