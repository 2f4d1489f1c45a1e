"""Measure training on a GPU: images a second, called, replayed and compiled, against the GPU's own ceilings and peers.

Ceilings: the bf16 matrix product, a copy, and the convolutions and matrix products of each model alone. Peers of equal
size, in the same call: a plain loop of DCGAN; what trains diffusers' UNet, where diffusers is installed.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from aigc_cli.devices import Device, choose
from aigc_cli.interfaces import DataSpec
from benchmarks.isolated import isolated
from benchmarks.measuring import Report, in_turn, parsed, parser
from benchmarks.plain_dcgan import PlainDCGAN
from benchmarks.workloads import flops_of, random_batch, trainer_for

COPIED = 1 << 30  # bytes: beyond every cache
WAYS = {  # settings of the trainer
    "called": ["trainer.cuda_graph=false", "trainer.compile=false"],
    "replayed": ["trainer.cuda_graph=true", "trainer.compile=false"],
    "compiled": ["trainer.cuda_graph=true", "trainer.compile=true"],
}
ALONE = "convolutions and products alone"
WARM_UP = 4  # steps before any is measured: a graph is captured in the fourth
DIT_B4 = "model.denoiser.width=768,model.denoiser.depth=12,model.denoiser.heads=12,model.denoiser.patch=4"
CASES = ["dcgan:64:128", "dcgan:64:1024", "ddpm:32:128", f"dit:32:256:{DIT_B4}"]
Turns = dict[str, Callable[[], float]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    made = parser(__doc__, rounds=9)
    made.add_argument("--cases", nargs="+", default=CASES, help="preset:pixels:batch, or that and :override,override")
    made.add_argument("--precisions", nargs="+", default=["fp32", "bf16", "fp16"])
    made.add_argument("--ways", nargs="+", default=["called", "replayed"], choices=WAYS, help="of running a step")
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
    report.settings = {"steps": options.steps, "cuda": torch.version.cuda}
    for case in options.cases:
        measure(report, case, options)
    report.write()


def measure(report: Report, case: str, options: Namespace) -> None:
    """Add the figures of one case, its precisions and ways, peers and ceilings in turn."""
    preset, size, batch, *more = case.split(":")
    overrides = [f"model={preset}", *(more[0].split(",") if more else []), *options.overrides]
    count, label = int(batch), f"{preset} {size}x{size}, batch {batch}"
    spec = DataSpec("image", (3, int(size), int(size)))
    turns: Turns = {}
    flops = parameters = traffic = 0
    for precision in options.precisions:
        device = choose(options.device, precision)
        for way in options.ways if precision != "fp16" else ["called"]:  # loss scaling is not replayed
            settings = WAYS[way] if options.device != "cpu" else WAYS[way][1:]
            trainer = trainer_for([*overrides, *settings], spec, device)
            step = partial(trainer.step, random_batch(spec, count, device.torch))
            if f"{precision}: {ALONE}" not in turns:
                flops, parameters = flops_of(step), sum(p.numel() for p in trainer.model.parameters())
                alone = isolated(step)
                traffic = alone.traffic
                turns[f"{precision}: {ALONE}"] = partial(seconds_alone, alone, options.steps, device)
            turns[f"{precision}, {way}"] = partial(seconds_of, warmed(step), options.steps, device)
    turns |= peers(preset, spec, count, options) | ceilings(choose(options.device, "fp32"), options)
    values = in_turn(turns, options.rounds, warm_up=2)
    report.settings[label] = {"parameters": parameters, "gflop_per_image": round(flops / count / 1e9, 4)}
    told(report, label, values, count, flops, options)
    require(report, (preset, size, batch), values, count, traffic, options)


def seconds_alone(products: Callable[[], object], steps: int, device: Device) -> float:
    """Return the seconds of the products of a step alone, their factors rounded as in the step."""
    with device.rounding_products():
        return seconds_of(products, steps, device)


def warmed(step: Callable[[], object]) -> Callable[[], object]:
    """Return a step after those in which a graph is captured."""
    for _ in range(WARM_UP):
        step()
    return step


def peers(preset: str, spec: DataSpec, count: int, options: Namespace) -> Turns:
    """Return the peers of a preset, in fp32 as their authors run them."""
    device, turns = choose(options.device, "fp32"), Turns()
    real = torch.rand(count, *spec.shape, device=device.torch) * 2 - 1
    if preset == "dcgan" and spec.shape[1] == 64:
        turns["plain loop"] = partial(seconds_of, partial(PlainDCGAN(device=device.torch).step, real), options.steps,
                                      device)  # fmt: skip
    step = diffusers_step(real) if preset == "ddpm" else None
    if step:
        turns["diffusers"] = partial(seconds_of, step, options.steps, device)
    return turns


def diffusers_step(real: Tensor) -> Callable[[], object] | None:
    """Return a training step of diffusers' UNet of the size of google/ddpm-cifar10-32; None where there is none."""
    try:
        from diffusers import DDPMScheduler, UNet2DModel  # type: ignore[import-not-found]
    except ImportError:
        return None
    blocks = ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D")
    ups = ("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D")
    network = UNet2DModel(
        sample_size=real.shape[-1], block_out_channels=(128, 256, 256, 256), layers_per_block=2,
        down_block_types=blocks, up_block_types=ups, attention_head_dim=256,
    ).to(real.device)  # fmt: skip
    optimizer, scheduler = torch.optim.Adam(network.parameters(), lr=2e-4), DDPMScheduler()

    def step() -> None:
        noise = torch.randn_like(real)
        time = torch.randint(1000, (len(real),), device=real.device)
        loss = (network(scheduler.add_noise(real, noise, time), time).sample - noise).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def told(
    report: Report, label: str, values: Mapping[str, list[float]], count: int, flops: int, options: Namespace
) -> None:
    """Add what was measured."""
    rates = [2 * options.matmul**3 / seconds for seconds in values["matmul"]]
    floors = [flops / rate for rate in rates]
    for name, seconds in values.items():
        if name in ("matmul", "copy"):
            continue
        report.figure(f"{label}, {name}", "images/s", [count / value for value in seconds])
        if not name.endswith(ALONE):
            report.ratio(f"{label}, {name}: matrix products' floor / step", floors, seconds)
    report.figure(f"{label}: bf16 matrix product", "TFLOP/s", [rate / 1e12 for rate in rates])
    report.figure(f"{label}: copy, read and write", "GB/s", [2 * options.copied / s / 1e9 for s in values["copy"]])


def require(
    report: Report,
    case: tuple[str, str, str],
    values: Mapping[str, list[float]],
    count: int,
    traffic: int,
    options: Namespace,
) -> None:
    """Add what was to be reached on one H200, in bf16 and the quickest way."""
    ways = {way: values[f"bf16, {way}"] for way in options.ways if f"bf16, {way}" in values}
    if not ways or options.device == "cpu":
        return
    way = min(ways, key=lambda name: sum(ways[name]))
    best, what = ways[way], f"{case[0]}, batch {case[2]}, {way}"
    rate = count * len(best) / sum(best)
    if case[:2] == ("dcgan", "64"):
        copies = [traffic * seconds / (2 * options.copied) for seconds in values["copy"]]
        floors = [one + other for one, other in zip(values[f"bf16: {ALONE}"], copies, strict=True)]
        share = report.ratio(f"{what}: {ALONE} and one pass of traffic / step", floors, best)
        report.require(f"{what}: share of its {ALONE} and one pass", share, least=0.6)
    if "plain loop" in values and case[2] == "128":
        times = report.ratio(f"{what}: plain loop / step", values["plain loop"], best)
        report.require(f"{what}: times the plain loop", times, least=3)
    if case == ("ddpm", "32", "128"):
        report.require(f"{what}: images/s", rate, least=8500)
    if case == ("dit", "32", "256"):
        share = report.ratios[f"dit 32x32, batch 256, bf16, {way}: matrix products' floor / step"]["median"]
        report.require(f"{what}: share of matrix products", share, least=0.45)


def ceilings(device: Device, options: Namespace) -> Turns:
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
