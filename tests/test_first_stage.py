"""A model that builds upon a trained one: what it takes along, what it leaves alone, what it refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from aigc_cli import checkpoints
from aigc_cli.checkpoints.first_stages import open_first_stage, with_first_stage
from aigc_cli.checkpoints.restoring import restore
from aigc_cli.cli import main
from aigc_cli.errors import CheckpointError
from aigc_cli.interfaces import DataSpec

DATA = ["data.count=200", "data.size=16", "batch_size=20", "preview.n=4", "preview.tensorboard=false", "device=cpu"]
STAGE = ["model=vqvae", "model.encoder.width=8", "model.decoder.width=8", "model.codes=8", "model.code_size=4"]
GLYPHS = {"kind": "image", "shape": [1, 16, 16], "levels": 256, "classes": [str(digit) for digit in range(10)]}
PRIOR = ["model=vqvae_prior", "model.network.width=16", "model.network.depth=1", "model.network.heads=2"]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("stages")


@pytest.fixture(autouse=True)
def here(place, monkeypatch) -> Path:
    monkeypatch.chdir(place)
    monkeypatch.setenv("AIGC_CACHE", str(place / "cache"))
    return place


@pytest.fixture(scope="module")
def stage(place) -> Path:
    """Train a first stage for a moment."""
    patch = pytest.MonkeyPatch()
    patch.chdir(place)
    patch.setenv("AIGC_CACHE", str(place / "cache"))
    assert main(["train", *STAGE, *DATA, "steps=3", "name=stage"]) == 0
    patch.undo()
    return place / "outputs" / "stage"


def trained(name: str, stage: Path, *words: str) -> int:
    return main(["train", *PRIOR, *DATA, "steps=4", f"model.first_stage={stage}", f"name={name}", *words])


def tensors(run: Path) -> dict[str, torch.Tensor]:
    return checkpoints.resolve(run).tensors()


def test_the_first_stage_stays_as_it_was_and_the_checkpoint_stands_alone(stage, here, capsys):
    copy = here / "outputs" / "copy"
    shutil.copytree(stage, copy)
    assert trained("prior", copy, "trainer.ema=0.9") == 0
    found, prior = tensors(stage), tensors(here / "outputs" / "prior")
    assert found.keys() == {key.removeprefix("first_stage.model.") for key in prior if key.startswith("first_stage.")}
    assert all(torch.equal(prior[f"first_stage.model.{key}"], value) for key, value in found.items())
    shutil.rmtree(copy)
    assert main(["sample", "ckpt=outputs/prior", "n=4"]) == 0
    assert trained("prior", copy, "trainer.ema=0.9", "steps=6") == 0  # and the run goes on without it
    assert "continuing at step 4 of 6" in capsys.readouterr().out


def test_another_first_stage_of_the_same_name_does_not_change_a_run_that_goes_on(stage, here):
    copy = here / "outputs" / "changing"
    shutil.copytree(stage, copy)
    assert trained("whole", copy) == 0
    assert trained("parts", copy, "steps=2") == 0
    assert main(["train", *STAGE, *DATA, "steps=5", "name=changing"]) == 0
    assert trained("parts", copy) == 0
    one, other = (tensors(here / "outputs" / name) for name in ("whole", "parts"))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_the_checkpoint_names_only_what_is_ours(stage, here):
    assert trained("named", stage) == 0
    meta = checkpoints.resolve(here / "outputs" / "named").meta
    assert meta["config"]["model"]["first_stage"]["name"] == "vqvae"
    model = restore(checkpoints.resolve(here / "outputs" / "named"), torch.device("cpu"))
    assert not any(p.requires_grad for name, p in model.named_parameters() if name.startswith("first_stage."))
    assert not any(module.training for module in model.train().first_stage.modules())  # type: ignore[union-attr]


def test_show_counts_a_model_with_its_first_stage(stage, capsys):
    assert main(["show", *PRIOR, "data.size=16", f"model.first_stage={stage}"]) == 0
    assert "first_stage" in capsys.readouterr().out.split("parameters:")[1]


def test_a_preset_may_leave_to_the_user_what_its_base_sets(here, capsys):
    assert main(["train", "model=latent_diffusion", *DATA]) == 2
    assert "model.first_stage: not set. It is: the trained vqvae or vae_map" in capsys.readouterr().err
    assert not list((here / "outputs").glob("latent_diffusion*"))


@pytest.mark.parametrize(("words", "said"), [
    ([], "model.first_stage: not set."),
    (["model.first_stage=outputs/stag"], "model.first_stage: no such file or folder: outputs/stag. Did you mean"),
    (["model.first_stage=outputs/mnist_vqvae"], "Train it first: aigc train recipe=mnist_vqvae."),
    (["model.first_stage=outputs/stage", "data.size=32"], "has learnt image 1x16x16 of 256 levels, but the data are"),
    (["model.first_stage=outputs/gan"], "model.first_stage: given a model (GAN) that writes no codes."),
])  # fmt: skip
def test_what_is_no_first_stage_is_refused_in_a_line(stage, here, capsys, words, said):
    if not (here / "outputs" / "gan").exists():
        small = ["model.generator.widths=[8]", "model.critic.widths=[8]"]
        assert main(["train", "model=gan", *small, *DATA, "steps=1", "name=gan"]) == 0
        capsys.readouterr()
    assert main(["train", *PRIOR, *DATA, "steps=4", "name=refused", *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert not (here / "outputs" / "refused").exists()


def nested(depth: int) -> dict:
    node: dict = {"name": "autoregressive"}
    for _ in range(depth):
        node = {"name": "autoregressive", "first_stage": node}
    return node


HOSTILE: list[dict] = [  # meta of a stranger's checkpoint, in place of a good one's
    *({"spec": spec} for spec in (None, [], 5, "spec", {}, {"kind": "image"}, {"kind": []}, [["kind", "image"]])),
    *({"spec": {**GLYPHS, **wrong}} for wrong in (
        {"shape": "16"}, {"shape": None}, {"shape": [1, 16, 1 << 40]}, {"shape": [True, 16, 16]},
        {"shape": [1, "16", 16]},
        {"shape": [-1, 16, -16]}, {"levels": 0}, {"levels": "256"}, {"levels": 256.0}, {"kind": "\x1b[31m"},
        {"classes": 5}, {"classes": [1, 2]}, {"source": {"kind": "text"}}, {"source": 7}, {"sound": {"sample_rate": 1}},
        {"sound": {"sample_rate": 8000, "samples": 99, "evil": 1}}, {"text": {"symbols": ["a"]}}, {"text": 5})),
    *({"config": config} for config in (None, [], 5)),
    *({"config": {"model": model}} for model in (None, [], {}, {"name": "os"}, {"name": ["vqvae"]}, nested(150),
                                                 nested(400))),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(HOSTILE)))
def test_a_strangers_first_stage_is_checked_as_any_checkpoint(stage, here, case):
    good, place = checkpoints.resolve(stage), here / "strangers" / str(case)
    path = checkpoints.save(place, 3, good.tensors(), {**good.meta, **HOSTILE[case]}, {}, keep=1)
    spec = DataSpec.from_dict(GLYPHS)
    node = {"name": "autoregressive", "first_stage": str(path)}
    for opened in (
        lambda: with_first_stage(node),
        lambda: with_first_stage(node, spec),
        lambda: open_first_stage({"model": node, "restart": False}, here / "no", spec, print),
        lambda: restore(checkpoints.resolve(path), torch.device("cpu")),
    ):
        with pytest.raises(CheckpointError) as told:
            opened()
        assert str(told.value).isprintable()
        assert len(str(told.value)) < 500


@pytest.mark.parametrize("case", [0, 8, -1])
def test_a_strangers_first_stage_is_one_line_as_typed(stage, here, capsys, case):
    good, place = checkpoints.resolve(stage), here / "typed" / str(case)
    path = checkpoints.save(place, 3, good.tensors(), {**good.meta, **HOSTILE[case]}, {}, keep=1)
    for words in (["show", *PRIOR, "data.size=16"], ["train", *PRIOR, *DATA, "steps=1", "name=never"]):
        assert main([*words, f"model.first_stage={path}"]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert not (here / "outputs" / "never").exists()
