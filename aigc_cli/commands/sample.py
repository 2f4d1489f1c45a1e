"""Draw pictures, sounds or text from a trained model: `aigc sample ckpt=outputs/gan-glyphs`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt, Le

from aigc_cli.inference.opening import home_of, preset_of, probe, short, writing_at
from aigc_cli.inference.request import Request, plain_request, settled

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
    temperature: Annotated[float, Ge(0), Le(100)] | None,
    top_k: Annotated[int, Ge(1)] | None,
    top_p: Annotated[float, Gt(0), Le(1)] | None,
    beam: Annotated[int, Ge(1), Le(100)] | None,
    length_penalty: Annotated[float, Ge(0), Le(10)] | None,
    prompt: str | None,
    length: Annotated[int, Ge(1), Le(1_000_000)] | None,
    source: str | None,
    target: str | None,
    grid: str | None,
    format: Literal["png", "jpeg", "webp", "gif", "wav", "flac", "txt", "jsonl", "html"] | None,
    files: bool,
    start: str | None,
    mask: str | None,
    strength: Annotated[float, Gt(0), Le(1)] | None,
    resample: Annotated[int, Ge(1), Le(100)] | None,
    interpolate: bool,
    frames: Annotated[int, Ge(2), Le(1000)] | None,
    manifold: bool,
    output: str | None,
    device: str,
    precision: Literal["auto", "fp32", "bf16", "fp16"],
    batch_size: Annotated[int, Ge(1), Le(4096)],
) -> None:
    """Write a grid, files, a walk, a manifold or text, and say where they lie."""
    show(plain_request(run.config, run.defaults))


def show(request: Request) -> Path:
    """Open the checkpoint, make what is asked for, write it and print where it lies."""
    from aigc_cli.checkpoints import resolve
    from aigc_cli.checkpoints.restoring import read_spec, restore
    from aigc_cli.devices import choose, explaining_memory, warn_of_slow_bf16
    from aigc_cli.pictures.gallery import Gallery
    from aigc_cli.texts.writing import Writer

    began = time.perf_counter()
    chosen = choose(request.device, request.precision)
    device = chosen.torch
    warn_of_slow_bf16(chosen)
    checkpoint = resolve(request.ckpt)
    spec = read_spec(checkpoint)
    request = settled(request, "text" if spec.kind == "text" else "sounds" if spec.sound else "pictures")
    target = _target(request, checkpoint)
    probe(target.parent)
    with explaining_memory(device, request.batch_size):
        model = restore(checkpoint, device)
        made_by = Writer if spec.kind == "text" else Gallery
        gallery = made_by(model, request, device, preset_of(checkpoint))
        with writing_at(target), chosen.autocast():
            written = gallery.write(target, _metadata(checkpoint))
    print(f"{gallery.account}, step {checkpoint.step}, {time.perf_counter() - began:.1f} s: {short(written)}")
    print(f"next: aigc sample ckpt={short(request.ckpt)} {gallery.next_idea()}")
    return written


def _target(request: Request, checkpoint: Checkpoint) -> Path:
    """Return the path that the command's pictures get, a function of the command and the checkpoint's step."""
    folder, prefix = home_of(checkpoint.path, "samples")
    ending = "" if request.files else f".{request.format}".replace("jpeg", "jpg")
    name = f"{prefix}{request.kind}-step-{checkpoint.step:08d}{request.slug}{ending}"
    if request.output is None:
        return folder / name
    return request.output if request.output.suffix or request.files else request.output / name


def _metadata(checkpoint: Checkpoint) -> dict[str, str]:
    return {"step": str(checkpoint.step), "config": json.dumps(checkpoint.meta["config"], sort_keys=True)}
