"""Take noise out of pictures: `aigc denoise ckpt=outputs/denoising_autoencoder-mnist samples=FOLDER`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Le

from aigc_cli.pictures.transforming import transform_folder

if TYPE_CHECKING:
    from aigc_cli.composing.compose import Composed


def denoise(
    run: Composed,
    *,
    ckpt: str | None,
    samples: str | None,
    output: str | None,
    seed: Annotated[int, Ge(0), Le(2**63 - 1)],
    device: str,
    batch_size: Annotated[int, Ge(1), Le(4096)],
) -> None:
    """Write a folder's pictures without their noise."""
    transform_folder("denoise", run.config)
