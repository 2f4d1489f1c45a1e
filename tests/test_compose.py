"""Composing: who has the last word, and what each mistake is answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from aigc_cli.composing import compose as composing
from aigc_cli.composing import composition
from aigc_cli.composing.compose import compose
from aigc_cli.composing.overrides import parse
from aigc_cli.errors import ConfigError
from tests.small_configs import write_configs


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    folder = write_configs(tmp_path / "configs")
    monkeypatch.setattr(composition, "configs_folder", lambda: folder)
    monkeypatch.setitem(composing.VERBS, "train", "tests.small_configs:train")
    composition._composition.cache_clear()
    return folder


def mistakes(*overrides: str, **more: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        compose("train", overrides, **more)  # pyright: ignore[reportArgumentType]
    return str(caught.value).splitlines()


def test_precedence_is_model_then_pair_then_recipe_then_command_line():
    def values(*overrides: str) -> tuple[object, ...]:
        config = compose("train", overrides).config
        return config["model"]["latent"], config["optimizer"]["lr"], config["steps"]

    assert values() == (64, 2e-4, 100)  # the model has brought its optimiser
    assert values("model=vae") == (20, 1e-3, 100)
    assert values("model=dcgan") == (100, 2e-4, 100)
    assert values("model=dcgan", "data=lines") == (101, 0.3, 300)
    assert values("recipe=lines") == (101, 0.3, 400)  # the recipe's choices have brought their pair
    assert values("recipe=lines", "data=dots") == (100, 2e-4, 400)
    assert values("recipe=lines", "model.latent=7", "optimizer.lr=1", "steps=5") == (7, 1, 5)
    assert values("recipe=lines", "optimizer=adam")[1] == 1e-3  # what the command line chooses, it chooses whole


def test_choices_defaults_and_overrides_are_told():
    composed = compose("train", ["recipe=lines", "++model.latent=7", "model.generator=small"])
    assert composed.choices["model"] == "dcgan"
    assert composed.choices["pair"] == "dcgan_lines"
    assert composed.choices["model/network@model.generator"] == "small"
    assert composed.defaults["model"]["latent"] == 101
    assert composed.config["model"]["latent"] == 7
    assert set(composed.overrides) == {"recipe=lines", "model.latent=7", "model/network@model.generator=small"}
    assert compose("train", []).choices["pair"] is None


@pytest.mark.parametrize("typed", ["recipe=lines", "+recipe=lines", "++recipe=lines"])
def test_pluses_make_no_difference(typed):
    assert compose("train", [typed]).choices["recipe"] == "lines"


@pytest.mark.parametrize("typed", ["recipe=null", "~recipe"])
def test_a_choice_can_be_taken_back(typed):
    assert compose("train", [typed]).choices.get("recipe") is None


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("modle=vae", "modle: no such setting. Did you mean 'model'? Settings: steps, "),
        ("+modle=vae", "modle: no such setting. Did you mean 'model'? Settings: steps, "),
        ("++modle=vae", "modle: no such setting. Did you mean 'model'? Settings: steps, "),
        ("~stesp", "stesp: no such setting. Did you mean 'steps'? Settings: steps, "),
        ("model=vea", "model: no 'vea'. Did you mean 'vae'? There are: dcgan, gan, vae."),
        ("data=hiden", "data: no 'hiden'. There are: dots, folder, lines."),
        ("model=3", "model: no '3'. There are: dcgan, gan, vae."),
        ("model.latnt=3", "model.latnt: no such setting. Did you mean 'latent'? Settings: generator, name, latent, "),
        ("z_dim=3", "z_dim: no such setting. Did you mean 'model.latent'? Settings: steps, "),
        ("latent=3", "latent: no such setting. Did you mean 'model.latent'? Settings: steps, "),
        ("modle.latent=3", "modle: no such setting. Did you mean 'model'? Settings: steps, "),
        ("steps.x=3", "steps.x: no such setting, steps is a single value (100)."),
        ("model.latent=abc", "model.latent: given 'abc' (text), allowed: number (such as 64)."),
        ("model.conditional=1", "model.conditional: given 1, allowed: true or false."),
        ("trainer.fused=yes_please", "trainer.fused: given 'yes_please' (text), allowed: true or false."),
        ("steps=abc", "steps: given 'abc' (text), allowed: whole number > 0 or null."),
        ("steps=-1", "steps: given -1, allowed: whole number > 0 or null."),
        ("steps=1e4", "steps: given 10000.0, allowed: whole number > 0 or null; write 10000."),
        (
            "steps=1,2",
            "steps: given 2 values (1,2), allowed: one. To run them all, add -m; a list is written steps=[1,2].",
        ),
        ("steps=1,000", "steps: given 2 values (1,000), allowed: one. Write steps=1000."),
        ("=", "=: no spaces around '='; write key=value in one word."),
        ("data.augment=[flip,", "data.augment=[flip,: this list has no end; write it without spaces, or in quotes"),
        ("model=VAE", "model: no 'VAE'. Did you mean 'vae'?"),
        ("recpe=lines", "recpe: no such setting. Did you mean 'recipe'? Settings: "),
        ("data.root=x", "data.root: no such setting. Settings: name, size, count, cache, augment. It is one of "),
        ("optimizer.lr=0", "optimizer.lr: given 0, allowed: number > 0."),
        ("optimizer.betas=[0.5,2]", "optimizer.betas: given [0.5, 2], allowed: list of numbers >= 0 and < 1 of length"),
        ("optimizer.phases.critic.lr=no", "optimizer.phases.critic.lr: given 'no' (text), allowed: number > 0."),
        ("optimizer.phases.critic.rl=1", "optimizer.phases.critic.rl: no such setting. Settings: lr, "),
        ("data.size=3", "data.size: given 3, allowed: whole number >= 16 and <= 256."),
        ("data.augment=flip", "data.augment: given 'flip' (text), allowed: list"),
        ("data=folder", "data.root: not set. It is: "),
        ("vae", "vae: not of the form key=value. Did you mean model=vae?"),
        ("--steps=3", "--steps=3: no such flag; settings are written without dashes: steps=3."),
        ("model/network@model.critic=small", "model/network@model.critic: model=gan has no such choice. Did you mean"),
        (
            "model.generator=smal",
            "model/network@model.generator: no 'smal'. Did you mean 'small'? There are: large, small.",
        ),
        ("model=null", "model: no 'null'. There are: dcgan, gan, vae."),
        ("hydra/launcher=joblib", "hydra/launcher: only sweeps use Hydra's own settings; add -m."),
        ("steps=(1", "steps=(1: the value cannot be read ("),
        ("model.latent=${nothing}", "model.latent=${nothing}: ${...} means another setting; for the shell's, quote by"),
    ],
)
def test_every_mistake_has_its_answer(typed, said):
    assert mistakes(typed)[0].startswith(said)


def test_all_mistakes_are_reported_together():
    said = mistakes("modle=vae", "model.latnt=3", "optimizer.lr=-1", "data=dotz", "steps=a")
    assert [line.partition(":")[0] for line in said] == ["data", "modle", "model.latnt", "steps", "optimizer.lr"]


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("init=outputs/a=b/c", "outputs/a=b/c"),
        ("init=/tmp/with space/x (1).safetensors", "/tmp/with space/x (1).safetensors"),
        ("init=~/runs", "~/runs"),
        ("init=/tmp/ü/é", "/tmp/ü/é"),
        ("init=2024", "2024"),
        ("init=it's", "it's"),
        ("init=[a]", "[a]"),
        ("init='a,b'", "a,b"),
        ("init=null", None),
    ],
)
def test_paths_are_taken_as_they_are(typed, value):
    assert compose("train", [typed]).config["init"] == value


def test_what_was_typed_can_be_typed_again():
    typed = ["init=outputs/a=b/c", "model.latent=3"]
    assert compose("train", typed).overrides == typed


def test_a_path_that_exists_is_no_sweep(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a,b").mkdir()
    assert compose("train", ["init=a,b"]).config["init"] == "a,b"


def test_another_name_may_bring_other_settings():
    overrides = ["model.generator.name=unet", "model.generator.depth=3", "model.penalty.weight=10"]
    model = compose("train", overrides).config["model"]
    assert model["generator"]["depth"] == 3
    assert model["penalty"] == {"weight": 10}


def test_unset_settings_can_wait():
    assert compose("train", ["data=folder"], complete=False).config["data"]["root"] == "???"
    assert compose("train", ["data=folder", "data.size=32"], complete=False).config["data"]["size"] == 32


def test_a_folder_of_ones_own_joins(tmp_path):
    own = tmp_path / "my configs"
    (own / "recipe").mkdir(parents=True)
    (own / "recipe" / "mine.yaml").write_text("# @package _global_\nsteps: 7\n")
    assert compose("train", ["recipe=mine"], config_dir=own).config["steps"] == 7
    assert mistakes("recipe=mine")[0].startswith("recipe: no 'mine'.")
    assert mistakes(config_dir=tmp_path / "none")[0].startswith("--config-dir: no folder")


def test_a_broken_yaml_is_named(folder):
    (folder / "recipe" / "bad.yaml").write_text("# @package _global_\nsteps: [1\n")
    (said,) = mistakes("recipe=bad")
    assert said.startswith("configs: ")
    assert "bad.yaml" in said
    (folder / "recipe" / "lost.yaml").write_text("# @package _global_\ndefaults: [override /model: nowhere]\n")
    assert "nowhere" in mistakes("recipe=lost")[0]


def test_the_files_behind_a_config_are_known(folder):
    choices = compose("train", ["recipe=lines"]).choices
    used = [(str(f.relative_to(folder)), package) for f, package in composition.files_used("train", choices, [folder])]
    assert used[0] == ("train.yaml", "")
    assert ("model/network/large.yaml", "model.generator") in used
    assert [name for name, _ in used][-2:] == ["pair/dcgan_lines.yaml", "recipe/lines.yaml"]


def test_a_choice_may_name_its_own_place():
    assert parse("model/noise@model.noise=sigmoid").choice == "model/noise=sigmoid"
    assert parse("model/network@model.critic=small").choice == "model/network@model.critic=small"
