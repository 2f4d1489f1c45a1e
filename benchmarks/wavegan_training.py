"""Measure WaveGAN's training, five updates of the critic to one of the generator, against a plain loop of the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from aigc_cli.devices import choose
from aigc_cli.interfaces import DataSpec, Sound
from benchmarks.measuring import Report, in_turn, parsed, parser
from benchmarks.plain_wavegan import CRITIC_STEPS, PlainWaveGAN
from benchmarks.workloads import random_batch, trainer_for

SAMPLES, RATE = 16_384, 16_000
OURS, PEER = "aigc", "plain PyTorch loop"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    made = parser(__doc__, rounds=8)
    made.add_argument("--batch", type=int, default=8)
    made.add_argument("--width", type=int, default=32, help="channels; 32 makes 9.55M parameters")
    options = parsed(made, arguments)
    report = Report("wavegan_training", options, arguments)
    spec = DataSpec("audio", (1, SAMPLES), 1 << 16, None, Sound(RATE, SAMPLES))
    widths = [f"model.{part}.width={options.width}" for part in ("generator", "critic")]
    trainer = trainer_for(["model=wavegan", *widths], spec, choose("cpu", "fp32"))
    peer = PlainWaveGAN(options.width)
    counts = {OURS: sum(p.numel() for p in trainer.model.parameters()), PEER: peer.parameters()}
    assert abs(counts[OURS] / counts[PEER] - 1) < 0.02, f"two networks of one size: {counts}"
    batch = random_batch(spec, options.batch, torch.device("cpu"))
    real = spec.encode(batch.x)
    turns = {
        OURS: per_second(lambda: [trainer.step(batch) for _ in range(CRITIC_STEPS)], options.batch),
        PEER: per_second(lambda: peer.cycle(real), options.batch),
    }
    values = in_turn(turns, options.rounds)
    report.settings = {"batch": options.batch, "samples": SAMPLES, "parameters": counts}
    for label, rates in values.items():
        report.figure(label, "clips/s", rates)
    label = f"{OURS} / {PEER}"
    report.require(label, report.ratio(label, values[OURS], values[PEER]), least=1)
    report.write()


def per_second(cycle: Callable[[], object], batch: int) -> Callable[[], float]:
    """Return what takes a cycle and returns the clips that the critic saw in a second."""

    def measure() -> float:
        start = time.perf_counter()
        cycle()
        return CRITIC_STEPS * batch / (time.perf_counter() - start)

    return measure


if __name__ == "__main__":
    main()
