"""`aigc train profile=true`: what it says is true, and the training is none the wiser."""

from __future__ import annotations

import errno
import gzip
import inspect
import json
import math
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.autograd import DeviceType
from torch.nn import functional as F

from aigc_cli import checkpoints
from aigc_cli.devices import Device
from aigc_cli.interfaces import Phase
from aigc_cli.networks.attention import attend
from aigc_cli.profiling import profile as profile_module
from aigc_cli.profiling.arithmetic import SIDES, Products, product_rate
from aigc_cli.profiling.operations import Operation, Operations, operations_of
from aigc_cli.profiling.profile import Profile
from aigc_cli.profiling.report import Figures, hint, lines
from aigc_cli.profiling.spans import BACKWARD, DATA, EXCHANGE, FORWARD, OPTIMIZER, STEP, Stopwatch, unmeasured
from aigc_cli.trainer import Trainer
from tests.test_every_model import CPU, TINY, assert_equal_states, batch, trainer_of
from tests.test_train import place, train  # noqa: F401 (place is a fixture)


def profiled(trainer: Trainer, folder, said: list[str], **settings) -> Profile:
    known = {"unit": "images", "batch_size": 4, "channels_last": False, **settings}
    return Profile(trainer, folder, say=said.append, **known)


@pytest.mark.parametrize("preset", TINY)
def test_a_profiled_training_is_the_same_bit_for_bit(preset, tmp_path, monkeypatch):
    monkeypatch.setattr(profile_module, "MEASURED", 3)
    monkeypatch.setitem(SIDES, "cpu", 64)
    said: list[str] = []
    watched, alone = (trainer_of(preset, accumulate=2, ema=0.9, clip=1.0) for _ in range(2))
    profile = profiled(watched, tmp_path, said)
    while not profile.over:
        with profile.step():
            watched.step(batch(watched.steps, preset=preset))
    assert watched.span is unmeasured
    for trainer in (watched, alone):
        while trainer.steps < profile.last + 2:
            trainer.step(batch(trainer.steps, preset=preset))
    assert_equal_states(watched.state_dict(), alone.state_dict())
    told = json.loads((tmp_path / "profile.json").read_text())
    assert sum(told["shares"].values()) == pytest.approx(1, abs=0.001)
    assert min(told["shares"][part] for part in (FORWARD, BACKWARD, OPTIMIZER)) > 0
    assert told["flops_per_step"] > 0
    assert told["steps"] % math.lcm(*(phase.every for phase in watched.phases)) == 0
    assert len(told["operations"]) == 10
    assert "images/s" in "\n".join(said)


class Clock:
    """Stand in for the clock of the spans: a machine that is busy keeps no other."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("aigc_cli.profiling.spans.time", made)
    return made


class Slow(nn.Module):
    """Let time pass in its loss."""

    generative = ()

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.layer, self.clock = nn.Linear(4, 4), clock

    def phases(self):
        return (Phase("one", list(self.parameters()), self.loss),)

    def loss(self, batch):
        self.clock.sleep(0.01)
        return self.layer(batch.x.flatten(1)[:, :4].float()).sum(), {}


def slow_trainer(clock: Clock) -> Trainer:
    model = Slow(clock)
    settings = {"seed": 0, "accumulate": 1, "clip": None, "ema": 0.0}
    settings |= {"channels_last": False, "cuda_graph": False, "compile": False}
    device = Device(CPU, "fp32")
    return Trainer(model, {"one": lambda params: torch.optim.SGD(params, 1e-3)}, lambda step: 1.0, device, **settings)


def test_the_shares_are_those_of_the_clock(tmp_path, clock):
    trainer = slow_trainer(clock)
    said: list[str] = []
    profile = profiled(trainer, tmp_path, said)
    while not profile.over:
        with profile.step():
            with trainer.span(DATA):
                clock.sleep(0.02)
            trainer.step(batch(trainer.steps))
            clock.sleep(0.01)  # what belongs to no part
        clock.sleep(0.5)  # a preview, which is no part of a step
    told = json.loads((tmp_path / "profile.json").read_text())
    assert told["milliseconds_per_step"] == pytest.approx(40)
    assert told["shares"] == pytest.approx({DATA: 0.5, FORWARD: 0.25, BACKWARD: 0, OPTIMIZER: 0, "rest": 0.25})
    assert told["hint"].startswith("data take 50%")
    assert f"try next:   {told['hint']}" in said[0]


def test_nothing_is_paid_where_nobody_asks(clock):
    trainer, seen = slow_trainer(clock), []

    @contextmanager
    def counting(name):
        seen.append(name)
        yield

    trainer.span = counting
    trainer.step(batch(0))
    assert seen == [FORWARD, BACKWARD, OPTIMIZER], "three spans an update"
    best = float("inf")
    for _ in range(20):
        start = time.perf_counter()
        for _ in range(1000):
            with unmeasured(FORWARD):
                pass
        best = min(best, (time.perf_counter() - start) / 1000)
    assert best < 2e-6, "a step of the smallest model takes a thousand times as long"
    assert inspect.signature(Trainer).parameters.keys().isdisjoint({"profile", "span"})


def flops_of(work) -> int:
    with Products() as products:
        work()
    return products.flops


def test_products_are_counted():
    x, layer = torch.randn(8, 16, requires_grad=True), nn.Linear(16, 32)
    assert flops_of(lambda: layer(x)) == 2 * 8 * 16 * 32
    assert flops_of(lambda: layer(x).sum().backward()) == 3 * 2 * 8 * 16 * 32
    maps, convolution = torch.randn(2, 3, 8, 8), nn.Conv2d(3, 4, 3, padding=1)
    assert flops_of(lambda: convolution(maps)) == 2 * 2 * 4 * 8 * 8 * 3 * 9
    query = torch.randn(2, 3, 5, 4, requires_grad=True)
    forward = 2 * (2 * 3 * 5 * 5 * 4) * 2
    assert flops_of(lambda: attend(query, query, query)) == forward
    assert flops_of(lambda: attend(query, query, query).sum().backward()) == forward + forward * 5 // 2
    recurrent = nn.LSTM(6, 7, batch_first=True)
    assert flops_of(lambda: recurrent(torch.randn(2, 5, 6))) == 2 * 2 * 5 * 4 * 7 * (6 + 7)


def test_a_gradient_of_a_gradient_counts():
    x, weight = torch.randn(8, 16, requires_grad=True), torch.randn(16, 4, requires_grad=True)

    def penalty():
        (gradient,) = torch.autograd.grad(F.softplus(x @ weight).sum(), x, create_graph=True)
        gradient.square().sum().backward()

    assert flops_of(penalty) > 3 * 2 * 8 * 16 * 4


def test_the_rate_of_products_is_plausible_and_draws_nothing():
    state = torch.get_rng_state()
    assert 1e8 < product_rate(Device(CPU, "fp32")) < 1e14
    assert torch.equal(state, torch.get_rng_state())


def test_a_stopwatch_adds_up(clock):
    watch = Stopwatch(CPU)
    for _ in range(2):
        with watch.span(STEP):
            with watch.span(DATA):
                clock.sleep(0.01)
            clock.sleep(0.02)
    assert watch.seconds() == pytest.approx({DATA: 0.02, STEP: 0.06})


LONG = ["steps=40", "preview.every=20", "checkpoint.every=10"]


def test_a_run_leaves_its_profile_and_the_same_weights(place, capsys):  # noqa: F811
    assert train(*LONG, "profile=true", "trainer.accumulate=2") == 0
    said = capsys.readouterr()
    for word in ("profile of steps 6 to 29, 20 images each", "images/s", "products", "ui.perfetto.dev"):
        assert word in said.out
    run = place / "outputs" / "run"
    told = json.loads((run / "profile.json").read_text())
    assert told["accumulate"] == 2
    assert told["peak_memory_bytes"] > 2**26
    trace = json.loads(gzip.decompress((run / "profile" / "trace.json.gz").read_bytes()))
    names = [event.get("name") for event in trace["traceEvents"]]
    assert names.count(STEP) == names.count(DATA) == 3
    assert names.count(FORWARD) == names.count(BACKWARD) == 6
    assert train(*LONG, "trainer.accumulate=2", "name=alone") == 0
    profiled_run, alone = (checkpoints.resolve(place / "outputs" / name).tensors() for name in ("run", "alone"))
    assert profiled_run.keys() == alone.keys()
    assert all(torch.equal(profiled_run[key], alone[key]) for key in alone)
    assert "profile=true" not in next(line for line in said.out.splitlines() if "continue" in line)


def test_a_run_that_goes_on_is_profiled_from_there(place, capsys):  # noqa: F811
    assert train("steps=10") == 0
    assert train("steps=60", "profile=true") == 0
    assert "profile of steps 16 to 39" in capsys.readouterr().out
    assert train("steps=62", "profile=true") == 0
    assert "profile: not written: it takes 32 steps in one go" in capsys.readouterr().out


FIGURES = Figures(
    device="CPU", kind="cpu", precision="bf16", first=6, steps=24, batch_size=64, accumulate=1, unit="images",
    seconds={STEP: 2.4, DATA: 0.1, FORWARD: 1.0, BACKWARD: 1.0, OPTIMIZER: 0.1}, memory=2**30, flops=1e9, rate=1e11,
    maps=True, channels_last=True,
)  # fmt: skip
OPERATIONS = Operations((Operation("aten::mm", 0.5, 50.0, 7.0),), 100.0)


def test_a_hint_is_given_only_where_it_is_true(tmp_path, monkeypatch):
    monkeypatch.setattr("os.cpu_count", torch.get_num_threads)
    assert hint(FIGURES, OPERATIONS) is None
    assert not any("try next" in line for line in lines(FIGURES, OPERATIONS, tmp_path))
    slow_data = {**FIGURES.seconds, DATA: 0.96}
    assert "data take 40%" in (hint(replace(FIGURES, seconds=slow_data), OPERATIONS) or "")
    assert "channels_last=true" in (hint(replace(FIGURES, channels_last=False), OPERATIONS) or "")
    dear = {**FIGURES.seconds, OPTIMIZER: 0.96}
    assert "optimiser takes 40%: batch_size=128" in (hint(replace(FIGURES, seconds=dear), OPERATIONS) or "")
    on_gpu = replace(FIGURES, kind="cuda")
    assert "idles 60%" in (hint(on_gpu, replace(OPERATIONS, milliseconds=40.0)) or "")
    monkeypatch.setattr("aigc_cli.devices.cpu_has_bf16", lambda: True)
    assert "precision=bf16" in (hint(replace(FIGURES, precision="fp32", flops=1e10), OPERATIONS) or "")
    assert "precision=bf16" not in (hint(replace(FIGURES, precision="fp32"), OPERATIONS) or "")  # few products
    waits = {**FIGURES.seconds, EXCHANGE: 0.96}
    assert "wait for each other 40%" in (hint(replace(FIGURES, seconds=waits), OPERATIONS) or "")


def shortened(monkeypatch) -> None:
    monkeypatch.setattr(profile_module, "MEASURED", 1)
    monkeypatch.setitem(SIDES, "cpu", 64)


class Wrong(Exception):  # noqa: N818
    """Stand for whatever goes wrong in a step."""


@pytest.mark.parametrize("complete", [0, 1])  # traced steps before it
def test_an_error_within_a_traced_step_is_not_hidden(complete, tmp_path, monkeypatch):
    shortened(monkeypatch)
    trainer, said = trainer_of("vae"), []
    profile = profiled(trainer, tmp_path, said)
    while profile.taken < profile._measured + complete:
        with profile.step():
            trainer.step(batch(trainer.steps, preset="vae"))
    try:
        with pytest.raises(Wrong), profile.step():
            raise Wrong
    finally:
        profile.close()
    assert trainer.span is unmeasured
    assert ("not written" in said[0]) == (complete == 0)
    assert (tmp_path / "profile.json").exists() == (complete == 1)


FULL = OSError(errno.ENOSPC, "No space left on device")


def full(*_: object) -> None:
    raise FULL


@pytest.mark.parametrize("file", ["profile.json", "trace.json.gz"])
def test_a_full_disk_does_not_end_a_training(place, file, monkeypatch, capsys):  # noqa: F811
    if file == "profile.json":
        monkeypatch.setattr(profile_module, "atomic_write", full)
    else:
        write = lambda self, path: Path(path).write_bytes(b"half") and full()  # noqa: E731
        monkeypatch.setattr(profile_module.profile, "export_chrome_trace", write)
    assert train("steps=34", "profile=true") == 0
    said = capsys.readouterr().out
    assert "profile: not written: [Errno 28] No space left on device" in said
    assert "finished at step 34" in said
    assert file == "profile.json" or not list((place / "outputs" / "run" / "profile").iterdir())


def test_no_memory_for_the_comparison_does_not_end_a_training(tmp_path, monkeypatch):
    def too_much(device):
        raise torch.OutOfMemoryError("CUDA out of memory")

    shortened(monkeypatch)
    monkeypatch.setattr(profile_module, "product_rate", too_much)
    trainer, said = trainer_of("vae"), []
    profile = profiled(trainer, tmp_path, said)
    while not profile.over:
        with profile.step():
            trainer.step(batch(trainer.steps, preset="vae"))
    assert said == ["profile: not written: no memory is left for a matrix product to compare with."]
    assert trainer.span is unmeasured


def event(name: str, kind: DeviceType, start: float, end: float, *, marked: bool = False) -> SimpleNamespace:
    span = SimpleNamespace(start=start, end=end, elapsed_us=lambda: end - start)
    return SimpleNamespace(name=name, device_type=kind, time_range=span, is_user_annotation=marked,
                           self_cpu_time_total=end - start, self_device_time_total=0)  # fmt: skip


def test_on_a_gpu_the_kernels_of_steps_count_whoever_started_them():
    """A replay is one operation without kernels of its own: they are correlated with the graph."""
    cpu, gpu = DeviceType.CPU, DeviceType.CUDA
    profiler = SimpleNamespace(events=lambda: [
        event(STEP, cpu, 0, 1000, marked=True), event(STEP, gpu, 10, 900, marked=True),
        event("cudaGraphLaunch", cpu, 5, 20), event("gemm", gpu, 100, 500), event("gemm", gpu, 500, 700),
        event("add", gpu, 700, 800), event("preview", gpu, 1100, 1900),
        event(STEP, cpu, 2000, 3000, marked=True), event("gemm", gpu, 2100, 2500),
    ])  # fmt: skip
    found = operations_of(profiler, 2, on_gpu=True)  # type: ignore[arg-type]
    assert [(each.name, each.milliseconds, each.calls) for each in found.dearest] == [("gemm", 0.5, 1.5),
                                                                                    ("add", 0.05, 0.5)]  # fmt: skip
    assert found.milliseconds == pytest.approx(0.55)


def test_the_rate_of_products_is_taken_as_steps_take_them(monkeypatch):
    inside = []

    @contextmanager
    def rounding(self):
        inside.append("entered")
        yield
        inside.append("left")

    monkeypatch.setattr(Device, "rounding_products", rounding)
    monkeypatch.setattr("aigc_cli.profiling.arithmetic._seconds", lambda work, device: inside.append("measured") or [1])
    product_rate(Device(CPU, "fp32"))
    assert inside == ["entered", "measured", "left"]
