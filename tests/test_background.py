"""Training goes on while the disk is slow; what is written is of one moment, and what goes wrong is told."""

from __future__ import annotations

import os
import signal
import threading
import weakref
from concurrent.futures import Future
from pathlib import Path

import pytest
import torch

from aigc_cli import checkpoints
from aigc_cli.background import MOST, Background
from aigc_cli.errors import TrainingError
from aigc_cli.previewing import Previews
from aigc_cli.runs import read_metrics, read_summary
from aigc_cli.trainer import Trainer
from tests.test_every_model import batch, trainer_of
from tests.test_train import place, train  # noqa: F401 (place is a fixture)

RUN = Path("outputs/run")
LONG = 20  # seconds that no test should take


class Gate:
    """Stand for a disk that takes nothing until it is opened."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def __call__(self, *_: object) -> str:
        self.reached.set()
        assert self.opened.wait(LONG), "nobody opened the gate"
        return "done"


def nobody(future: Future) -> None:
    future.result()


def test_jobs_are_done_in_order_and_told_where_they_were_given():
    told: list[tuple[int, int]] = []
    with Background() as background:
        for number in range(5):
            background.submit(lambda n=number: n, lambda f: told.append((f.result(), threading.get_ident())))
        background.settle()
        assert told == [(number, threading.get_ident()) for number in range(5)]


def test_collecting_never_waits_and_a_third_job_does():
    gate, told = Gate(), []
    with Background() as background:
        for _ in range(MOST):
            background.submit(gate, lambda future: told.append(future.result()))
        background.collect()
        assert not told
        threading.Timer(0.05, gate.opened.set).start()
        background.submit(lambda: "late", lambda future: told.append(future.result()))
        assert told[0] == "done"
    assert told == ["done", "done", "late"]


def fail() -> None:
    raise OSError(28, "No space left on device")


def fail_beside_a_job() -> None:
    with Background() as background:
        background.submit(fail, nobody)
        raise TrainingError("the first")


def test_an_error_comes_back_and_beside_another_one_it_is_told(capsys):
    with pytest.raises(OSError, match="No space left"), Background() as background:
        background.submit(fail, nobody)
    with pytest.raises(TrainingError, match="the first"):
        fail_beside_a_job()
    assert "No space left on device" in capsys.readouterr().err


def test_a_job_that_is_done_holds_no_memory():
    held = torch.zeros(1000)
    gone = weakref.ref(held)
    with Background() as background:
        background.submit(held.sum, nobody)
        del held
        background.settle()
        assert gone() is None


@pytest.mark.parametrize("preset", ["dcgan", "transformer", "vqvae"])
def test_a_copy_is_written_as_the_same_bytes_and_stays_as_it_was(preset, tmp_path):
    trainer = trainer_of(preset, ema=0.9)
    trainer.step(batch(0, preset=preset))
    weights, state = dict(trainer.model.state_dict()), {"trainer": trainer.state_dict(), "minutes": 1.5}
    (copied, wait), (copied_state, wait_too) = checkpoints.snapshot(weights), checkpoints.snapshot(state)
    wait()
    wait_too()
    meta = {"config": {}}
    now = checkpoints.save(tmp_path / "now", 1, weights, meta, state, keep=1)
    trainer.step(batch(1, preset=preset))
    later = checkpoints.save(tmp_path / "later", 1, copied, meta, copied_state, keep=1)
    for file in now.iterdir():
        assert file.read_bytes() == (later / file.name).read_bytes(), file.name


def test_what_shares_memory_shares_it_in_the_copy():
    base = torch.arange(12.0)
    value = {"rows": base.view(3, 4), "turned": base.view(3, 4).T, "part": [base[3:5]], "empty": torch.empty(0, 2)}
    copied, _ = checkpoints.snapshot(value)
    base.zero_()
    assert torch.equal(copied["rows"], torch.arange(12.0).view(3, 4))
    copied["rows"][0, 3] = -1
    assert copied["turned"][3, 0] == copied["part"][0][0] == -1
    assert copied["empty"].shape == (0, 2)


def test_training_goes_on_while_the_disk_is_slow(place, monkeypatch):  # noqa: F811
    """A checkpoint and a picture are stuck until three more steps were taken: waiting for them would never end."""
    saving, drawing, steps = Gate(), Gate(), []
    publish, write, step = checkpoints._publish, Previews.write, Trainer.step

    def counted(self: Trainer, given):
        steps.append(self.steps)
        if self.steps == 7:
            assert saving.reached.wait(LONG)
            assert not list(Path(RUN / "checkpoints").glob("step-*"))
            saving.opened.set()
            drawing.opened.set()
        return step(self, given)

    monkeypatch.setattr(checkpoints, "_publish", lambda *paths: (saving(), publish(*paths)))
    monkeypatch.setattr(Previews, "write", lambda *words: (drawing(), write(*words))[1])
    monkeypatch.setattr(Trainer, "step", counted)
    assert train("steps=12", "checkpoint.every=4", "preview.every=4", "log_every=1") == 0
    assert steps == list(range(12))
    assert [path.name for path in sorted((RUN / "checkpoints").iterdir())] == ["step-00000008", "step-00000012"]
    assert sorted(path.name for path in (RUN / "samples").iterdir()) == [f"step-{step:08d}.png" for step in (4, 8, 12)]
    assert [line["step"] for line in read_metrics(RUN / "metrics.jsonl")] == list(range(1, 13))


def test_a_signal_waits_for_what_is_being_written(place, monkeypatch):  # noqa: F811
    saving, publish, step = Gate(), checkpoints._publish, Trainer.step

    def signalled(self: Trainer, given):
        if self.steps == 4:
            assert saving.reached.wait(LONG)
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Timer(0.05, saving.opened.set).start()
        return step(self, given)

    monkeypatch.setattr(checkpoints, "_publish", lambda *paths: (saving(), publish(*paths)))
    monkeypatch.setattr(Trainer, "step", signalled)
    with pytest.raises(SystemExit, match="143"):
        train("steps=9", "checkpoint.every=3")
    assert [path.name for path in sorted((RUN / "checkpoints").iterdir())] == ["step-00000003", "step-00000005"]
    assert read_summary(RUN)["status"] == "stopped"  # type: ignore[index]
