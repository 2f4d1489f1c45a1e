"""Draw pictures from a trained model: `aigc sample ckpt=outputs/gan-glyphs`."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt, Le

from aigc_cli.errors import ConfigError, TrainingError
from aigc_cli.pictures.request import Request, plain_request

if TYPE_CHECKING:
    from aigc_cli.checkpoints import Checkpoint
    from aigc_cli.composing.compose import Composed


def sample(
    run: Composed,
    *,
    ckpt: str | None,
    n: Annotated[int, Ge(1), Le(100_000)] | None,
    seed: Annotated[int, Ge(0), Le(2**63 - 1)],
    label: int | str | list[int | str] | None,
    steps: Annotated[int, Ge(1), Le(10_000)] | None,
    spacing: Literal["time", "quadratic", "log", "karras"] | None,
    guidance: Annotated[float, Ge(0), Le(100)] | None,
    eta: Annotated[float, Ge(0), Le(1)] | None,
    sampler: str | None,
    truncation: Annotated[float, Ge(0), Le(1)] | None,
    grid: str | None,
    format: Literal["png", "jpeg", "webp", "gif"] | None,
    files: bool,
    start: str | None,
    mask: str | None,
    strength: Annotated[float, Gt(0), Le(1)] | None,
    resample: Annotated[int, Ge(1), Le(100)] | None,
    interpolate: bool,
    frames: Annotated[int, Ge(2), Le(1000)],
    reconstruct: bool,
    manifold: bool,
    data: Mapping[str, Any],
    output: str | None,
    device: str,
    batch_size: Annotated[int, Ge(1), Le(4096)],
) -> None:
    """Write a grid, files, a walk, reconstructions or a manifold, and say where they lie."""
    show(plain_request(run.config, run.defaults))


def show(request: Request) -> Path:
    """Open the checkpoint, make the pictures that are asked for, write them and print where they lie."""
    from aigc_cli.checkpoints import resolve
    from aigc_cli.checkpoints.restoring import restore
    from aigc_cli.devices import choose, explaining_memory
    from aigc_cli.pictures.gallery import Gallery

    began = time.perf_counter()
    device = choose(request.device, "fp32").torch
    checkpoint = resolve(request.ckpt)
    target = _target(request, checkpoint)
    _probe(target.parent)
    with explaining_memory(device, request.batch_size):
        model = restore(checkpoint, device)
        gallery = Gallery(model, request, checkpoint.meta["config"], device, preset_of(checkpoint))
        try:
            written = gallery.write(target, _metadata(checkpoint))
        except OSError as error:
            said = f"{target}: not written ({error.strerror or error}). Type output= and a path."
            raise TrainingError(said) from None
    print(f"{gallery.account}, step {checkpoint.step}, {time.perf_counter() - began:.1f} s: {_short(written)}")
    print(f"next: aigc sample ckpt={_short(request.ckpt)} {gallery.next_idea()}")
    return written


def preset_of(checkpoint: Checkpoint) -> str:
    """Return what was typed as model=, where the checkpoint says so, else its class's name."""
    chosen = checkpoint.meta.get("choices")
    name = chosen.get("model") if isinstance(chosen, Mapping) else None
    return name if isinstance(name, str) and name.isprintable() else str(checkpoint.meta["config"]["model"]["name"])


def _target(request: Request, checkpoint: Checkpoint) -> Path:
    """Return the path that the command's pictures get, a function of the command and the checkpoint's step."""
    folder, prefix = _home(checkpoint.path)
    ending = "" if request.files else f".{request.format}".replace("jpeg", "jpg")
    name = f"{prefix}{request.kind}-step-{checkpoint.step:08d}{request.slug}{ending}"
    if request.output is None:
        return folder / name
    return request.output if request.output.suffix or request.files else request.output / name


def _home(path: Path) -> tuple[Path, str]:
    """Return the folder for samples of a checkpoint, and what its files' names begin with outside a run."""
    path = path.resolve()
    folder = path.parent if path.is_file() else path
    if folder.parent.name == "checkpoints":
        return folder.parent.parent / "samples", ""
    return path.parent, f"{path.stem}-"


def _probe(folder: Path) -> None:
    """Find out that nothing can be written there before the time is spent; leave no trace."""
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    probe = existing / ".aigc-probe"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        said = f"output: {existing} takes no files ({error.strerror}). Type output= and a folder of yours."
        raise ConfigError(said) from None


def _metadata(checkpoint: Checkpoint) -> dict[str, str]:
    return {"step": str(checkpoint.step), "config": json.dumps(checkpoint.meta["config"], sort_keys=True)}


def _short(path: Path) -> Path:
    """Return the path as seen from here, where it lies below."""
    path = path.resolve()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
