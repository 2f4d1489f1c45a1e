"""Faults that come while `aigc train` runs: pictures that hang, disks that fill, sources that move."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from aigc_cli import checkpoints
from aigc_cli.cli import main
from aigc_cli.loop import Loop
from aigc_cli.models.vae import VAE
from aigc_cli.runs import read_summary
from tests.test_train import TINY, place, train  # noqa: F401 (place is a fixture)

RUN = Path("outputs/run")
GAN = ["model.generator.widths=[8]", "model.critic.widths=[8]"]


def test_a_signal_breaks_a_preview_off_and_the_state_is_saved(place, monkeypatch):  # noqa: F811
    drawn = []

    def hang(self: Loop) -> None:
        drawn.append(self.trainer.steps)
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the signal was to end this picture")

    monkeypatch.setattr(Loop, "_draw_preview", hang)
    with pytest.raises(SystemExit, match="143"):
        train("steps=9", "preview.every=3")
    assert drawn == [3]
    assert checkpoints.latest(RUN / "checkpoints").step == 3
    assert read_summary(RUN)["status"] == "stopped"


def test_an_error_in_the_last_picture_loses_no_training(place, monkeypatch):  # noqa: F811
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(VAE, "sample", fail)
    assert train("steps=4") == 1
    assert checkpoints.latest(RUN / "checkpoints").step == 4
    assert read_summary(RUN)["status"] == "failed"


def test_a_full_disk_under_tensorboard_costs_its_events_only(place, monkeypatch, capsys):  # noqa: F811
    board = pytest.importorskip("torch.utils.tensorboard")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(board.SummaryWriter, "add_scalar", full)
    assert train("steps=4", "preview.tensorboard=true") == 0
    assert capsys.readouterr().err.count("TensorBoard's events cannot be written") == 1


def test_divergence_between_two_logs_names_the_last_checkpoint(place, monkeypatch, capsys):  # noqa: F811
    loss = VAE.loss

    def spoilt(self: VAE, batch):
        value, logs = loss(self, batch)
        return (value * float("nan") if int(batch.step) == 3 else value), logs

    monkeypatch.setattr(VAE, "loss", spoilt)
    assert train("steps=9", "checkpoint.every=1", "log_every=9") == 1
    assert "at step 4. The last good checkpoint is outputs/run/checkpoints/step-00000003" in capsys.readouterr().err


def test_a_run_goes_on_without_the_source_of_its_weights(place):  # noqa: F811
    assert train("steps=1", "name=source") == 0
    assert train("steps=1", "init=outputs/source") == 0
    shutil.rmtree("outputs/source")
    assert train("steps=2", "init=outputs/source") == 0


def test_a_run_may_start_afresh_from_its_own_weights(place):  # noqa: F811
    assert train("steps=1") == 0
    assert train("steps=1", "init=outputs/run", "restart=true") == 0


def test_under_a_decaying_schedule_the_line_to_continue_works(place, capsys):  # noqa: F811
    assert train("steps=2", "schedule=cosine") == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "train on:" in line]
    assert line.endswith("init=outputs/run name=run-2")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model=gan", *GAN, "batch_size=1"], "batch norm needs two samples a part. Type batch_size=2"),
        (["model=gan", *GAN, "optimizer=sgd", "optimizer.momentum=0.0", "optimizer.nesterov=true"], "momentum=0.9"),
        (["model=gan", *GAN, "seed=99999999999999999999"], "seed: given 99999999999999999999"),
        (["model=ddpm", "model.noise.timesteps=10"], "model.sampler.steps: above model.noise.timesteps=10"),
        (["model=ddpm", "model.guidance=3"], "model.guidance: it needs labels"),
        (["model=gan", "model.latent=100000000000"], "out of memory at building the model"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_more_mistakes_without_a_traceback(place, capsys, words, said):  # noqa: F811
    others = [word for word in TINY if not word.startswith("model") and not word.startswith("batch")]
    assert main(["train", *others, *words]) in (1, 2)
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert not Path("outputs").exists()


def test_a_summary_that_lost_its_keys_is_no_obstacle(place):  # noqa: F811
    assert train("steps=1") == 0
    (RUN / "summary.json").write_text('{"status": "finished"}')
    assert train("steps=1") == 0


def test_what_a_device_cannot_do_the_same_each_time_is_said_in_a_line(place, monkeypatch, capsys):  # noqa: F811
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("reflection_pad2d_backward_out_cuda does not have a deterministic implementation")

    monkeypatch.setattr(VAE, "loss", refuse)
    assert train("steps=4", "trainer.deterministic=true") == 1
    assert "Type trainer.deterministic=false." in capsys.readouterr().err


def test_an_objective_needs_samples(place, capsys):  # noqa: F811
    words = ["model=autoencoder", "model.encoder.widths=[8]", "model.decoder.widths=[8]"]
    small = [word for word in TINY if not word.startswith("model")]
    assert main(["train", *small, *words, "name=plain", "steps=2", "objective=sliced_wasserstein"]) == 2
    assert "objective: this model draws no samples to compare. Type objective=null." in capsys.readouterr().err
    assert not Path("outputs/plain").exists()
