"""Measure a training step of DDPM's U-Net against diffusers' UNet2DModel of the same size, and the memory of each.

Both clip the gradient, step Adam and keep averaged weights, without dropout. Needs `pip install diffusers`.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch.nn import functional as F

from aigc_cli.devices import choose
from aigc_cli.interfaces import DataSpec
from aigc_cli.profiling.profile import peak_memory
from benchmarks.measuring import Report, in_turn, parsed, parser
from benchmarks.workloads import random_batch, trainer_for

OURS, PEER = "aigc", "diffusers"
CPU = torch.device("cpu")
Step = Callable[[], object]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    made = parser(__doc__, rounds=12)
    made.add_argument("--size", type=int, default=32, help="pixels a side")
    made.add_argument("--batch", type=int, default=16)
    made.add_argument("--steps", type=int, default=1, help="training steps a round")
    made.add_argument("--width", type=int, default=64, help="channels of the first level")
    made.add_argument("--multipliers", type=int, nargs="+", default=[1, 2, 2, 2], help="of the width, one to a level")
    made.add_argument("--memory-of", choices=[OURS, PEER], help="take some steps, print the peak memory, and no more")
    options = parsed(made, arguments)
    if importlib.util.find_spec("diffusers") is None:
        print("ddpm_training: not run: it needs diffusers. Type pip install diffusers.")
        return
    if options.memory_of:
        print(memory_of(MAKERS[options.memory_of], options))
        return
    report = Report("ddpm_training", options, arguments)
    steps, counts = zip(*(MAKERS[name](options) for name in (OURS, PEER)), strict=True)
    assert abs(counts[0] / counts[1] - 1) < 0.02, f"two networks of one size: {counts}"
    turns = {name: partial(per_second, step, options) for name, step in zip((OURS, PEER), steps, strict=True)}
    values = in_turn(turns, options.rounds)
    report.settings = {"batch": options.batch, "size": options.size, "width": options.width}
    report.settings |= {"multipliers": options.multipliers, "parameters": dict(zip((OURS, PEER), counts, strict=True))}
    for label, rates in values.items():
        report.figure(label, "images/s", rates)
    report.require(f"{OURS} / {PEER}", report.ratio(f"{OURS} / {PEER}", values[OURS], values[PEER]), least=1)
    memory = {name: in_a_process_of_its_own(name, options) for name in (OURS, PEER)}
    for name, mebibytes in memory.items():
        report.figure(f"{name}, peak memory of training", "MiB", [mebibytes])
    label = f"{OURS} / {PEER}, peak memory of training"
    report.require(label, report.ratio(label, [memory[OURS]], [memory[PEER]]), most=1)
    report.write()


def ours(options: Namespace) -> tuple[Step, int]:
    """Return a step of aigc's trainer, and the parameters of its network."""
    device = choose("cpu", "fp32")
    spec = DataSpec("image", (3, options.size, options.size))
    multipliers = ",".join(map(str, options.multipliers))
    settings = [
        f"width={options.width}",
        f"multipliers=[{multipliers}]",
        f"attention=[{options.size // 2}]",
        "dropout=0",
    ]
    trainer = trainer_for(["model=ddpm", *(f"model.denoiser.{each}" for each in settings)], spec, device)
    batch = random_batch(spec, options.batch, CPU)
    return lambda: trainer.step(batch), sum(p.numel() for p in trainer.model.parameters())


def theirs(options: Namespace) -> tuple[Step, int]:
    """Return a step of a plain loop around diffusers' network, scheduler and averaged weights, and its parameters."""
    diffusers: Any = importlib.import_module("diffusers")
    averages: Any = importlib.import_module("diffusers.training_utils")
    levels = len(options.multipliers)
    attends = [level == 1 for level in range(levels)]
    torch.manual_seed(0)
    model = diffusers.UNet2DModel(
        sample_size=options.size, in_channels=3, out_channels=3, layers_per_block=2, attention_head_dim=None,
        norm_num_groups=min(32, options.width // 4),
        block_out_channels=[options.width * multiplier for multiplier in options.multipliers],
        down_block_types=["AttnDownBlock2D" if attended else "DownBlock2D" for attended in attends],
        up_block_types=["AttnUpBlock2D" if attended else "UpBlock2D" for attended in attends[::-1]],
    )  # fmt: skip
    scheduler = diffusers.DDPMScheduler(num_train_timesteps=1000)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-4)
    average = averages.EMAModel(model.parameters(), decay=0.9999)
    clean = torch.rand(options.batch, 3, options.size, options.size) * 2 - 1

    def step() -> None:
        noise = torch.randn_like(clean)
        times = torch.randint(1000, (len(clean),))
        loss = F.mse_loss(model(scheduler.add_noise(clean, noise, times), times).sample, noise)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.step(model.parameters())

    return step, sum(p.numel() for p in model.parameters())


MAKERS = {OURS: ours, PEER: theirs}


def per_second(step: Step, options: Namespace) -> float:
    """Return the images that a contender learns from in a second."""
    start = time.perf_counter()
    for _ in range(options.steps):
        step()
    return options.steps * options.batch / (time.perf_counter() - start)


def memory_of(maker: Callable[[Namespace], tuple[Step, int]], options: Namespace) -> float:
    """Return what training adds to the memory that the process holds once everything is imported, in MiB."""
    tiny = Namespace(**{**vars(options), "size": 8, "batch": 1, "width": 4, "multipliers": [1, 1]})
    maker(tiny)[0]()  # imports what the first step imports
    before = peak_memory(CPU) or 0
    step, _ = maker(options)
    for _ in range(3):
        step()
    return ((peak_memory(CPU) or 0) - before) / 2**20


def in_a_process_of_its_own(name: str, options: Namespace) -> float:
    """Measure the memory of one contender alone."""
    sizes = [f"--{key}={getattr(options, key)}" for key in ("size", "batch", "width")]
    words = [*sizes, "--multipliers", *map(str, options.multipliers), f"--memory-of={name}"]
    command = [sys.executable, "-m", "benchmarks.ddpm_training", *words]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main()
