"""A run's folder is a function of its command, readable, and safe in shells and in Hydra's grammar."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigc_cli.errors import ConfigError
from aigc_cli.runs import run_directory
from aigc_cli.runs.names import SLUG_LENGTH, whole_words
from tests.toy_commands import composed


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ([], "gan-glyphs"),
        (["model=dcgan", "data=celeba"], "dcgan-celeba"),
        (["steps=5000", "log_every=7", "restart=true", "data.workers=3"], "gan-glyphs"),
        (["batch_size=64"], "gan-glyphs"),  # says what is the default anyway
        (["model.z_dim=8"], "gan-glyphs-z_dim_8"),
        (["batch_size=32", "model.z_dim=8"], "gan-glyphs-batch_size_32-z_dim_8"),
        (["model.z_dim=8", "batch_size=32"], "gan-glyphs-batch_size_32-z_dim_8"),
        (["optimizer.lr=2e-4"], "gan-glyphs-optimizer.lr_0.0002"),
        (["optimizer.phases.critic.lr=1e-05"], "gan-glyphs-critic.lr_1e-05"),
        (["optimizer=sgd"], "gan-glyphs-optimizer_sgd"),
        (["recipe=mnist_dcgan"], "mnist_dcgan"),
        (["recipe=mnist_dcgan", "data=celeba"], "mnist_dcgan-data_celeba"),
        (["data.augment=[\"flip\",\"crop\"]"], "gan-glyphs-augment_flip-crop"),
        (["trainer.ema=0.999"], "gan-glyphs-ema_0.999"),
        (["name=first"], "first"),
    ],
)  # fmt: skip
def test_folder_is_named_after_what_the_user_set(overrides, name):
    assert run_directory(composed(*overrides), "outputs") == Path("outputs") / name


def test_swept_keys_enter_the_name_even_at_their_default():
    assert run_directory(composed("seed=0", swept=("seed",)), "o").name == "gan-glyphs-seed_0"
    assert run_directory(composed("steps=7", swept=("steps",)), "o").name == "gan-glyphs-steps_7"


def test_paths_are_named_by_their_end_and_a_hash_of_the_whole():
    one, two = (run_directory(composed(f"data.root=/{place}/my faces"), "o").name for place in "ab")
    assert re.fullmatch(r"gan-glyphs-root_my_faces-[0-9a-f]{4}", one)
    assert one != two


def test_where_a_well_known_data_set_lies_is_not_in_the_name():
    for name, data, slug in (("mnist", "mnist", ""), ("image_folder", "photos", "-root_elsewhere")):
        made = composed("data.root=elsewhere", f"data.name={name}", data=data)  # photos: a preset of one's own
        made.defaults = {**made.defaults, "data": {**made.defaults["data"], "name": name, "root": "usual"}}
        assert run_directory(made, "o").name == f"gan-{data}{slug}"


def test_long_names_are_cut_and_hashed_and_stay_different():
    many = [f"model.{key}={key * 9}" for key in ("z_dim", "width")] + ["batch_size=12345678", "trainer.ema=0.123456"]
    names = {run_directory(composed(*many, f"seed={seed}"), "o").name for seed in range(1, 20)}
    assert len(names) == 19
    assert all(len(name) <= len("gan-glyphs-") + SLUG_LENGTH + 7 for name in names)


def test_names_are_cut_between_settings_and_between_words():
    many = ["batch_size=12345678", "trainer.ema=0.123456", "model.z_dim=1234567", "model.width=7654321", "seed=5"]
    parts = ["batch_size_12345678", "width_7654321", "z_dim_1234567", "seed_5", "ema_0.123456"]
    name = run_directory(composed(*many), "o").name.removeprefix("gan-glyphs-")
    assert len("-".join(parts)) > SLUG_LENGTH
    assert name.rpartition("-")[0].split("-") == parts[:4]
    one = run_directory(composed("data.root=/x/faces_of_many_persons_1994"), "o").name
    assert re.fullmatch(r"gan-glyphs-root_faces_of_many-[0-9a-f]{4}", one)


@pytest.mark.parametrize(("text", "most", "said"), [
    ("one_two", 7, "one_two"), ("one_two_three", 7, "one_two"), ("one_two_three", 8, "one_two"),
    ("one_two_three", 6, "one"), ("-one_two", 5, "-one"), ("unbroken", 4, "unbr"), ("a-._b", 4, "a"),
])  # fmt: skip
def test_words_stay_whole(text, most, said):
    assert whole_words(text, most) == said


@settings(deadline=None)  # the machine may be busy
@given(st.text(max_size=40))
def test_any_value_gives_a_name_that_shells_and_hydra_take(value):
    made = composed()
    made.config["data"]["root"] = value
    name = run_directory(made, "outputs").name
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.\-]*", name)
    assert len(name) < 100


ALIKE = ["a b", "a=b", "a/b", "a_b", "b", "A", "x" * 30, "x" * 31, "é", "1", "01"]


@settings(deadline=None)
@given(st.lists(st.sampled_from(ALIKE), min_size=2))
def test_different_values_have_different_names(values):
    names = set()
    for value in set(values):
        made = composed()
        made.config["data"]["root"] = value
        names.add(run_directory(made, "outputs"))
    assert len(names) == len(set(values))


@pytest.mark.parametrize("name", ["../out", "a/b", ".hidden", "", "a b", "-x", "x" * 200, "a=b", "a\nb"])
def test_names_that_leave_the_folder_are_refused(name):
    made = composed()
    made.config["name"] = name
    with pytest.raises(ConfigError, match="name: given"):
        run_directory(made, "outputs")
