"""Several processes train what one does: to rounding, through kills, and with one voice."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from aigc_cli import checkpoints
from aigc_cli.cli import main
from aigc_cli.runs import read_metrics, read_summary
from tests.ranks_worker import SHARDED
from tests.test_every_model import TINY

ROOT = Path(__file__).parent.parent
TOLERANCE = 5e-6  # of the largest value of a tensor: float32 sums in another order, after four steps
SETTINGS = ["model.generator.widths=[16,16]", "model.critic.widths=[16]", "batch_size=16", "preview.n=4", "seed=3",
            "preview.tensorboard=false", "preview.every=0", "device=cpu", "data.count=400", "trainer.ema=0.9",
            "log_every=5", "optimizer=sgd", "optimizer.lr=0.01"]  # fmt: skip  # Adam takes rounding errors for steps


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Hold the cache of packed data and the outputs of this file's runs."""
    return tmp_path_factory.mktemp("ranks")


def torchrun(processes: int, *words: str, cwd: Path, more: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Start a module on several processes, which find each other at a free port."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--master-port",
               str(free_port()), *more, "-m", *words]  # fmt: skip
    variables = {**os.environ, "AIGC_CACHE": str(cwd / "cache"), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT),
                 "GLOO_SOCKET_IFNAME": "lo"}  # fmt: skip
    return subprocess.Popen(
        command, cwd=cwd, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def free_port() -> int:
    import socket

    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


def train(processes: int, place: Path, output: str, *words: str, more: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Start `aigc train` on several processes."""
    return torchrun(
        processes, "aigc_cli", "train", *SETTINGS, f"output={place / output}", "name=run", *words, cwd=place, more=more
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait; return the exit code and what was said, without torchrun's own lines."""
    try:
        said, _ = process.communicate(timeout=240)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, said


def errors(said: str) -> list[str]:
    """Return our lines that tell of something wrong; advice about few data is none."""
    ours = [line for line in said.splitlines() if line.startswith("aigc: ")]
    return [line for line in ours if "samples may repeat them" not in line]


def rank_of(process: subprocess.Popen[str], rank: int) -> int:
    """Return the process id of a rank."""
    for children in Path(f"/proc/{process.pid}/task").glob("*/children"):
        for child in children.read_text().split():
            with contextlib.suppress(OSError):
                if f"\0RANK={rank}\0" in f"\0{Path(f'/proc/{child}/environ').read_text()}":
                    return int(child)
    raise AssertionError(f"rank {rank} is not there")


def wait_for_step(process: subprocess.Popen[str], run: Path, step: int) -> None:
    """Return once the run has logged that step."""
    path, end = run / "metrics.jsonl", time.monotonic() + 200
    while not path.exists() or not any(line["step"] >= step for line in read_metrics(path)):
        assert process.poll() is None, f"ended before step {step}: {ended(process)}"
        assert time.monotonic() < end
        time.sleep(0.01)


# The same numbers -----------------------------------------------------------------------------------------------------


def trained_by(processes: int, place: Path, *words: str) -> dict[str, dict[str, torch.Tensor]]:
    """Train the small presets by some processes; return the losses and weights of each."""
    folder = place / f"by {processes} {' '.join(words)}"
    folder.mkdir()
    code, said = ended(torchrun(processes, "tests.ranks_worker", str(folder), *words, cwd=place))
    assert code == 0, said
    return {path.stem: torch.load(path, weights_only=True) for path in folder.glob("*.pt")}


def differences(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> list[str]:
    """Name the tensors that differ by more than rounding."""
    assert one.keys() == other.keys()
    assert sum(key.endswith("loss") for key in one) >= 4
    return [
        name
        for name, value in one.items()
        if not torch.allclose(other[name], value, atol=TOLERANCE * (value.abs().max().item() + 1e-3), rtol=0)
    ]


def test_as_many_micro_batches_descend_the_same_gradient_however_many_processes_share_them(place):
    """One process that accumulates over four, two over two each, and four; and two that hold half of each weight."""
    alone = trained_by(1, place)
    for others, presets in ((trained_by(2, place), TINY), (trained_by(4, place), TINY),
                            (trained_by(2, place, "shard"), SHARDED)):  # fmt: skip
        assert set(others) == set(presets)
        wrong = {preset: differences(alone[preset], others[preset]) for preset in presets}
        assert not any(wrong.values()), {preset: names for preset, names in wrong.items() if names}


def test_steps_of_ranks_are_replayed_as_they_are_called(place):
    code, said = ended(torchrun(2, "tests.replayed_ranks_worker", cwd=place))
    assert code == 0, said


# Runs -----------------------------------------------------------------------------------------------------------------


def weights(run: Path) -> dict[str, torch.Tensor]:
    newest = checkpoints.latest(run / "checkpoints")
    assert newest is not None
    return newest.state()["trainer"]["model"]


def test_a_run_of_two_processes_goes_on_with_one_and_with_four(place):
    """Checkpoints know nothing of ranks; four micro-batches a step are four micro-batches."""
    code, said = ended(train(2, place, "shared", "steps=6", "trainer.accumulate=2"))
    assert code == 0, said
    assert "batch_size 16 = 4 at a time x 2 accumulated x 2 processes" in said
    assert "torchrun --nproc-per-node=2 -m aigc_cli train" in said
    assert said.count("finished at step 6") == 1
    code, said = ended(train(4, place, "shared", "steps=9"))
    assert code == 0, said
    assert "continuing at step 6 of 9" in said
    for output, parts in (("shared", 12), ("alone", 12)):
        words = [*SETTINGS, f"output={place / output}", "name=run", "trainer.accumulate=4", f"steps={parts}"]
        assert main(["train", *words, f"data.cache={place / 'cache'}"]) == 0
    one, other = weights(place / "shared" / "run"), weights(place / "alone" / "run")
    for name, value in one.items():
        if "running" not in name and "tracked" not in name:  # running batch statistics are the first process's own
            torch.testing.assert_close(value, other[name], atol=2e-5, rtol=1e-4, msg=name)
    lines = [{line["step"]: line for line in read_metrics(place / output / "run" / "metrics.jsonl")}
             for output in ("shared", "alone")]  # fmt: skip
    for step in (5, 12):  # means over all ranks
        assert lines[0][step]["critic/loss"] == pytest.approx(lines[1][step]["critic/loss"], rel=1e-3)


def test_a_run_in_parts_is_saved_whole_and_goes_on_whole_or_in_parts(place):
    more = ["model.generator.widths=[300,300]", "preview.every=2", "checkpoint.every=4"]  # layers that travel alone
    for output, split in (("parts", "true"), ("whole", "false")):
        code, said = ended(train(2, place, output, *more, "steps=6", f"ranks.shard={split}"))
        assert code == 0, said
    assert main(["train", *SETTINGS, *more, f"output={place / 'parts'}", "name=run", "trainer.accumulate=2", "steps=8",
                 f"data.cache={place / 'cache'}"]) == 0  # fmt: skip
    for output, split in (("parts", "true"), ("whole", "false")):
        code, said = ended(train(2, place, output, *more, "steps=10", f"ranks.shard={split}"))
        assert code == 0, said
    one, other = (checkpoints.latest(place / output / "run" / "checkpoints") for output in ("parts", "whole"))
    assert one
    assert other
    ours, theirs = (found.state()["trainer"] for found in (one, other))
    assert ours["parameters"] == theirs["parameters"]
    for name, value in {**ours["model"], **ours["average"]["average"]}.items():
        if "running" not in name and "tracked" not in name:
            expected = {**theirs["model"], **theirs["average"]["average"]}[name]
            torch.testing.assert_close(value, expected, atol=2e-5, rtol=1e-4, msg=name)
    assert (place / "parts" / "run" / "samples" / "step-00000004.png").exists()
    assert (place / "parts" / "run" / "samples" / "step-00000010.png").exists()


def test_what_cannot_be_split_says_so(place):
    code, said = ended(
        train(
            2,
            place,
            "penalised",
            "model/penalty=gradient",
            "model.critic.widths=[300,300]",
            "steps=2",
            "ranks.shard=true",
        )
    )
    assert code == 1
    (line,) = errors(said)
    assert "ranks.shard=true" in line
    assert "Type ranks.shard=false" in line


def test_a_signal_to_torchrun_saves_once_and_the_run_goes_on(place):
    process = train(2, place, "signal", "steps=100000")
    wait_for_step(process, place / "signal" / "run", 10)
    process.send_signal(signal.SIGTERM)
    _, said = ended(process)
    assert said.count("SIGTERM: saving after this step") == 1
    assert said.count("stopped at step") == 1
    summary = read_summary(place / "signal" / "run")
    assert summary["status"] == "stopped"
    process = train(2, place, "signal", "steps=100000")
    wait_for_step(process, place / "signal" / "run", summary["step"] + 1)  # a run that goes on listens as well
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, said = ended(process)
    assert time.monotonic() - began < 25  # after half a minute torchrun kills
    assert f"continuing at step {summary['step']:,}" in said
    assert read_summary(place / "signal" / "run")["status"] == "stopped"


def test_a_killed_rank_ends_all_with_one_line(place):
    process = train(2, place, "killed", "steps=100000", "checkpoint.every=5")
    wait_for_step(process, place / "killed" / "run", 10)
    began = time.monotonic()
    os.kill(rank_of(process, 1), signal.SIGKILL)
    code, said = ended(process)
    assert code == 1
    assert time.monotonic() - began < 60
    (line,) = errors(said)
    assert "rank 0 of 2: another rank has ended" in line
    assert "The same command goes on from the last checkpoint" in line
    assert read_summary(place / "killed" / "run")["status"] == "failed"
    code, said = ended(train(2, place, "killed", "steps=12"))
    assert code == 0, said


def test_torchrun_starts_a_killed_rank_again_and_the_run_finishes(place):
    words = ["steps=400", "checkpoint.every=10", "restart=true"]  # which holds for the first start alone
    process = train(2, place, "elastic", *words, more=("--max-restarts", "1"))
    wait_for_step(process, place / "elastic" / "run", 20)
    os.kill(rank_of(process, 1), signal.SIGKILL)
    code, said = ended(process)
    assert code == 0, said
    assert "continuing at step" in said
    assert read_summary(place / "elastic" / "run")["status"] == "finished"


def test_who_waits_too_long_for_a_rank_says_so(place):
    process = train(2, place, "hangs", "steps=100000", "ranks.timeout=0.05")
    wait_for_step(process, place / "hangs" / "run", 10)
    stuck = rank_of(process, 1)
    os.kill(stuck, signal.SIGSTOP)
    summary = place / "hangs" / "run" / "summary.json"
    end = time.monotonic() + 120
    while '"failed"' not in summary.read_text():
        assert time.monotonic() < end
        time.sleep(0.1)
    os.kill(stuck, signal.SIGKILL)  # or torchrun waits half a minute for it
    code, said = ended(process)
    assert code == 1
    assert said.count("aigc: rank 0 of 2: another rank has ended, or did not answer within ranks.timeout.") == 1


# One voice ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("words", "said_once"), [
    (["batch_size=15"], "batch_size: 2 processes cannot share 15 samples equally. Type batch_size="),
    (["batch_sze=16"], "batch_sze: no such setting."),
    (["data=image_folder", "data.root=nowhere", "~data.count"], "nowhere"),
])  # fmt: skip
def test_mistakes_are_told_once(place, words, said_once):
    if "data=image_folder" in words:
        process = torchrun(2, "aigc_cli", "train", "data=image_folder", "data.root=nowhere", cwd=place)
    else:
        process = train(2, place, "mistaken", *words)
    code, said = ended(process)
    assert code == 1  # torchrun's own
    (line,) = errors(said)
    assert said_once in line
    assert not (place / "mistaken").exists()


def test_what_all_ranks_find_the_first_one_tells_with_all_it_knows(place):
    process = train(2, place, "diverged", "optimizer.lr=1e30", "steps=50", "log_every=2")
    code, said = ended(process)
    assert code == 1
    (line,) = errors(said)
    assert "the loss stopped being a finite number" in line
    assert "Try a smaller optimizer.lr" in line
    assert read_summary(place / "diverged" / "run")["status"] == "failed"


@pytest.mark.parametrize("words", [["sample", "ckpt=x"], ["train", "-m", "seed=1,2"]])
def test_torchrun_is_for_one_training(words, monkeypatch, capsys):
    told = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert main(words) == 2
    assert "torchrun is for one `aigc train`" in capsys.readouterr().err
