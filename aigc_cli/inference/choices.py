"""What of a model's drawing was chosen: its sampler's settings and the classes to draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aigc_cli.composing.parts import sampler_node
from aigc_cli.config import check, parameters
from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import DataSpec, Model
from aigc_cli.models.guidance import refuse_guidance
from aigc_cli.wording import suggestion

MOST_NAMES = 20  # class names in an error's line


def sampling_settings(
    model: Model, name: str, function: Callable, settings: Mapping[str, Any], supplied: Sequence[str] = ("generator",)
) -> dict[str, Any]:
    """Return the settings of a model's drawing as its function wants them; a setting of no use is refused.

    supplied: keyword-only parameters that are no settings.
    """
    known = [key for key in parameters(function) if key not in supplied]
    for key in settings:
        if key not in known or (key == "guidance" and not model.conditional):
            takes = f"its settings are {', '.join(known)}" if known else "it has no settings of sampling"
            why = "it was trained without labels" if key in known else takes
            raise ConfigError(f"{key}: model '{name}' has no use for it: {why}. Leave {key} out.")
    if "guidance" in settings:
        dropout: Any = model.label_dropout
        refuse_guidance("guidance", settings["guidance"], conditional=True, label_dropout=dropout)
    if "sampler" in settings:
        settings = {**settings, "sampler": sampler_node(settings["sampler"])}
    return check(function, settings, supplied=supplied)


def choose_labels(labels: tuple[int | str, ...], spec: DataSpec, *, known: bool) -> list[int]:
    """Return the classes that take turns; none where none are known."""
    names = spec.class_names if known else ()
    if not names and labels:
        example = "data=tones" if spec.sound else "data=reviews" if spec.kind == "text" else "data=glyphs"
        data = "" if spec.classes else f" of data that have them, such as {example}"
        raise ConfigError(
            f"label: this model was trained without labels. Leave label out, or train one{data} with "
            "model.conditional=true."
        )
    return [_index(label, names) for label in labels] or list(range(len(names)))


def _index(label: int | str, names: tuple[str, ...]) -> int:
    """Find a class by its name, then by its index: label=7 is the class named 7, where there is one."""
    if str(label) in names:
        return names.index(str(label))
    if isinstance(label, int) and 0 <= label < len(names):
        return label
    names = tuple(name if name.isprintable() else ascii(name) for name in names)  # a file's words reach a terminal
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    named = f", or {', '.join(names[:MOST_NAMES])}{more}" if list(names) != [str(i) for i in range(len(names))] else ""
    hint = suggestion(label, names) if isinstance(label, str) else ""
    raise ConfigError(f"label: no class {label!r}.{hint} Allowed: 0 to {len(names) - 1}{named}.")
