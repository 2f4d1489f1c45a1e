"""Enlarge pictures: `aigc upscale ckpt=outputs/super_resolution-image_folder samples=FOLDER`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Le

from aigc_cli.pictures.transforming import transform_folder

if TYPE_CHECKING:
    from aigc_cli.composing.compose import Composed


def upscale(
    run: Composed,
    *,
    ckpt: str | None,
    samples: str | None,
    output: str | None,
    seed: Annotated[int, Ge(0), Le(2**63 - 1)],
    device: str,
    batch_size: Annotated[int, Ge(1), Le(4096)],
) -> None:
    """Write a folder's pictures enlarged."""
    transform_folder("upscale", run.config)
