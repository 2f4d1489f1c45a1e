"""`aigc train`, stopped or killed, goes on with the same command and ends as if nothing had happened, bit for bit."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from aigc_cli import checkpoints
from aigc_cli.runs import read_metrics, read_summary

ROOT = Path(__file__).parent.parent
STEPS = 60
SETTINGS = [f"steps={STEPS}", "log_every=1", "checkpoint.every=20", "preview.every=25", "preview.n=4", "batch_size=16",
            "preview.tensorboard=false", "trainer.ema=0.9", "device=cpu", "data.count=200",
            "data.workers=1"]  # fmt: skip
CLOCKS = ("minutes", "samples_per_second")  # all that may differ between two runs


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Hold the cache of packed data and the outputs of this file's runs."""
    return tmp_path_factory.mktemp("interrupted")


def start(place: Path, output: str, *more: str, largest_file: int | None = None) -> subprocess.Popen[str]:
    """Start `aigc train` as a user does; largest_file: bytes from which on the kernel refuses to write."""
    command = [sys.executable, "-m", "aigc_cli", "train", *SETTINGS, f"output={place / output}", *more]
    variables = {**os.environ, "AIGC_CACHE": str(place / "cache"), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    limit = (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file,) * 2)) if largest_file else None
    return subprocess.Popen(
        command, cwd=place, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=limit
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait; return the exit code and all that was printed."""
    said, _ = process.communicate(timeout=200)
    return process.returncode, said


def wait_for_step(process: subprocess.Popen[str], run: Path, step: int) -> None:
    """Return once the run has logged that step."""
    path, end = run / "metrics.jsonl", time.monotonic() + 200
    while not path.exists() or not any(line["step"] >= step for line in read_metrics(path)):
        assert process.poll() is None, f"ended before step {step}: {finish(process)}"
        assert time.monotonic() < end
        time.sleep(0.002)


def only_run(folder: Path) -> Path:
    """Return the one run in a folder of outputs."""
    (run,) = folder.iterdir()
    return run


@pytest.fixture(scope="module")
def uninterrupted(place) -> Path:
    """Return a run that was left in peace."""
    code, said = finish(start(place, "peace"))
    assert code == 0, said
    return only_run(place / "peace")


def tensors_of(value: object, path: str = "") -> dict[str, object]:
    """Return every tensor and plain value of a nested state, but for the clocks."""
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, list | tuple):
        parts = enumerate(value)
    else:
        return {path: value}
    flat: dict[str, object] = {}
    for key, inner in parts:
        if key not in CLOCKS:
            flat.update(tensors_of(inner, f"{path}/{key}"))
    return flat


def must_be_the_same(run: Path, other: Path) -> None:
    """Compare all that two runs learnt: weights, the trainer's state, figures, pictures."""
    one, two = checkpoints.resolve(run), checkpoints.resolve(other)
    assert one.step == two.step == STEPS
    for left, right in ((one.tensors(), two.tensors()), (tensors_of(one.state()), tensors_of(two.state()))):
        assert left.keys() == right.keys()
        for name, value in left.items():
            same = torch.equal(value, right[name]) if isinstance(value, torch.Tensor) else value == right[name]
            assert same, f"{name} differs"
    assert _figures(run) == _figures(other)
    pictures = [{file.name: _pixels(file) for file in (folder / "samples").iterdir()} for folder in (run, other)]
    assert pictures[0].items() <= pictures[1].items() or pictures[1].items() <= pictures[0].items()


def _figures(run: Path) -> list[dict[str, object]]:
    lines = read_metrics(run / "metrics.jsonl")
    return [{key: value for key, value in line.items() if key not in CLOCKS} for line in lines]


def _pixels(file: Path) -> bytes:
    from PIL import Image

    with Image.open(file) as image:
        return image.tobytes()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)], ids=["term", "int", "kill"]
)
def test_the_same_command_goes_on_bit_for_bit(place, uninterrupted, number, code):
    output = f"signal{int(number)}"
    run = place / output / uninterrupted.name
    process = start(place, output)
    wait_for_step(process, run, 33)
    process.send_signal(number)
    ended, said = finish(process)
    assert ended == code, said
    assert "Traceback" not in said
    reached = checkpoints.resolve(run).step
    if number == signal.SIGKILL:
        assert reached == 20
        assert read_summary(run)["status"] == "running"  # type: ignore[index]
    else:
        assert 33 <= reached < STEPS
        assert read_summary(run)["status"] == "stopped"  # type: ignore[index]
        assert "continue" in said
    ended, said = finish(start(place, output))
    assert ended == 0, said
    assert f"continuing at step {reached}" in said
    must_be_the_same(run, uninterrupted)
    assert not [entry for entry in (run / "checkpoints").iterdir() if entry.name.startswith(".")]


@pytest.mark.parametrize("attempt", range(4))
def test_a_signal_at_a_random_moment_leaves_no_litter(place, uninterrupted, attempt):
    """Importing, packing, training or drawing: each ends with the shell's code, and the same command goes on."""
    moment = random.Random(attempt).uniform(0.3, 6)
    number, code = ((signal.SIGTERM, 143), (signal.SIGINT, 130))[attempt % 2]
    cache = place / f"cache-random{attempt}"
    process = start(place, f"random{attempt}", f"data.cache={cache}", f"name={uninterrupted.name}")
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(moment)
    process.send_signal(number)
    ended, said = finish(process)
    assert ended in (code, -number, 0), f"after {moment:.2f} s: {said}"  # torch's import may end as the signal does
    assert "Traceback" not in said
    assert not list(cache.glob(".packing-*"))
    code, said = finish(start(place, f"random{attempt}", f"data.cache={cache}", f"name={uninterrupted.name}"))
    assert code == 0, said
    must_be_the_same(place / f"random{attempt}" / uninterrupted.name, uninterrupted)


def test_a_finished_run_says_so_and_changes_nothing(place, uninterrupted):
    before = {file: file.stat().st_mtime_ns for file in uninterrupted.rglob("*") if file.is_file()}
    code, said = finish(start(place, "peace"))
    assert code == 0
    assert "is finished" in said
    assert before == {file: file.stat().st_mtime_ns for file in uninterrupted.rglob("*") if file.is_file()}


def test_a_second_process_is_turned_away_while_the_first_trains(place, uninterrupted):
    run = place / "twice" / uninterrupted.name
    first = start(place, "twice", "steps=100000")
    wait_for_step(first, run, 3)
    try:
        code, said = finish(start(place, "twice", "steps=100000"))
        assert code == 2, said
        assert f"already being trained by process {first.pid}" in said
        assert "Traceback" not in said
    finally:
        first.kill()
        finish(first)


def test_changed_settings_are_refused_by_name(place, uninterrupted):
    name = ["name=mine"]
    code, said = finish(start(place, "named", *name, "steps=2"))
    assert code == 0, said
    code, said = finish(start(place, "named", *name, "steps=2", "seed=5"))
    assert code == 2, said
    assert "seed: 0 -> 5" in said
    assert "restart=true" in said
    assert [folder.name for folder in (place / "named").iterdir()] == ["mine"]


def test_a_wrong_init_leaves_no_litter(place):
    code, said = finish(start(place, "wrong", "init=nowhere"))
    assert code == 2, said
    assert "init: no such file or folder: nowhere." in said
    assert not list((place / "wrong").glob("*"))


def test_a_full_disk_is_reported_and_retried_then_ends_the_run_which_goes_on_later(place, uninterrupted):
    run = place / "full" / uninterrupted.name
    code, said = finish(start(place, "full", largest_file=60_000))  # figures and pictures fit, checkpoints do not
    assert code == 1, said
    assert said.count("could not be written (File too large)") == 3
    assert "Traceback" not in said
    assert not list((run / "checkpoints").iterdir())
    assert read_summary(run)["status"] == "failed"  # type: ignore[index]
    code, said = finish(start(place, "full"))
    assert code == 0, said
    must_be_the_same(run, uninterrupted)
