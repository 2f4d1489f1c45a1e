"""`aigc train` in process, at a tiny size: what it writes, what it says, and what it refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from aigc_cli import checkpoints, pace
from aigc_cli.cli import main
from aigc_cli.composing.compose import compose
from aigc_cli.models.vae import VAE
from aigc_cli.parting import _command_to_continue
from aigc_cli.runs import read_metrics, read_summary, run_directory
from aigc_cli.trainer import Trainer

TINY = ["model=vae", "model.encoder.widths=[8]", "model.decoder.widths=[8]", "data.count=200", "batch_size=20",
        "preview.n=4", "preview.tensorboard=false", "log_every=2", "device=cpu", "name=run"]  # fmt: skip


@pytest.fixture(autouse=True)
def place(tmp_path_factory, tmp_path, monkeypatch) -> Path:
    """Work in an empty folder; packs are shared by all tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIGC_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    return tmp_path


def train(*words: str) -> int:
    return main(["train", *TINY, *words])


def refused(capsys, *words: str) -> str:
    """Return the one line that a mistake gets."""
    assert train(*words) == 2
    said = capsys.readouterr().err
    (line,) = [line for line in said.splitlines() if line.startswith("aigc: ")]
    assert "Traceback" not in said
    return line


def test_a_run_leaves_what_the_readme_says(place, capsys):
    assert train("steps=5", "preview.every=2") == 0
    run = place / "outputs" / "run"
    assert {path.name for path in run.iterdir()} >= {"config.yaml", "metrics.jsonl", "samples", "checkpoints"}
    assert sorted(path.name for path in (run / "samples").iterdir()) == [
        "step-00000002.png", "step-00000004.png", "step-00000005.png",
    ]  # fmt: skip
    about = Image.open(run / "samples" / "step-00000005.png").text
    assert about["step"] == "5"
    assert json.loads(about["config"])["config"]["model"]["name"] == "vae"
    assert [line["step"] for line in read_metrics(run / "metrics.jsonl")] == [1, 2, 4, 5]
    assert read_summary(run)["status"] == "finished"
    said = capsys.readouterr().out
    for next_step in ("look:", "aigc sample ckpt=outputs/run", "steps=10", "aigc train model=dcgan data=mnist"):
        assert next_step in said


def test_a_finished_run_says_so_and_does_nothing(place, capsys, monkeypatch):
    assert train("steps=2") == 0
    monkeypatch.setattr(Trainer, "step", None)  # any step would fail
    assert train("steps=2") == 0
    assert "is finished: 2 steps" in capsys.readouterr().out


def test_more_steps_continue_and_restart_keeps_the_old(place, capsys):
    assert train("steps=2") == 0
    assert train("steps=4") == 0
    assert "continuing at step 2 of 4" in capsys.readouterr().out
    assert train("steps=4", "restart=true") == 0
    assert (place / "outputs" / "run.old-1" / "summary.json").exists()


def test_epochs_count_passes_over_the_data(place):
    assert train("epochs=0.5") == 0
    assert read_summary(place / "outputs" / "run")["step"] == 5


def test_a_run_of_many_hours_says_so_unless_time_ends_it(place, capsys, monkeypatch):
    monkeypatch.setattr(pace, "LONG", 1e-9)
    assert train("steps=10", "name=short", "max_minutes=1e-9") == 0
    assert "a step takes" not in capsys.readouterr().err
    assert train("steps=10") == 0
    assert capsys.readouterr().err.count("aigc: a step takes") == 1


def test_max_minutes_ends_a_run_saved(place):
    assert train("steps=100000", "max_minutes=0.0001") == 0
    summary = read_summary(place / "outputs" / "run")
    assert summary["step"] < 1000
    assert checkpoints.latest(place / "outputs" / "run" / "checkpoints").step == summary["step"]


def test_init_starts_a_new_run_from_weights(place, capsys):
    assert train("steps=3") == 0
    assert train("steps=0", "name=other") == 2  # a run trains at least a step
    assert train("steps=1", "name=other", "init=outputs/run", "optimizer.lr=1e-9") == 0
    assert "weights from" in capsys.readouterr().out
    first, second = (checkpoints.resolve(place / "outputs" / name).tensors() for name in ("run", "other"))
    torch.testing.assert_close(first, second, atol=1e-6, rtol=0)


def test_init_from_another_size_lists_what_did_not_fit(place, capsys):
    assert train("steps=1") == 0
    assert train("steps=1", "name=other", "init=outputs/run", "model.latent=5") == 0
    assert "aigc: init: decoder.layers.0.weight is 8x20 in the checkpoint, 8x5 here" in capsys.readouterr().err


def test_divergence_names_phase_step_and_checkpoint(place, capsys, monkeypatch):
    assert train("steps=3") == 0
    loss = VAE.loss
    monkeypatch.setattr(VAE, "loss", lambda self, batch: (loss(self, batch)[0] * float("nan"), {}))
    assert train("steps=9") == 1
    said = capsys.readouterr().err
    assert "phase 'autoencoder': the loss stopped being a finite number at step 4" in said
    assert "last good checkpoint is outputs/run/checkpoints/step-00000003" in said
    assert "Traceback" not in said
    assert read_summary(place / "outputs" / "run")["status"] == "failed"
    assert checkpoints.latest(place / "outputs" / "run" / "checkpoints").step == 3


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_lack_of_memory_says_what_to_type(place, capsys, monkeypatch, error):
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Trainer, "step", fail)
    assert train("steps=3") == 1
    said = capsys.readouterr().err
    assert "out of memory" in said
    for way_out in ("trainer.accumulate=2", "batch_size=10", "precision=bf16"):
        assert way_out in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["steps=2", "epochs=1"], "which of the two"),
        (["device=cuda:7"], "CUDA devices. Type device=auto"),
        (["device=gpu"], "allowed: auto, cpu, cuda, cuda:N, mps"),
        (["batch_size=512"], "the train split has 200 samples. Type batch_size=128"),
        (["trainer.accumulate=3"], "trainer.accumulate: 3 does not divide batch_size=20. Type batch_size=21"),
        (["optimizer.phases.autoencodr.lr=1e-4"], "Phases: autoencoder"),
        (["model.conditional=maybe"], "model.conditional"),
        (["optimizer.lr=0"], "optimizer.lr"),
        (["init=nowhere"], "nowhere"),
        (["data.augment=[flop]"], "Did you mean 'flip'"),
        (["model=dcgan", "data.size=30", "name=other"], "Type data.size=32"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_mistakes_get_one_line_and_leave_no_litter(place, capsys, words, said):
    tiny = [word for word in TINY if not word.startswith("model")] if "model=dcgan" in words else TINY
    assert main(["train", *tiny, "steps=2", *words] if "steps=2" not in words else ["train", *tiny, *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert not (place / "outputs").exists()


def test_changed_settings_are_refused_by_name(place, capsys):
    assert train("steps=2") == 0
    capsys.readouterr()
    assert "model.latent: 20 -> 3" in refused(capsys, "steps=4", "model.latent=3")


def test_a_decaying_schedule_is_not_stretched(place, capsys):
    assert train("steps=2", "schedule=cosine") == 0
    capsys.readouterr()
    assert "the cosine schedule falls over them" in refused(capsys, "steps=4", "schedule=cosine")
    assert train("steps=4", "name=longer", "schedule=cosine", "init=outputs/run") == 0


def test_phases_have_their_own_rates(place):
    assert train("steps=1", "optimizer.phases.autoencoder.lr=5e-4") == 0
    (line,) = read_metrics(place / "outputs" / "run" / "metrics.jsonl")
    assert line["learning_rate"] == 5e-4


def test_tensorboard_events_are_written(place):
    pytest.importorskip("tensorboard")
    assert train("steps=2", "preview.tensorboard=true") == 0
    (events,) = (place / "outputs" / "run" / "tensorboard").iterdir()
    assert b"autoencoder/loss" in events.read_bytes()


def test_the_objective_is_kept(place):
    assert train("steps=2", "objective=sliced_wasserstein") == 0
    assert 0 < read_summary(place / "outputs" / "run")["objective"] < 255


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_other_precisions_train(place, precision):
    assert train("steps=2", f"precision={precision}", "trainer.accumulate=2", "trainer.clip=1", "trainer.ema=0.9") == 0


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop", "sgd"])
def test_every_optimizer_trains(place, optimizer):
    assert train("steps=2", f"optimizer={optimizer}", "optimizer.lr=1e-5") == 0


def test_training_does_not_import_the_compiler(place):
    """It takes longer than the rest of the start-up, and torch's optimisers import it unasked."""
    script = f"import sys\nfrom aigc_cli.cli import main\ncode = main({['train', *TINY, 'steps=1']!r})\n"
    check = "assert 'torch._dynamo' not in sys.modules\nsys.exit(code)"
    done = subprocess.run([sys.executable, "-c", script + check], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_objective_needs_something_held_out(place, capsys):
    (place / "photos").mkdir()
    Image.new("RGB", (16, 16)).save(place / "photos" / "only.png")
    words = ["train", "model=vae", "data=image_folder", "data.root=photos", "data.size=16", "batch_size=1"]
    assert main([*words, "objective=sliced_wasserstein"]) == 2
    assert "objective: nothing is held out" in capsys.readouterr().err
    assert not (place / "outputs").exists()


def test_time_that_runs_out_is_said_and_the_way_on_keeps_the_goal(place, capsys):
    assert train("steps=100000", "max_minutes=0.02") == 0
    said = capsys.readouterr().out
    assert "max_minutes=0.02 ended it at step" in said
    assert "of 100,000" in said
    assert "steps=100000 max_minutes=0.04" in said
    assert train("steps=100000", "max_minutes=0.02") == 0
    assert "steps in max_minutes=0.02" in capsys.readouterr().out


def test_fewer_steps_than_there_are_is_a_finished_run(place, capsys):
    assert train("steps=6") == 0
    assert train("steps=3") == 0
    assert "is finished: 6 steps" in capsys.readouterr().out


def test_after_a_decayed_schedule_the_way_on_is_a_new_run(place, capsys):
    assert train("steps=4", "schedule=cosine") == 0
    said = capsys.readouterr().out
    assert "train on: aigc train" in said
    assert {"steps=4", "schedule=cosine"} <= set(said.partition("train on:")[2].split())
    assert "init=outputs/run name=run-2" in said
    assert "its cosine's end" not in said.partition("train on:")[0]


def test_a_run_goes_on_when_its_pictures_have_moved(place, capsys):
    for number in range(40):
        (place / "photos").mkdir(exist_ok=True)
        Image.new("L", (16, 16), 6 * number).save(place / "photos" / f"{number}.png")
    words = [word for word in TINY if not word.startswith("data.")]
    words = ["train", *words, "data=image_folder", "data.size=16", "data.channels=1"]
    assert main([*words, "data.root=photos", "steps=2"]) == 0
    (place / "photos").rename(place / "moved")
    assert main([*words, "data.root=moved", "steps=4"]) == 0
    told = capsys.readouterr()
    assert "continuing at step 2 of 4" in told.out
    assert "data: not the files" not in told.err
    shutil.copytree(place / "moved", place / "other", copy_function=shutil.copy)  # newer files of the same names
    assert main([*words, "data.root=other", "steps=4"]) == 0
    assert "data: not the files that this run began with" in capsys.readouterr().err
    (place / "moved" / "1.png").unlink()
    assert main([*words, "data.root=moved", "steps=6"]) == 0
    assert "data: not the files that this run began with" in capsys.readouterr().err


def test_a_job_of_a_sweep_names_its_run_to_go_on():
    job = compose("train", ["seed=0"], swept=("seed",))
    directory = run_directory(job, Path("outputs"))
    assert directory.name == "gan-glyphs-seed_0"
    for stopped in (False, True):
        assert "name=gan-glyphs-seed_0" in _command_to_continue(job, directory, 5, stopped, False).split()


@pytest.mark.parametrize(
    ("words", "said"),
    [(["device=gpu"], "device: given 'gpu'"), (["init=nowhere"], "init: no such file or folder: nowhere."),
     (["data=image_folder", "data.root=nowhere"], "data.root: no folder 'nowhere'")],
)  # fmt: skip
def test_what_shows_without_torch_is_said_without_it(place, words, said):
    words = [word for word in TINY if not (word.startswith(("data.", "device=")) and words)] + words
    script = f"import sys\nfrom aigc_cli.cli import main\ncode = main({['train', *words]!r})\n"
    check = "assert 'torch' not in sys.modules\nsys.exit(code)"
    done = subprocess.run([sys.executable, "-c", script + check], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
