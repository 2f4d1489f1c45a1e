"""Tell what a profile found: a small table, and what to try next where something is true."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from aigc_cli.profiling.operations import Operations
from aigc_cli.profiling.spans import BACKWARD, DATA, EXCHANGE, FORWARD, GRADIENT, OPTIMIZER, STEP

PARTS = (DATA, FORWARD, BACKWARD, GRADIENT, EXCHANGE, OPTIMIZER)
VIEWER = "https://ui.perfetto.dev"
MANY_PRODUCTS = 0.2  # utilisation from which on quicker products are felt
LONG_NAME = 44  # letters of an operation's name


@dataclass(frozen=True)
class Figures:
    """Hold what was measured."""

    device: str
    kind: str  # of device: cpu, cuda, mps
    precision: str
    first: int  # measured step
    steps: int
    batch_size: int  # of all processes
    accumulate: int
    unit: str  # "images", "clips" or "texts"
    seconds: Mapping[str, float]  # of all measured steps, by part
    memory: int | None  # bytes at most
    flops: float  # of a step's matrix products, convolutions, attention and LSTMs in this process
    rate: float  # of a large matrix product: operations a second
    maps: bool  # whether the model has convolutions of pictures
    channels_last: bool

    @property
    def step(self) -> float:
        """Return the seconds of a step."""
        return self.seconds[STEP] / self.steps

    @property
    def samples_per_second(self) -> float:
        """Return how many samples all processes take in a second, previews and checkpoints aside."""
        return self.batch_size / self.step

    @property
    def shares(self) -> dict[str, float]:
        """Return each part of a step; `rest` is what lies between: Python, the log.

        Of several processes, `exchange` is the wait for their gradients after the backward pass; from CUDA graphs
        `gradient` is forward and backward.
        """
        shares = {p: self.seconds.get(p, 0.0) / self.seconds[STEP] for p in PARTS if p in self.seconds or p == DATA}
        return {**shares, "rest": max(0.0, 1 - sum(shares.values()))}

    @property
    def utilisation(self) -> float:
        """Return which share of the rate of a large matrix product the step's products come to."""
        return self.flops / self.step / self.rate

    def told(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "device": self.device, "precision": self.precision, "threads": torch.get_num_threads(),
            "torch": torch.__version__, "first_step": self.first, "steps": self.steps, "batch_size": self.batch_size,
            "accumulate": self.accumulate, "unit": self.unit, "samples_per_second": round(self.samples_per_second, 2),
            "milliseconds_per_step": round(1000 * self.step, 3),
            "shares": {part: round(share, 4) for part, share in self.shares.items()},
            "peak_memory_bytes": self.memory, "flops_per_step": round(self.flops),
            "matrix_product_flops_per_second": round(self.rate), "utilisation": round(self.utilisation, 4),
        }  # fmt: skip


def lines(figures: Figures, operations: Operations, folder: Path) -> Iterator[str]:
    """Yield what is printed."""
    last = figures.first + figures.steps - 1
    yield ""  # the bar's line ends
    yield f"profile of steps {figures.first:,} to {last:,}, {figures.batch_size} {figures.unit} each, {figures.device}"
    rate, rated = figures.samples_per_second, figures.rate / 1e9
    yield f"  {figures.unit + '/s':<12}{rate:,.{0 if rate >= 100 else 2}f}   {1000 * figures.step:,.4g} ms a step"
    for part, share in figures.shares.items():
        yield f"  {part:<12}{share:6.1%}"
    if figures.memory:
        where = "allocated on the GPU" if figures.kind == "cuda" else "held by the process"
        yield f"  {'memory':<12}{figures.memory / 2**20:,.0f} MiB {where} at most"
    yield (
        f"  {'products':<12}{figures.flops / 1e9:,.4g} GFLOP a step: {figures.utilisation:.1%} of this machine's "
        f"{rated:,.0f} GFLOP/s of matrix products"
    )
    yield f"  operations by their own time, of {operations.milliseconds:,.4g} ms in each of the steps after these:"
    for each in operations.dearest:
        yield f"    {each.name[:LONG_NAME]:<{LONG_NAME}}{each.share:7.1%}  {each.calls:>8,.4g} a step"
    if said := hint(figures, operations):
        yield f"  try next:   {said}"
    yield f"  {folder / 'profile.json'}; {folder / 'profile' / 'trace.json.gz'} opens at {VIEWER}"


def hint(figures: Figures, operations: Operations) -> str | None:
    """Return what is likely to make this run faster; only what was measured to be slow is spoken of."""
    shares = figures.shares
    if shares[DATA] > 0.2:
        return f"data take {shares[DATA]:.0%}: fewer data.augment, or data that fit into memory."
    if figures.kind == "cuda" and operations.milliseconds < 500 * figures.step:
        idle = 1 - operations.milliseconds / 1000 / figures.step
        return f"the GPU idles {idle:.0%} of the time: batch_size={2 * figures.batch_size} costs little more."
    if (wait := shares.get(EXCHANGE, 0.0)) > 0.2:
        return f"processes wait for each other {wait:.0%} of the time: a larger batch_size, or fewer of them."
    if figures.precision == "fp32" and has_bf16(figures.kind) and figures.utilisation > MANY_PRODUCTS:
        return f"precision=bf16 may be quicker: this {figures.kind.upper()} has units of its own for it."
    if shares[OPTIMIZER] > 0.25:
        return f"the optimiser takes {shares[OPTIMIZER]:.0%}: batch_size={2 * figures.batch_size} shares it out."
    if figures.maps and not figures.channels_last:
        return "trainer.channels_last=true: convolutions are often faster so."
    threads, cores = torch.get_num_threads(), os.cpu_count() or 1
    if figures.kind == "cpu" and 2 * threads <= cores and "OMP_NUM_THREADS" not in os.environ:
        return f"torch uses {threads} of {cores} cores: set OMP_NUM_THREADS={cores}."
    return None


def has_bf16(kind: str) -> bool:
    """Tell whether the device multiplies bf16 by instructions of its own."""
    from aigc_cli.devices import cpu_has_bf16

    return torch.cuda.is_bf16_supported(False) if kind == "cuda" else kind == "cpu" and cpu_has_bf16()
