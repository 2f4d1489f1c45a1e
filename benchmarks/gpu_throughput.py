"""Measure training on a GPU: images per second, and the share of what matrix products alone would allow."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from functools import partial

import torch

from aigc_cli.devices import Device, choose
from aigc_cli.interfaces import DataSpec
from benchmarks.measuring import Report, in_turn, parsed, parser
from benchmarks.workloads import flops_of, random_batch, trainer_for

COPIED = 1 << 30  # bytes: beyond every cache


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    made = parser(__doc__, rounds=9)
    cases = ["dcgan:64:128", "dcgan:64:1024", "ddpm:32:128"]
    made.add_argument("--cases", nargs="+", default=cases, help="preset:pixels:batch")
    made.add_argument("--precisions", nargs="+", default=["fp32", "bf16", "fp16"])
    made.add_argument("--steps", type=int, default=20, help="a round")
    made.add_argument("--matmul", type=int, default=8192, help="side of the matrices of the ceiling")
    made.add_argument("--copied", type=int, default=COPIED, help="bytes of the copy of the other ceiling")
    made.add_argument("--device", default="cuda", help="cpu: to try the script out")
    made.add_argument("--overrides", nargs="*", default=[], help="of every case, to try variants")
    options = parsed(made, arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        print("gpu_throughput: not run: it needs a CUDA GPU, and torch finds none here.")
        return
    report = Report("gpu_throughput", options, arguments)
    tf32 = {"matmul": torch.backends.cuda.matmul.allow_tf32, "convolutions": torch.backends.cudnn.allow_tf32}
    report.settings = {"steps": options.steps, "cuda": torch.version.cuda, "tf32": tf32}
    for case in options.cases:
        measure(report, case, options)
    report.write()


def measure(report: Report, case: str, options: Namespace) -> None:
    """Add the figures of one case, its precisions and the ceilings in turn."""
    preset, size, batch = case.split(":")
    turns: dict[str, Callable[[], float]] = {}
    flops, parameters = 0, 0
    for precision in options.precisions:
        device = choose(options.device, precision)
        spec = DataSpec("image", (3, int(size), int(size)))
        trainer = trainer_for([f"model={preset}", *options.overrides], spec, device)
        step = partial(trainer.step, random_batch(spec, int(batch), device.torch))
        flops, parameters = flops_of(step), sum(p.numel() for p in trainer.model.parameters())
        turns[precision] = partial(seconds_of, step, options.steps, device)
    turns |= ceilings(choose(options.device, "fp32"), options)
    values = in_turn(turns, options.rounds, warm_up=2)
    label = f"{preset} {size}x{size}, batch {batch}"
    report.settings[label] = {"parameters": parameters, "gflop_per_image": round(flops / int(batch) / 1e9, 4)}
    rates = [2 * options.matmul**3 / seconds for seconds in values["matmul"]]
    for precision in options.precisions:
        seconds = values[precision]
        report.figure(f"{label}, {precision}", "images/s", [int(batch) / value for value in seconds])
        floors = [flops / rate for rate in rates]
        report.ratio(f"{label}, {precision}: matrix products' floor / step", floors, seconds)
    report.figure(f"{label}: bf16 matrix product", "TFLOP/s", [rate / 1e12 for rate in rates])
    report.figure(f"{label}: copy, read and write", "GB/s", [2 * options.copied / s / 1e9 for s in values["copy"]])


def ceilings(device: Device, options: Namespace) -> dict[str, Callable[[], float]]:
    """Return what measures a bf16 matrix product and a copy, in seconds."""
    one, other = (torch.randn(options.matmul, options.matmul, device=device.torch).bfloat16() for _ in range(2))
    product = torch.empty_like(one)
    source = torch.zeros(options.copied, dtype=torch.uint8, device=device.torch)
    target = torch.empty_like(source)
    matmul = partial(torch.mm, one, other, out=product)
    return {
        "matmul": partial(seconds_of, matmul, options.steps, device),
        "copy": partial(seconds_of, partial(target.copy_, source), options.steps, device),
    }


def seconds_of(work: Callable[[], object], times: int, device: Device) -> float:
    """Return the seconds of one call among many, by the device's own clock; the first is not counted."""
    work()
    if device.torch.type != "cuda":
        start = time.perf_counter()
        for _ in range(times):
            work()
        return (time.perf_counter() - start) / times
    began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    began.record()
    for _ in range(times):
        work()
    ended.record()
    ended.synchronize()
    return began.elapsed_time(ended) / 1000 / times


if __name__ == "__main__":
    main()
