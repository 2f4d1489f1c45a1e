"""Steps that are replayed without their Python are the steps that Python takes: for every model, emulated on a CPU."""

from __future__ import annotations

import importlib
import io
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from aigc_cli import captured
from aigc_cli.devices import Device
from aigc_cli.errors import ConfigError, TrainingError
from aigc_cli.interfaces import nothing
from aigc_cli.models import pieces
from aigc_cli.trainer import Trainer
from tests.emulated_graphs import EmulatedGraphs
from tests.test_every_model import CASES, assert_equal_states, batch, trainer_of, use

WARM_UP = 1  # calls before a capture: a few models are enough to see that more change nothing
STEPS = 2 * (WARM_UP + 2)  # parts that come every second step are replayed as well
SETTINGS = {"ema": 0.9, "accumulate": 2, "clip": 1.0}


@pytest.fixture(autouse=True)
def emulated(monkeypatch) -> None:
    emulate(monkeypatch)


def emulate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let graphs be emulated, optimisers be capturable on CPUs, and text be handled as on a GPU."""
    monkeypatch.setattr(captured, "WARM_UP", WARM_UP)
    monkeypatch.setattr("aigc_cli.trainer.graphs_for", lambda wanted, device: EmulatedGraphs() if wanted else None)
    rmsprop = importlib.import_module("torch.optim.rmsprop")
    monkeypatch.setattr(rmsprop, "_get_capturable_supported_devices", lambda **_: ["cpu"])
    monkeypatch.setattr("torch.nn.functional.one_hot", one_hot)
    for module in ("seq2seq", "text_vae", "autoregressive"):
        monkeypatch.setattr(f"aigc_cli.models.{module}.shortened", unshortened)
    for module in ("seq2seq", "text_vae"):
        monkeypatch.setattr(f"aigc_cli.models.{module}.by_length", lambda among: (among.sum(1).argsort(stable=True),))


def one_hot(labels: torch.Tensor, classes: int) -> torch.Tensor:
    """Stand for torch's, which on a CPU reads back whether the labels are in range."""
    return torch.zeros(*labels.shape, classes, dtype=torch.int64).scatter_(-1, labels[..., None], 1)


def unshortened(symbols: torch.Tensor, end: int) -> tuple[torch.Tensor, torch.Tensor]:
    return symbols.long(), pieces.counted(symbols.long(), end)


def falling(step: int) -> float:
    return 0.9**step


def replayed(preset: str, conditional: bool = False, **changes) -> Trainer:
    trainer = trainer_of(preset, conditional, **{"cuda_graph": True, **SETTINGS, **changes})
    trainer.schedule = falling
    return trainer


def called(preset: str, conditional: bool = False, **changes) -> Trainer:
    """Return a trainer whose pieces are called each time, with the same numbers in tensors."""
    trainer = replayed(preset, conditional, **changes)
    trainer.pieces.graphs = None
    return trainer


def take(trainer: Trainer, number: int, preset: str) -> dict[str, torch.Tensor]:
    return trainer.step(batch(number, preset=preset))


def assert_close_states(one, other, path: str = "", *, rtol: float = 1e-5, atol: float = 1e-6) -> None:
    if isinstance(one, torch.Tensor):
        torch.testing.assert_close(one, other, rtol=rtol, atol=atol, msg=lambda said: f"{path}: {said}")
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            assert_close_states(one[key], other[key], f"{path}.{key}", rtol=rtol, atol=atol)
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), path
        for index, pair in enumerate(zip(one, other, strict=True)):
            assert_close_states(*pair, f"{path}[{index}]", rtol=rtol, atol=atol)
    else:
        assert one == other, path


LAST = {preset: conditional for preset, conditional in CASES}  # by label where it can be


@pytest.mark.parametrize(("preset", "conditional"), LAST.items())
def test_replayed_steps_are_called_steps(preset, conditional):
    """Whatever Python decides from step to step would stay as it was in the capture: then these two part."""
    one, other = replayed(preset, conditional), called(preset, conditional)
    for number in range(STEPS):
        logs, expected = take(one, number, preset), take(other, number, preset)
        assert_close_states(logs, expected, f"step {number}")
    assert isinstance(one.pieces.graphs, EmulatedGraphs), "it was not captured"
    after = sum(phase.after is not nothing for phase in one.phases)
    assert one.pieces.graphs.captures == 3 * len(one.phases) + after, "two micro-batches and a descent of each phase"
    assert_close_states(one.state_dict(), other.state_dict())


@pytest.mark.parametrize("preset", ["dcgan", "vqvae", "wgan", "stylegan2", "beta_vae"])
def test_tensors_in_place_of_numbers_change_nothing(preset):
    one, other = called(preset), trainer_of(preset, **SETTINGS)
    other.schedule = falling
    for number in range(STEPS):
        take(one, number, preset)
        take(other, number, preset)
    assert_close_states(one.state_dict(), other.state_dict())


RESUMED = ["dcgan", "wgan", "vqvae", "stylegan2", "beta_vae", "ddpm", "lstm"]  # of each way of learning, and cadences


@pytest.mark.parametrize("preset", RESUMED)
def test_resume_equals_never_stopping(preset):
    """A run that goes on begins with called steps where one that never stopped replays them."""
    whole, first, second = (replayed(preset) for _ in range(3))
    for number in range(2 * STEPS):
        take(whole, number, preset)
    for number in range(STEPS):
        take(first, number, preset)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    for number in range(STEPS, 2 * STEPS):
        with second.sampling() as model:  # a preview in between disturbs nothing
            use(model, preset)
        take(second, number, preset)
    with whole.sampling(), second.sampling():
        pass  # both fit the average's batch statistics anew
    assert_equal_states(second.state_dict(), whole.state_dict())


def test_loading_into_a_trainer_that_has_captured_is_heeded():
    one, other = replayed("vae"), called("vae")
    for number in range(STEPS):
        take(one, number, "vae")
    start = other.state_dict()
    one.load_state_dict(start)
    for number in range(STEPS):
        take(one, number, "vae")
        take(other, number, "vae")
    assert_close_states(one.state_dict(), other.state_dict())


@pytest.mark.parametrize("preset", ["dcgan", "wgan", "vae"])
def test_checkpoints_are_the_same_with_and_without(preset):
    """Rates are numbers in them, and what was trained either way goes on the other way."""
    graphs, plain = replayed(preset), trainer_of(preset, **SETTINGS)
    plain.schedule = falling
    for number in range(2):
        take(graphs, number, preset)
        take(plain, number, preset)
    one, other = (trainer.state_dict()["optimizers"] for trainer in (graphs, plain))
    groups = [[group for state in each.values() for group in state["param_groups"]] for each in (one, other)]
    assert groups[0] == groups[1]
    assert all(isinstance(group["lr"], float) for group in groups[0])
    there, back = trainer_of(preset, **SETTINGS), replayed(preset)
    there.load_state_dict(graphs.state_dict())
    back.load_state_dict(plain.state_dict())
    there.schedule = falling
    for number in range(2, 2 + STEPS):
        for trainer in (there, back):
            take(trainer, number, preset)
    assert_close_states(there.state_dict(), back.state_dict(), "went on")
    assert back.learning_rate() == pytest.approx(there.learning_rate())


def test_each_piece_is_captured_once_and_cadences_choose_among_them():
    """Of wgan, whose critic learns twice as often and is clipped: two micro-batches and a descent in each phase."""
    trainer = replayed("wgan", ema=0.0)
    counts = []
    for number in range(8):
        before = trainer.pieces.graphs.replays  # type: ignore[union-attr]
        take(trainer, number, "wgan")
        counts.append(trainer.pieces.graphs.replays - before)  # type: ignore[union-attr]
    assert trainer.pieces.graphs.captures == 7  # type: ignore[union-attr]
    assert counts == [0, 4, 4, 7, 4, 7, 4, 7]


def test_logs_of_steps_are_not_overwritten_by_later_ones():
    one, other = replayed("vae"), called("vae")
    logs = [[take(trainer, number, "vae") for number in range(STEPS)] for trainer in (one, other)]
    assert_close_states(*logs)
    one.losses.check()


def spoilt(change, model, given):
    loss, logs = type(model).loss(model, given)
    return loss * change(given), logs


def test_a_number_of_python_that_changes_is_found_here():
    """The emulation is worth something: a factor that Python counts is frozen in it, as it is on a GPU."""
    one, other = replayed("vae"), called("vae")
    for trainer in (one, other):
        counter = iter(range(1, 100))
        loss = partial(spoilt, lambda _, counter=counter: next(counter), trainer.model)
        trainer.phases = (replace(trainer.phases[0], loss=loss),)
    for number in range(STEPS):
        take(one, number, "vae")
        take(other, number, "vae")
    with pytest.raises(AssertionError):
        assert_close_states(one.state_dict(), other.state_dict())


@pytest.mark.parametrize("wanted", ["auto", True])
def test_what_cannot_be_captured_ends_and_says_what_to_type(wanted):
    """A generator may be left as it was within the capture: what it would draw from then on, nobody knows."""
    change = lambda given: 1.0 if int(given.step) < 100 else 2.0  # noqa: E731
    trainer = replayed("vae", cuda_graph=wanted)
    trainer.phases = (replace(trainer.phases[0], loss=partial(spoilt, change, trainer.model)),)
    for number in range(WARM_UP):
        take(trainer, number, "vae")
    with pytest.raises(
        TrainingError, match=r"cannot be captured \(operation not permitted.*Type trainer.cuda_graph=false"
    ):
        take(trainer, WARM_UP, "vae")


def test_as_many_calls_before_a_capture_as_training_makes(monkeypatch):
    monkeypatch.setattr(captured, "WARM_UP", 3)
    one, other = replayed("dcgan"), called("dcgan")
    for number in range(STEPS):
        take(one, number, "dcgan")
        take(other, number, "dcgan")
    assert_close_states(one.state_dict(), other.state_dict())


def test_who_counts_operations_sees_them():
    trainer = replayed("dcgan")
    counts = []
    for number in range(STEPS):
        with FlopCounterMode(display=False) as counter:
            take(trainer, number, "dcgan")
        counts.append(counter.get_total_flops())
        take(trainer, number, "dcgan")
    assert trainer.pieces.graphs.replays > 0  # type: ignore[union-attr]
    assert counts[0] > 0
    assert set(counts) == {counts[0]}


@pytest.mark.parametrize(("device", "precision", "said"), [("cpu", "fp32", "needs a CUDA device"),
                                                           ("cuda", "fp16", "reads values back")])  # fmt: skip
def test_where_nothing_can_be_captured_auto_is_silent_and_true_is_a_mistake(device, precision, said):
    where = Device(torch.device(device), precision)
    assert captured.graphs_for("auto", where) is None
    assert captured.graphs_for(False, where) is None
    with pytest.raises(ConfigError, match=rf"{said}.*Type trainer.cuda_graph=auto"):
        captured.graphs_for(True, where)
