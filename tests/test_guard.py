"""The guard against games that are lost."""

from __future__ import annotations

import json

import pytest
import torch

from aigc_cli.composing.compose import compose
from aigc_cli.guard import PATIENCE, Guard, remedies, variety
from aigc_cli.interfaces import DataSpec


class Pictures:
    """Stand for a pack: noise, 64 pictures held out."""

    counts = {"test": 64, "train": 0}  # noqa: RUF012
    spec = DataSpec("image", (1, 8, 8))

    def split(self, name: str):
        assert name == "test"
        return noise(64, seed=1).numpy(), None


def noise(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(256, (n, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def guard(tmp_path) -> Guard:
    return Guard(tmp_path, Pictures(), newest=None, remedies=["model/penalty=r1"])  # type: ignore[arg-type]


def test_variety_is_the_distance_to_the_nearest_other():
    assert variety(noise(1).float().expand(20, -1, -1, -1)) == pytest.approx(0, abs=0.1)
    pairs = torch.cat([torch.full((2, 1, 4, 4), 100), torch.full((2, 1, 4, 4), 110)])
    pairs[1] += 4
    pairs[3] += 4
    assert variety(pairs.float()) == pytest.approx(4, abs=0.01)


def test_a_critic_that_is_never_wrong_is_told_of_once(guard, capsys):
    for step in range(50, PATIENCE + 500, 50):
        guard.read(step, {"critic/accuracy": 1.0})
    said = capsys.readouterr().err
    assert said.count("the critic has told all real pictures from all generated ones") == 1
    assert "model/penalty=r1" in said
    guard.read(2000, {"critic/accuracy": 0.9})
    for step in range(2050, 2000 + PATIENCE, 50):
        guard.read(step, {"critic/accuracy": 1.0})
    assert not capsys.readouterr().err


def test_logs_without_a_critic_say_nothing(guard, capsys):
    for step in range(50, 3 * PATIENCE, 50):
        guard.read(step, {"autoencoder/loss": 1.0})
    assert not capsys.readouterr().err


def test_samples_that_become_alike_keep_the_checkpoint_from_before(guard, tmp_path, capsys):
    guard.note(100)
    guard.look(150, noise(32))
    guard.note(200)  # as the loop does: saved before it is looked at, so it may have collapsed already
    assert guard.good is None
    assert guard.spared() == [100]
    assert not capsys.readouterr().err
    same = noise(1).expand(32, -1, -1, -1)
    guard.look(200, same)
    guard.note(300)
    guard.look(350, same)
    assert guard.good == 100
    assert guard.spared() == [100]
    said = capsys.readouterr().err
    assert said.count("the samples have become alike") == 1
    assert "step 100" in said
    again = Guard(tmp_path, Pictures(), newest=300)  # type: ignore[arg-type]
    assert again.good == 100
    assert again.spared() == [100]
    again.look(450, noise(32))
    assert again.good is None  # recovered
    assert again.spared() == [300]  # the newest that a run which goes on has
    assert json.loads((tmp_path / "guard.json").read_text())["good"] is None


def test_samples_that_were_always_alike_are_told_of_once(guard, capsys):
    for step in range(100, 1000, 100):
        guard.look(step, noise(1).expand(32, -1, -1, -1))
    said = capsys.readouterr().err
    assert said.count("the samples are all alike, with 0% of the data's variety") == 1
    assert "optimizer.lr" in said


@pytest.mark.parametrize(
    ("words", "helps"),
    [
        (["model=dcgan"], ["model/penalty=r1", "with few pictures model/augmentation=adaptive"]),
        (["model=wgan_gp"], ["with few pictures model/augmentation=diffaugment"]),
        (["recipe=few_faces", "data.root=x"], ["model/penalty=r1"]),
        (["model=vae_gan"], ["model/penalty=r1", "with few pictures model/augmentation=adaptive"]),
        (["model=ddpm"], []),
        (["model=wavegan", "data=tones"], []),
    ],
)
def test_what_is_advised_can_be_typed(words, helps):
    kind = "audio" if "data=tones" in words else "image"
    assert remedies(compose("train", words).config["model"], kind) == helps
    for help_ in helps:
        compose("train", [*words, help_.rpartition(" ")[2]])  # ConfigError, where it is refused


def test_few_samples_are_not_judged(guard, capsys):
    guard.note(100)
    guard.look(150, noise(32))
    guard.look(250, noise(1).expand(8, -1, -1, -1))
    assert guard.good is None
