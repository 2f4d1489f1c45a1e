"""Train every small preset for a few steps as one rank of several, and keep its losses and weights: a process."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from aigc_cli import sharding
from aigc_cli.devices import Device
from aigc_cli.distributed import averaged, connected, ranks
from aigc_cli.interfaces import Batch
from aigc_cli.optimizers import sgd
from aigc_cli.trainer import Trainer
from tests.test_every_model import CPU, TINY, batch, build

PARTS, STEPS = 4, 4  # micro-batches of a step, over all ranks; steps
SIZE = 2 * PARTS
SHARDED = ("dcgan", "sngan", "pix2pix", "vae", "vqvae", "latent_diffusion", "ddpm", "flow_matching", "dit", "lstm",
           "transformer", "text_vae")  # fmt: skip  # presets of every family, split over the ranks
ADAPTIVE = ["model/augmentation=adaptive", "model.augmentation.images=64"]
TINY["sngan"] = [*TINY["sngan"], *ADAPTIVE]  # what it adapts to is of all micro-batches


def part(whole: Batch) -> Batch:
    """Return this rank's part of a batch."""
    here = ranks()
    mine = slice(here.rank * len(whole.x) // here.world, (here.rank + 1) * len(whole.x) // here.world)
    return Batch(whole.x[mine], None if whole.condition is None else whole.condition[mine], whole.step)


def trained(preset: str, conditional: bool, shard: bool) -> dict[str, torch.Tensor]:
    """Return the losses of each step and the weights after the last."""
    model = build(preset, conditional)
    optimizers = {
        phase.optimizer or phase.name: lambda params: sgd(params, lr=0.02, momentum=0.5, nesterov=False, weight_decay=0)
        for phase in model.phases()
    }
    accumulate = PARTS // ranks().world
    trainer = Trainer(
        model, optimizers, lambda step: 1.0, Device(CPU, "fp32"),
        seed=0, accumulate=accumulate, clip=1.0, ema=0.9, channels_last=False,
        cuda_graph=False, compile=False, shard=shard,
    )  # fmt: skip
    found = {}
    for step in range(STEPS):
        logs = trainer.step(part(batch(step, SIZE, preset)))
        found |= {f"{step}/{key}": averaged(value.double()) for key, value in logs.items() if key.endswith("loss")}
    trainer.losses.check()
    learnt = (".codes", ".probability", ".sum", ".deviation", "._u")  # buffers; batch norm's are the first rank's own
    buffers = {name: value for name, value in trainer.model.named_buffers() if name.endswith(learnt)}
    kept = {**dict(trainer.model.named_parameters()), **buffers}
    return found | {name: value.detach().clone() for name, value in kept.items()}


def main(folder: Path, shard: bool = False) -> None:
    """Train all; the first rank writes a file for each."""
    torch.set_num_threads(1)
    sharding.LEAST = 1  # each layer travels by itself
    with connected("cpu", 5):
        for preset in SHARDED if shard else TINY:
            found = trained(preset, preset in ("dcgan", "ddpm", "transformer"), shard)
            if shard:
                found = sharding.whole(found)
            if ranks().first:
                torch.save(found, folder / f"{preset}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), shard=sys.argv[2:] == ["shard"])
