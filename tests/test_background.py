"""Training goes on while the disk is slow; what is written is of one moment, and what goes wrong is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch

from aigc_cli import checkpoints
from aigc_cli.background import MOST, Background
from aigc_cli.checkpoints import snapshots
from aigc_cli.errors import TrainingError
from aigc_cli.previewing import Previews
from aigc_cli.runs import read_metrics, read_summary
from aigc_cli.stopping import Terminated
from aigc_cli.trainer import Trainer
from tests.test_every_model import batch, trainer_of
from tests.test_train import TINY, place, train  # noqa: F401 (place is a fixture)

ROOT = Path(__file__).parent.parent
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


class Stream:
    """Stand for a stream of a GPU: which stream waited for it, and what was copied on it."""

    def __init__(self) -> None:
        self.waits_for: list[Stream] = []

    def wait_stream(self, other: Stream) -> None:
        self.waits_for.append(other)


class OnDevice:
    """Stand for the bytes of a tensor on a GPU."""

    device = "cuda:0"

    def __init__(self, *, room: bool) -> None:
        self.room = room

    def clone(self) -> OnDevice:
        if not self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self

    def record_stream(self, stream: Stream) -> None:
        pass


@pytest.mark.parametrize("room", [True, False], ids=["room", "no room for a second copy"])
def test_a_copy_from_a_gpu_is_there_before_it_is_written(room, monkeypatch):
    """Who writes waits for the side stream alone: what is copied elsewhere must be there already."""
    training, side = Stream(), Stream()
    current, copies = [training], []

    @contextmanager
    def entered(stream: Stream) -> Iterator[None]:
        current.append(stream)
        yield
        current.pop()

    def copied(source: object, non_blocking: bool = False) -> object:
        copies.append((current[-1], non_blocking))
        return host

    host = SimpleNamespace(copy_=copied)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: training)
    monkeypatch.setattr(torch.cuda, "stream", entered)
    monkeypatch.setattr(torch, "empty_like", lambda *_, **__: host)
    assert snapshots._to_host(OnDevice(room=room), side) is host  # type: ignore[arg-type,comparison-overlap]
    ((stream, non_blocking),) = copies
    assert (stream is side and side.waits_for == [training]) if room else not non_blocking


def test_what_a_checkpoint_holds_is_copied_once(monkeypatch, tmp_path):
    """Only what shares memory, or is not contiguous, is copied again for the file of weights."""
    written: dict[str, torch.Tensor] = {}
    save_file = safetensors.torch.save_file

    def kept(tensors, path, meta):
        written.update(tensors)
        save_file(tensors, path, meta)

    monkeypatch.setattr(safetensors.torch, "save_file", kept)
    base = torch.rand(12)
    weights = {
        "own": torch.rand(5),
        "base": base,
        "part": base[3:5],
        "turned": torch.rand(3, 4).T,
        "none": torch.empty(0),
    }
    folder = checkpoints.save(tmp_path, 1, weights, {"config": {}}, {}, keep=1)
    same = [name for name in weights if written[name].data_ptr() == weights[name].data_ptr() != 0]
    assert same == ["own", "base"]
    found = safetensors.torch.load_file(folder / "model.safetensors")
    assert all(torch.equal(found[name], weights[name]) for name in weights)


MEMORY = """
from pathlib import Path
import torch
from aigc_cli import checkpoints
def held(kind):
    return 1024 * int(Path("/proc/self/status").read_text().split(kind)[1].split()[0])
model = {str(n): torch.rand(1 << 20) for n in range(50)}
checkpoints.save(Path("warm"), 1, {"w": torch.ones(1)}, {"config": {}}, {}, keep=1)
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
before = held("VmRSS:")
(weights, copied), _ = checkpoints.snapshot((model, {"model": model}))
checkpoints.save(Path("large"), 1, weights, {"config": {}}, copied, keep=1)
print((held("VmHWM:") - before) / (50 << 22))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="of Linux")
def test_memory_holds_one_more_copy_of_what_is_written(tmp_path):
    told = subprocess.run([sys.executable, "-c", MEMORY], check=True, capture_output=True, text=True, cwd=tmp_path,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
    assert 0.9 < float(told.stdout) < 1.3


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


@pytest.mark.parametrize("error", [KeyboardInterrupt, Terminated])
def test_ctrl_c_waits_for_no_job(error):
    gate = Gate()
    with pytest.raises(error):
        interrupted_beside(gate, error)
    assert not gate.opened.is_set()
    gate.opened.set()


def interrupted_beside(job: Gate, error: type[BaseException]) -> None:
    with Background() as background:
        background.submit(job, nobody)
        raise error


SLOW = """
import sys, time
from aigc_cli import checkpoints
from aigc_cli.cli import main
checkpoints._publish = lambda *paths: (print("publishing", flush=True), time.sleep(300))
sys.exit(main(["train", *sys.argv[1:]]))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["int", "term"])
def test_once_more_stops_at_once_though_a_checkpoint_is_being_written(place, number, code):  # noqa: F811
    assert train("steps=2") == 0  # packs the data
    words = [*TINY, "steps=100000", "checkpoint.every=3", "name=stuck"]
    process = subprocess.Popen([sys.executable, "-c", SLOW, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
    try:
        said = iter(process.stdout or ())
        assert any("publishing" in line for line in said)
        process.send_signal(number)
        assert any("once more stops at once" in line for line in said)
        began = time.monotonic()
        process.send_signal(number)
        assert process.wait(LONG) == code
        assert time.monotonic() - began < LONG / 2
    finally:
        process.kill()
        process.communicate()
    run = Path("outputs/stuck")
    assert read_summary(run)["status"] == "failed"  # type: ignore[index]
    assert not list((run / "checkpoints").glob("step-*"))
