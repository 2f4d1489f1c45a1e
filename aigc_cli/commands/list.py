"""`aigc list`: what there is to choose from, one line each, read from the YAMLs' first comments."""

from __future__ import annotations

from collections.abc import Sequence

from aigc_cli.composing.comments import description
from aigc_cli.composing.composition import config_folders
from aigc_cli.composing.overrides import Groups
from aigc_cli.errors import ConfigError
from aigc_cli.wording import suggestion

SECTIONS = {"models": "model", "data": "data", "recipes": "recipe", "optimizers": "optimizer", "schedules": "schedule"}
PARTS = {  # of models: shown where they are asked for
    "networks": "model/network", "losses": "model/loss", "penalties": "model/penalty",
    "regularisers": "model/regulariser", "augmentations": "model/augmentation", "corruptions": "model/corruption",
    "noises": "model/noise", "samplers": "model/sampler",
}  # fmt: skip
GROUPS = SECTIONS | PARTS


def main(words: Sequence[str]) -> int:
    """Print the sections that are asked for; by default all but the parts of models, which are named."""
    folder, wanted = read_words(words, "list")
    for word in wanted:
        if word not in GROUPS:
            raise ConfigError(f"list: no {word!r}.{suggestion(word, GROUPS)} Sections: {', '.join(GROUPS)}.")
    groups = Groups(config_folders(folder))
    print("\n\n".join(section(name, groups) for name in wanted or SECTIONS))
    if not wanted:
        print(f"\nparts of models: aigc list {' '.join(PARTS)}; aigc show model=NAME says which it has")
    return 0


def section(name: str, groups: Groups) -> str:
    """Return a headline and a line for each file of a group."""
    options = groups.options(GROUPS[name])
    width = max(map(len, options), default=0)
    lines = [f"  {option:{width}}  {description(file)}".rstrip() for option, file in options.items()]
    return "\n".join([f"{name} ({GROUPS[name]}=NAME)", *(lines or ["  none yet"])])


def read_words(words: Sequence[str], verb: str) -> tuple[str | None, list[str]]:
    """Take --config-dir out of the words."""
    folder, rest, left = None, [], list(words)
    while left:
        word = left.pop(0)
        flag, equals, value = word.partition("=")
        if flag == "--config-dir":
            if not equals and not left:
                raise ConfigError(f"{verb}: --config-dir: a folder must follow.")
            folder = value if equals else left.pop(0)
        elif word.startswith("-"):
            raise ConfigError(f"{verb}: {word}: no such flag. Flags: --config-dir DIR, --help.")
        else:
            rest.append(word)
    return folder, rest
