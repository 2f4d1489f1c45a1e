"""What only a GPU can show: graphs that are captured for real, and steps that never wait."""

from __future__ import annotations

import io

import pytest
import torch

from aigc_cli.captured import WARM_UP, CudaGraphs
from aigc_cli.devices import Device
from aigc_cli.interfaces import Batch
from aigc_cli.trainer import Trainer
from tests.test_captured import LAST, SETTINGS, assert_close_states, falling
from tests.test_every_model import assert_equal_states, batch, trainer_of

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
STEPS = 2 * (WARM_UP + 2)


def on_cuda(preset: str, graphs: bool, conditional: bool = False) -> Trainer:
    """Return a trainer on the GPU, in fp32 without TF32's rounding, which would hide mistakes."""
    device = Device(torch.device("cuda", torch.cuda.current_device()), "fp32", exact=True)
    trainer = trainer_of(preset, conditional, device=device, cuda_graph=graphs, **SETTINGS)
    trainer.schedule = falling
    return trainer


def given(step: int, preset: str) -> Batch:
    return Batch(*(part if part is None else part.cuda() for part in batch(step, preset=preset)))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def exact(monkeypatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)


@pytest.mark.parametrize(("preset", "conditional"), LAST.items())
def test_replayed_steps_are_called_steps(preset, conditional):
    one, other = (on_cuda(preset, graphs, conditional) for graphs in (True, False))
    for number in range(STEPS):
        logs, expected = (trainer.step(given(number, preset)) for trainer in (one, other))
        assert_close_states(logs, expected, f"step {number}", rtol=1e-2, atol=1e-3)  # kernels add up in any order
    assert isinstance(one.pieces.graphs, CudaGraphs), "it was not captured"


@pytest.mark.parametrize("graphs", [True, False], ids=["graphs", "calls"])
@pytest.mark.parametrize("preset", LAST)
def test_no_step_between_two_logs_waits_for_the_device(preset, graphs):
    trainer = on_cuda(preset, graphs)
    batches = [given(number, preset) for number in range(STEPS + 4)]
    for each in batches[:STEPS]:
        trainer.step(each)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for each in batches[STEPS:]:
            trainer.step(each)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("preset", ["dcgan", "ddpm", "lstm"])
def test_resume_equals_never_stopping(preset, monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    whole, first, second = (on_cuda(preset, True) for _ in range(3))
    for number in range(STEPS + 2):
        whole.step(given(number, preset))
    for number in range(STEPS):
        first.step(given(number, preset))
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    for number in range(STEPS, STEPS + 2):
        second.step(given(number, preset))
    assert_equal_states(second.state_dict(), whole.state_dict())
