"""Refuse data that a model cannot learn, before anything is built."""

from __future__ import annotations

from collections.abc import Sequence

from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import DataSpec


def count_classes(spec: DataSpec, *, kinds: Sequence[str], conditional: bool) -> int:
    """Check that the data suit the model; return the number of classes its networks are told of (0: unconditional)."""
    if spec.kind not in kinds:
        allowed = " or ".join(kinds)
        raise ConfigError(f"model: given {spec.kind} data, allowed: {allowed}. Choose another model= or data=.")
    if conditional and not spec.classes:
        raise ConfigError(
            "model.conditional: given true, but the data have no labels. "
            "Type model.conditional=false, or give them labels: data.labels=true takes an image_folder's sub-folders, "
            "data.attribute=Smiling an attribute of celeba."
        )
    return spec.classes if conditional else 0
