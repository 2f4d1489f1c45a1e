"""Say what a run is about to do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from torch.nn.modules.batchnorm import _BatchNorm

from aigc_cli.data.pack import advice
from aigc_cli.data.tensor_data import TensorData
from aigc_cli.devices import Device
from aigc_cli.distributed import ranks
from aigc_cli.guard import unaided
from aigc_cli.interfaces import Model

if TYPE_CHECKING:
    from aigc_cli.composing.compose import Composed


def announce(
    composed: Composed, directory: Path, data: TensorData, model: Model, device: Device, step: int, total: int
) -> None:
    """Say what is about to be trained, on what, where and for how long."""
    pack, config = data.pack, composed.config
    critic = unaided(config["model"], pack.spec.kind)
    if line := advice(pack, config["data"]["augment"], critic):
        warn(line)
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    shape = "x".join(map(str, pack.spec.shape))
    held_out = f", {pack.counts['test']:,} more held out" if pack.counts["test"] else ""
    say(
        f"{composed.choices['model']}, {parameters:.2f}M parameters, on {composed.choices['data']} "
        f"({pack.counts['train']:,} of {shape}{held_out}), {device}",
        *_parts(data, config["trainer"]["accumulate"], model, config["ranks"]["shard"]),
        f"{directory}: " + (f"continuing at step {step:,} of {total:,}" if step else f"{total:,} steps"),
    )


def _parts(data: TensorData, accumulate: int, model: Model, in_parts: bool) -> list[str]:
    """Say how a batch is made, where it is not taken whole."""
    world = ranks().world
    if world * accumulate == 1:
        return []
    each = data.share // accumulate
    said = f"batch_size {data.batch_size} = {each} at a time x {accumulate} accumulated x {world} processes"
    if ranks().world > 1 and in_parts:
        said += f"; each keeps 1/{world} of the weights"
    alone = any(isinstance(module, _BatchNorm) for module in model.modules())
    return [said + f"; batch norm sees {each} at a time, running statistics are the first process's" * alone]


def say(*lines: str) -> None:
    """Print lines for the user at once."""
    print("\n".join(lines), flush=True)


def warn(line: str) -> None:
    """Print a warning on stderr."""
    print(f"aigc: {line}", file=sys.stderr, flush=True)
