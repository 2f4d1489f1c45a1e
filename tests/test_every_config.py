"""Every YAML: its names are those of the tables, its keys those of the signatures; everything composes and builds."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from aigc_cli.composing.compose import ELSEWHERE, VERBS, compose
from aigc_cli.config import TABLES, bind, load, parameters
from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Classes, DataSpec, Sound, Text

CONFIGS = Path(__file__).parents[1] / "configs"
GROUPS = {  # folder -> table whose entries its presets name
    "model": "models",
    "model/network": "networks",
    "model/noise": "noises",
    "model/loss": "losses",
    "model/penalty": "penalties",
    "model/regulariser": "regularisers",
    "model/augmentation": "augmentations",
    "model/corruption": "corruptions",
    "model/sampler": "samplers",
    "data": "datasets",
    "optimizer": "optimizers",
    "schedule": "schedules",
}
OTHERS = ("pair", "recipe")  # these name no entry
DIGITS = Classes(tuple("0123456789"))
SPECS = [DataSpec("image", (channels, side, side), condition=DIGITS) for channels, side in ((1, 28), (1, 32), (3, 64))]
SPECS.append(DataSpec("image", (3, 64, 64), condition=DataSpec("image", (3, 64, 64))))
SPECS.append(DataSpec("audio", (1, 16384), 1 << 16, DIGITS, Sound(16_000, 16384)))
SPECS.append(DataSpec("audio", (1, 16384), 256, DIGITS, Sound(16_000, 16384, mu_law=True)))
PIECES = DataSpec("text", (32,), 100, text=Text(end=99))
SPECS += [PIECES, DataSpec("text", (32,), 100, PIECES, text=Text(end=99))]


def presets(group: str) -> list[str]:
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml") if not path.stem.startswith("_"))


def in_groups(*groups: str) -> list[tuple[str, str]]:
    return [(group, name) for group in groups for name in presets(group)]


def composed(*overrides: str) -> dict[str, Any]:
    """Compose; a model that builds upon a trained one is given a fresh vqvae's settings, as if from its checkpoint."""
    unset = compose("train", [*overrides], complete=False).config["model"].get("first_stage") == "???"
    config = compose("train", [*overrides, *(["model.first_stage=trained"] if unset else [])]).config
    return with_vqvae(config)


def with_vqvae(config: dict[str, Any]) -> dict[str, Any]:
    if isinstance(config["model"].get("first_stage"), str):
        config["model"]["first_stage"] = compose("train", ["model=vqvae"]).config["model"]
    return config


def test_every_file_was_found():
    verbs = {path.stem for path in CONFIGS.glob("*.yaml")}
    assert verbs == set(VERBS)
    found = {CONFIGS / group / f"{name}.yaml" for group, name in in_groups(*GROUPS, *OTHERS)}
    shared = {path for path in CONFIGS.rglob("_*.yaml")}
    assert found | shared | {CONFIGS / f"{verb}.yaml" for verb in verbs} == set(CONFIGS.rglob("*.yaml"))
    counts = {group: len(presets(group)) for group in ("model", "data", "optimizer", "schedule", "model/network")}
    least = {"model": 5, "data": 6, "optimizer": 4, "schedule": 2, "model/network": 4}
    assert all(counts[group] >= least[group] for group in least), counts


def names_in(node: Any) -> set[str]:
    """Return the value of every `name` in a YAML."""
    if not isinstance(node, Mapping):
        return set()
    inner = {name for value in node.values() for name in names_in(value)}
    return inner | ({node["name"]} if isinstance(node.get("name"), str) else set())


@pytest.mark.parametrize("group", GROUPS)
def test_yaml_names_equal_table_keys(group):
    named: set[str] = set()
    for name in presets(group):
        if group == "model":
            named.add(composed(f"model={name}")["model"]["name"])
        else:
            named |= names_in(read_inherited(group, name))
    assert named == set(load(TABLES[GROUPS[group]]))


def read_inherited(group: str, name: str) -> dict[str, Any]:
    """Return a preset laid over the presets of its own folder that it inherits."""
    own = yaml.safe_load((CONFIGS / group / f"{name}.yaml").read_text())
    inherited: dict[str, Any] = {}
    for parent in own.get("defaults", []):
        if isinstance(parent, str) and parent != "_self_":
            inherited |= read_inherited(group, parent.split("@")[0].lstrip("/"))
    return {**inherited, **{key: value for key, value in own.items() if key != "defaults"}}


@pytest.mark.parametrize("verb", VERBS)
def test_the_keys_of_a_verb_are_its_parameters(verb):
    assert set(compose(verb, [], complete=False).config) == set(parameters(load(VERBS[verb])))


@pytest.mark.parametrize("name", presets("model"))
def test_every_model_composes_with_its_optimizer_and_builds(name):
    config = composed(f"model={name}")
    refusals = []
    for spec in SPECS:
        try:
            with torch.device("meta"):
                model = bind("models", config["model"], "model")(spec)
        except ConfigError as error:
            refusals.append(str(error))
            continue
        assert sum(parameter.numel() for parameter in model.parameters()) > 0
        phases = config["optimizer"].get("phases") or {}
        assert set(phases) <= {phase.name for phase in model.phases()}
        return
    pytest.fail(f"no data for it: {refusals}")


@pytest.mark.parametrize(("group", "name"), in_groups("optimizer", "schedule", "data"))
def test_every_preset_is_what_its_signature_wants(group, name):
    root = ["data.root=somewhere"] if group == "data" and needs_root(name) else []
    node = composed(f"{group}={name}", *root)[group]
    bind(GROUPS[group], {key: value for key, value in node.items() if key not in ELSEWHERE.get(group, ())}, group)


def needs_root(name: str) -> bool:
    return "root" in read_inherited("data", name)


@pytest.mark.parametrize(("group", "name"), in_groups(*(group for group in GROUPS if "/" in group)))
def test_every_part_of_a_model_is_what_its_signature_wants(group, name):
    bind(GROUPS[group], read_inherited(group, name), group)


@pytest.mark.parametrize("model", presets("model"))
def test_every_model_composes_with_every_data_set(model):
    for data in presets("data"):
        root = ["data.root=somewhere"] if needs_root(data) else []
        assert composed(f"model={model}", f"data={data}", *root)["data"]["name"] in load(TABLES["datasets"])


@pytest.mark.parametrize("name", presets("recipe"))
def test_every_recipe_composes_and_builds(name):
    made = compose("train", [f"recipe={name}"], complete=False)
    settings = yaml.safe_load((CONFIGS / "recipe" / f"{name}.yaml").read_text())
    for key, value in leaves(settings):
        assert at(made.config, key) == value, f"{key}: the recipe does not have its way"
    bind("models", with_vqvae(made.config)["model"], "model")


@pytest.mark.parametrize("name", presets("pair"))
def test_every_pair_comes_along_with_its_model_and_data(name):
    model, data = next((m, name[len(m) + 1 :]) for m in presets("model") if name.startswith(f"{m}_")
                       and name[len(m) + 1 :] in presets("data"))  # fmt: skip
    root = ["data.root=somewhere"] if needs_root(data) else []
    made = compose("train", [f"model={model}", f"data={data}", *root])
    assert made.choices["pair"] == name
    for key, value in leaves(yaml.safe_load((CONFIGS / "pair" / f"{name}.yaml").read_text())):
        assert at(made.config, key) == value


def leaves(node: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found = []
    for key, value in node.items():
        if key != "defaults":
            inner = isinstance(value, Mapping) and value
            found += leaves(value, f"{prefix}{key}.") if inner else [(f"{prefix}{key}", value)]
    return found


def at(config: Mapping[str, Any], path: str) -> Any:
    for part in path.split("."):
        config = config[part]
    return config


# Precedence: model < pair < recipe < command line --------------------------------------------------------------------


@pytest.fixture
def layers(tmp_path) -> Path:
    """Hold a user's folder whose model, pair and recipe each set one setting more than the one before."""
    files = {
        "model/mine.yaml": ("defaults:\n  - gan\n  - _self_\n", {"model": {"latent": 11}, "optimizer": {"lr": 0.11}}),
        "pair/mine_glyphs.yaml": ("", {"model": {"latent": 22}, "optimizer": {"lr": 0.22}, "batch_size": 22}),
        "recipe/best.yaml": ("defaults:\n  - override /model: mine\n  - _self_\n", {"optimizer": {"lr": 0.33}}),
    }
    for name, (head, settings) in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"# @package _global_\n# Mine\n{head}{yaml.safe_dump(settings)}")
    return tmp_path


def test_the_order_of_precedence(layers):
    def settings(*overrides: str) -> tuple:
        config = compose("train", [*overrides], config_dir=layers).config
        return config["model"]["latent"], config["optimizer"]["lr"], config["batch_size"]

    plain = compose("train", []).config
    assert settings("model=mine", "data=mnist") == (11, 0.11, plain["batch_size"])
    assert settings("model=mine") == (22, 0.22, 22)
    assert settings("model=mine", "recipe=best") == (22, 0.33, 22)
    assert settings("recipe=best") == (22, 0.33, 22)
    assert settings("recipe=best", "optimizer.lr=0.44") == (22, 0.44, 22)
    assert settings("model=mine", "model.latent=55", "batch_size=66") == (55, 0.22, 66)


def test_a_model_brings_its_optimizer_and_the_command_line_has_the_last_word():
    assert compose("train", ["model=dcgan"]).choices["optimizer"] == "adam_gan"
    assert compose("train", ["model=dcgan", "optimizer=sgd"]).choices["optimizer"] == "sgd"


# What a reader finds in the files ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("group", "name"), in_groups(*GROUPS, *OTHERS))
def test_every_preset_says_in_its_first_words_what_it_is(group, name):
    lines = [line for line in (CONFIGS / group / f"{name}.yaml").read_text().splitlines()
             if not line.startswith("# @package")]  # fmt: skip
    assert re.match(r"# \S.{2,}", lines[0])


@pytest.mark.parametrize("path", [p for p in sorted(CONFIGS.rglob("*.yaml")) if p.parent.name not in OTHERS],
                         ids=lambda path: str(path.relative_to(CONFIGS)))  # fmt: skip
def test_every_setting_carries_a_comment(path):
    settings = re.sub(r"(?m)^defaults:(?: \[.*\])?\n(?:[ ]+- .*\n|[ ]*#.*\n)*", "", path.read_text())
    for line in settings.splitlines():
        entry = re.match(r"\s*([\w/]+):\s+[^#\s]", line)
        if entry and not (entry[1] == "name" and path.parent != CONFIGS):
            assert "  #" in line, f"{path.name}: {entry[1]} has no comment"


def test_every_misspelt_setting_of_every_config_is_answered_at_once():
    command = [sys.executable, "-m", "tests.misspell_configs"]
    done = subprocess.run(command, cwd=CONFIGS.parent, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert sum(len(words) for words, _, _ in answers) > 800
    assert [(words, wrong) for words, _, wrong in answers if wrong] == []
    assert sorted(seconds for _, seconds, _ in answers)[len(answers) * 9 // 10] < 1  # a shared machine may pause
