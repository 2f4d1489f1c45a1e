"""Measure training a DCGAN from JPEGs end to end: aigc against the tutorial's loop, and both against the ceiling."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence

from torch import Tensor
from torch.utils.data import DataLoader, RandomSampler

from aigc_cli.data.tensor_data import TensorData
from aigc_cli.devices import choose
from benchmarks.convolutions import Convolutions
from benchmarks.measuring import Report, in_turn, parsed, parser
from benchmarks.pictures import Pictures, pictures
from benchmarks.plain_dcgan import PlainDCGAN
from benchmarks.workloads import trainer_for

SIZE = 64
FOREVER = 1 << 40  # samples: one endless epoch, so that no restart of workers is measured
WANTED = 1.15  # or what the convolutions alone would reach, whichever is nearer
OURS, PEER, CEILING = "aigc", "plain PyTorch loop", "convolutions alone"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    made = parser(__doc__, rounds=10)
    made.add_argument("--images", help="folder of JPEGs (None: drawn)")
    made.add_argument("--drawn", type=int, default=1024, help="JPEGs to draw where no folder is given")
    made.add_argument("--batch", type=int, default=128)
    made.add_argument("--steps", type=int, default=2, help="training steps a round")
    made.add_argument("--workers", type=int, default=2, help="of the peer's DataLoader")
    made.add_argument("--width", type=int, default=64, help="channels; 64 is DCGAN's 6.34M parameters")
    options = parsed(made, arguments)
    report = Report("dcgan_end_to_end", options, arguments)
    with pictures(options.images, options.drawn) as source:
        began = time.perf_counter()
        source.pack(SIZE)
        packing = round(time.perf_counter() - began, 2)
        ceiling = Convolutions(options.width, options.batch)
        peer = PlainDCGAN(options.width)
        turns = {OURS: ours(source, options), PEER: plain(peer, source, options), CEILING: ceiling.images_per_second}
        values = in_turn(turns, options.rounds)
        report.settings = {"batch": options.batch, "steps": options.steps, "parameters": peer.parameters()}
        report.settings |= {"workers": options.workers, "packing_seconds": packing}
        report.settings |= {"gflop_per_image": round(ceiling.gflop, 3), **source.about()}
    for label, rates in values.items():
        report.figure(label, "images/s", rates)
    report.figure("convolution rate", "GFLOP/s", [rate * ceiling.gflop for rate in values[CEILING]])
    speed_up = report.ratio("aigc / plain PyTorch loop", values[OURS], values[PEER])
    report.ratio("aigc / convolutions alone", values[OURS], values[CEILING])
    possible = report.ratio("convolutions alone / plain PyTorch loop", values[CEILING], values[PEER])
    report.require("aigc / plain PyTorch loop", speed_up, least=min(WANTED, possible))
    report.write()


def ours(source: Pictures, options: Namespace) -> Callable[[], float]:
    """Train from a pack with the dcgan preset, as `aigc train model=dcgan` does."""
    device = choose("cpu", "fp32")
    pack = source.pack(SIZE)
    data = TensorData(pack, batch_size=options.batch, seed=0, device=device.torch)
    widths = [f"model.{network}.width={options.width}" for network in ("generator", "critic")]
    trainer = trainer_for(["model=dcgan", *widths], pack.spec, device)

    def measure() -> float:
        start = time.perf_counter()
        for _ in range(options.steps):
            trainer.step(data.batch(trainer.steps))
        trainer.losses.check()  # what a log interval costs, each round
        return options.steps * options.batch / (time.perf_counter() - start)

    return measure


def plain(peer: PlainDCGAN, source: Pictures, options: Namespace) -> Callable[[], float]:
    """Train from JPEGs through a DataLoader; its queue is full at a turn's start and again at its end."""
    folder = source.image_folder(SIZE)
    sampler = RandomSampler(folder, num_samples=FOREVER)
    batches: Iterator[tuple[Tensor, Tensor]] = iter(
        DataLoader(folder, options.batch, sampler=sampler, num_workers=options.workers)
    )

    def measure() -> float:
        start = time.perf_counter()
        for _ in range(options.steps):
            peer.step(next(batches)[0])
        return options.steps * options.batch / (time.perf_counter() - start)

    return measure


if __name__ == "__main__":
    main()
