"""Turn pictures into others by a trained model: aigc denoise, upscale and translate, by one function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Le

from aigc_cli.pictures.transforming import transform_folder

if TYPE_CHECKING:
    from aigc_cli.composing.compose import Composed


def transform(
    run: Composed,
    *,
    ckpt: str | None,
    samples: str | None,
    output: str | None,
    seed: Annotated[int, Ge(0), Le(2**63 - 1)],
    device: str,
    batch_size: Annotated[int, Ge(1), Le(4096)],
) -> None:
    """Write what the model makes of a picture, or of a folder of them, as the verb says."""
    transform_folder(run.verb, run.config)
