"""Refuse data that a model cannot learn, before anything is built."""

from __future__ import annotations

from collections.abc import Sequence

from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import DataSpec


def count_classes(spec: DataSpec, *, kinds: Sequence[str], conditional: bool) -> int:
    """Check that the data suit the model; return the number of classes its networks are told of (0: unconditional)."""
    if spec.kind not in kinds:
        allowed = " or ".join(kinds)
        way = "Choose another model= or data="
        if spec.sound and "image" in kinds:
            way = "Type data.features=mel, which makes pictures of sounds, or choose another model="
        raise ConfigError(f"model: given {spec.kind} data, allowed: {allowed}. {way}.")
    if conditional and not spec.classes:
        raise ConfigError(
            "model.conditional: given true, but the data have no labels. "
            "Type model.conditional=false, or give them labels: data.labels=true takes an image_folder's sub-folders, "
            "data.attribute=Smiling an attribute of celeba."
        )
    return spec.classes if conditional else 0


def halved(spec: DataSpec, channels: int, halvings: int) -> tuple[int, ...]:
    """Return the shape of maps of so many channels that are the data's pictures halved so often."""
    given, sides = "x".join(map(str, spec.shape)), spec.shape[1:]
    if len(spec.shape) != 3 or any(side % 2**halvings for side in sides):
        size = -(-max(sides, default=32) // 2**halvings) * 2**halvings
        raise ConfigError(
            f"model.halvings: {halvings} halvings are given data of {given}, allowed: pictures with sides divisible by "
            f"{2**halvings}. Type data.size={size}, or fewer halvings."
        )
    return (channels, *(side // 2**halvings for side in sides))
