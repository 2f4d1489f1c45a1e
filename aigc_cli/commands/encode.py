"""Write what data are to a model in few numbers: `aigc encode ckpt=outputs/vae-mnist`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Le

from aigc_cli.errors import ConfigError
from aigc_cli.inference.opening import home_of, open_model, probe, refuse_to_replace, short, writing_at

if TYPE_CHECKING:
    from torch import Tensor

    from aigc_cli.composing.compose import Composed
    from aigc_cli.inference.inputs import Inputs
    from aigc_cli.inference.opening import Opened

MOST_POINTS = 10_000  # of a map; more hide each other


def encode(
    run: Composed,
    *,
    ckpt: str | None,
    samples: str | None,
    split: Literal["test", "train"],
    n: Annotated[int, Ge(1)] | None,
    seed: Annotated[int, Ge(0), Le(2**63 - 1)],
    format: Literal["npy", "safetensors"] | None,
    map: bool,
    data: Mapping[str, Any],
    output: str | None,
    device: str,
    batch_size: Annotated[int, Ge(1), Le(65536)],
) -> None:
    """Write the codes, the names and labels beside them, and a map of the latent space."""
    target = Path(output).expanduser() if output else None
    format = format or ("safetensors" if target is not None and target.suffix == ".safetensors" else "npy")
    if target is not None and target.suffix != f".{format}":
        raise ConfigError(f"output: given {output}, but format={format}. Type a name that ends in .{format}.")
    opened = open_model(run.config, "Encodes", "encodes nothing (autoencoders do)", text=True)
    folder, prefix = home_of(opened.checkpoint.path, "codes")
    what = (Path(samples).resolve().name if samples else split) + (f"-n-{n}-seed-{seed}" if n else "")
    target = target or folder / f"{prefix}{what}-step-{opened.checkpoint.step:08d}.{format}"
    probe(target.parent)
    refuse_to_replace(target, target.with_suffix(".csv"), target.with_suffix(".png"))

    from aigc_cli.inference.inputs import inputs_for

    inputs = inputs_for(opened.model, run.config, opened.trained)
    codes = _codes(opened, inputs, batch_size)
    with writing_at(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(target, codes, inputs)
        print(f"{len(codes):,} codes of {codes.shape[1]} numbers by {opened.name}: {short(target)}")
        if map:
            _write_map(target.with_suffix(".png"), codes, inputs, seed)


def _codes(opened: Opened, inputs: Inputs, batch_size: int) -> Tensor:
    import torch
    from tqdm import tqdm

    from aigc_cli.devices import explaining_memory

    parts = []
    with explaining_memory(opened.device, batch_size), torch.no_grad():
        bar = tqdm(total=len(inputs), desc="encoding", leave=False, disable=None, dynamic_ncols=True)
        for x, condition in inputs.chunks(opened.model, batch_size, opened.device):
            parts.append(opened.model.encode(x, condition).cpu())
            bar.update(len(x))
        bar.close()
    return torch.cat(parts)


def _write(target: Path, codes: Tensor, inputs: Inputs) -> None:
    """Write .npy with names and labels in a .csv beside it, or all of them in one .safetensors, names as metadata."""
    from aigc_cli.files import atomic_write

    if target.suffix == ".npy":
        import numpy as np

        content = io.BytesIO()
        np.save(content, codes.numpy(), allow_pickle=False)
        table = io.StringIO()
        writer = csv.writer(table)
        writer.writerow(["name", "label"])
        writer.writerows((name, inputs.label_of(index)) for index, name in enumerate(inputs.names))
        atomic_write(target.with_suffix(".csv"), table.getvalue().encode())
        atomic_write(target, content.getvalue())
        return

    import torch
    from safetensors.torch import save

    tensors = {"codes": codes.contiguous()}
    if inputs.labels is not None:
        tensors["labels"] = torch.from_numpy(inputs.labels).clone()
    about = {"names": json.dumps(inputs.names), "classes": json.dumps(list(inputs.classes))}
    atomic_write(target, save(tensors, about))


def _write_map(path: Path, codes: Tensor, inputs: Inputs, seed: int) -> None:
    """Draw the plane in which the codes lie widest, as a picture."""
    import numpy as np

    from aigc_cli.pictures.charts import draw_map
    from aigc_cli.pictures.previews import save_image

    if codes.shape[1] < 2 or len(codes) < 3:
        print("no map: it takes three codes of two numbers. Type map=false.")
        return
    points, share = plane_of(codes, seed)
    picked = np.sort(np.random.default_rng(seed).permutation(len(points))[:MOST_POINTS])
    labels = None if inputs.labels is None else inputs.labels[picked]
    plane = codes.shape[1] == 2
    how = "the latent plane" if plane else f"two principal components, {share:.0%} of the variance"
    axes = ("first latent", "second latent") if plane else ("first component", "second component")
    title = f"{len(picked):,} codes: {how}"
    save_image(draw_map(points[picked].numpy(), labels, inputs.classes, title, axes), path)
    print(f"map ({how}): {short(path)}")


def plane_of(codes: Tensor, seed: int) -> tuple[Tensor, float]:
    """Return codes (N, D) in their first two principal components, and the share of the variance that these have."""
    import torch

    if codes.shape[1] == 2:
        return codes, 1.0
    centred = codes - codes.mean(0)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        _, values, axes = torch.pca_lowrank(centred, q=min(6, *codes.shape), center=False, niter=4)
    axes = axes[:, :2]
    axes = axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()  # an axis has no direction of its own
    return centred @ axes, float(values[:2].square().sum() / centred.square().sum().clamp(min=1e-12))
