"""Measure the data path: aigc's pack against torchvision's ImageFolder on the same JPEGs, and against a plain copy."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from itertools import cycle

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from aigc_cli.data.tensor_data import TensorData
from benchmarks.measuring import Report, in_turn, parsed, parser, per_second
from benchmarks.pictures import Pictures, pictures

UNIT, COPY = "images/s", "float32 copy out of memory"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    made = parser(__doc__, rounds=15)
    made.add_argument("--images", help="folder of JPEGs (None: drawn)")
    made.add_argument("--drawn", type=int, default=2048, help="JPEGs to draw where no folder is given")
    made.add_argument("--size", type=int, default=64, help="pixels a side")
    made.add_argument("--batch", type=int, default=128)
    made.add_argument("--pass-images", type=int, default=1280, help="images that a DataLoader serves a round")
    made.add_argument("--seconds", type=float, default=0.5, help="at least so long a round for what is fast")
    options = parsed(made, arguments)
    report = Report("data_path", options, arguments)
    with pictures(options.images, options.drawn) as source:
        values = in_turn(contenders(source, options), options.rounds)
        report.settings = {"batch": options.batch, "size": options.size, **source.about()}
    for label, rates in values.items():
        report.figure(label, UNIT, rates)
    summarise(report, values)
    report.write()


def contenders(source: Pictures, options: Namespace) -> dict[str, Callable[[], float]]:
    """Return the measurements, each an images-per-second of one round."""
    batch, seconds = options.batch, options.seconds
    folder = source.image_folder(options.size)
    part = Subset(folder, range(min(options.pass_images, len(folder))))
    loaders = {workers: loader(part, batch, workers) for workers in (0, 2)}
    pack = source.pack(options.size)
    data = TensorData(pack, batch_size=batch, seed=0, device=torch.device("cpu"))
    return {
        "aigc": packed(data, seconds),
        "ImageFolder, 0 workers": lambda: one_pass(loaders[0]),
        COPY: copied(dataset_of_floats(data), seconds),
        "ImageFolder, 2 workers": lambda: one_pass(loaders[2]),
        "float32 copy within the cache": copied(torch.rand(1, batch, 3, options.size, options.size), seconds),
    }


def loader(part: Subset, batch: int, workers: int) -> DataLoader:
    """Return a DataLoader whose workers stay: their start is not what is measured."""
    return DataLoader(part, batch, shuffle=True, num_workers=workers, persistent_workers=workers > 0)


def one_pass(batches: DataLoader) -> float:
    """Return images per second over a whole pass, so that nothing is left prefetched for the next."""
    start = time.perf_counter()
    count = sum(len(x) for x, _ in batches)
    return count / (time.perf_counter() - start)


def packed(data: TensorData, seconds: float) -> Callable[[], float]:
    """Gather and normalise one batch after another, shuffles included."""
    steps = iter(range(1 << 62))

    def one() -> int:
        return len(data.spec.encode(data.batch(next(steps)).x))

    return lambda: per_second(one, seconds=seconds)


def dataset_of_floats(data: TensorData) -> Tensor:
    """Return a float32 data set of batches in memory, as many as the pack holds."""
    return torch.stack([data.spec.encode(data.batch(step).x) for step in range(data.batches_per_epoch)])


def copied(batches: Tensor, seconds: float) -> Callable[[], float]:
    """Copy float32 batches (N, B, C, H, W) into one buffer, one after another."""
    target, source = torch.empty_like(batches[0]), cycle(batches)

    def one() -> int:
        target.copy_(next(source))
        return len(target)

    return lambda: per_second(one, seconds=seconds)


def summarise(report: Report, values: dict[str, list[float]]) -> None:
    """Add the ratios and what is required of them."""
    ours = values["aigc"]
    ratios = {label: report.ratio(f"aigc / {label}", ours, rates) for label, rates in values.items() if label != "aigc"}
    for workers in (0, 2):
        label = f"ImageFolder, {workers} workers"
        report.require(f"aigc / {label}", ratios[label], least=150)
    report.require(f"aigc / {COPY}", ratios[COPY], least=0.5)


if __name__ == "__main__":
    main()
