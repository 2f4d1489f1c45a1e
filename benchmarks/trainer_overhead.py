"""Measure what the trainer adds to a bare loop of the same model, and count the values that a step reads back."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from unittest import mock

from torch import Tensor

from aigc_cli.devices import Device, choose
from aigc_cli.interfaces import Batch, DataSpec
from aigc_cli.trainer import Trainer
from benchmarks.measuring import Report, in_turn, parsed, parser
from benchmarks.workloads import random_batch, trainer_for

READS = ("item", "tolist", "__bool__", "__float__", "__int__", "numpy")  # each waits for the device
OURS, BARE = "Trainer.step", "bare loop"
AGAIN = "bare loop once more"  # against itself: what the machine's unrest alone makes of a ratio


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    made = parser(__doc__, rounds=30)
    made.add_argument("--dcgan-batch", type=int, default=32)
    made.add_argument("--dcgan-size", type=int, default=64, help="pixels a side")
    made.add_argument("--dcgan-steps", type=int, default=1, help="a round")
    made.add_argument("--vae-batch", type=int, default=128)
    made.add_argument("--vae-size", type=int, default=28, help="pixels a side")
    made.add_argument("--vae-steps", type=int, default=5, help="a round")
    made.add_argument("--vae-rounds", type=int, default=300, help="its steps are short: more and shorter turns")
    options = parsed(made, arguments)
    device = choose("cpu", "fp32")
    report = Report("trainer_overhead", options, arguments)
    report.settings = {key: value for key, value in vars(options).items() if key.startswith(("dcgan", "vae"))}
    for preset, channels in (("dcgan", 3), ("vae", 1)):
        compare(report, preset, channels, device, options)
    report.write()


def compare(report: Report, preset: str, channels: int, device: Device, options: Namespace) -> None:
    """Add the figures of one preset."""
    size, batch_size, steps = (getattr(options, f"{preset}_{key}") for key in ("size", "batch", "steps"))
    spec = DataSpec("image", (channels, size, size))
    rounds = options.vae_rounds if preset == "vae" else options.rounds
    trainer, bare, again = (trainer_for([f"model={preset}"], spec, device) for _ in range(3))
    batch = random_batch(spec, batch_size, device.torch)
    turns = {
        OURS: timed(lambda: trainer.step(batch), steps),
        BARE: timed(lambda: bare_step(bare, batch), steps),
        AGAIN: timed(lambda: bare_step(again, batch), steps),
    }
    values = in_turn(turns, rounds, warm_up=2)
    for name, seconds in values.items():
        report.figure(f"{preset}, {name}", "ms a step", [1000 * value for value in seconds])
    label = f"{preset}, {OURS} / {BARE}"
    ratio = report.ratio(label, values[OURS], values[BARE])
    report.ratio(f"{preset}, {AGAIN} / {BARE}", values[AGAIN], values[BARE])
    report.require(label, ratio, most=1.03)
    with counted_reads() as reads:
        trainer.step(batch)
    report.require(f"{preset}, values read back in a step", len(reads), most=0)


def bare_step(trainer: Trainer, batch: Batch) -> None:
    """Update as the trainer does, with nothing around it; the trainer only lends its model and optimisers."""
    for phase in trainer.phases:
        optimizer = trainer.optimizers[phase.optimizer or phase.name]
        optimizer.zero_grad()
        loss, _ = phase.loss(batch)
        loss.backward(inputs=list(phase.params))
        optimizer.step()


def timed(step: Callable[[], object], steps: int) -> Callable[[], float]:
    """Return what takes steps and returns the seconds of one."""

    def measure() -> float:
        start = time.perf_counter()
        for _ in range(steps):
            step()
        return (time.perf_counter() - start) / steps

    return measure


@contextmanager
def counted_reads() -> Iterator[list[str]]:
    """Note every value that is read back from a tensor."""
    reads: list[str] = []

    def noting(name: str, read: Callable[..., object]) -> Callable[..., object]:
        def noted(tensor: Tensor, *arguments: object) -> object:
            reads.append(name)
            return read(tensor, *arguments)

        return noted

    with ExitStack() as stack:
        for name in READS:
            stack.enter_context(mock.patch.object(Tensor, name, noting(name, getattr(Tensor, name))))
        yield reads


if __name__ == "__main__":
    main()
