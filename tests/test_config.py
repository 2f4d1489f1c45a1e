"""The signature is the schema: what it takes, what it refuses, and in which words."""

from __future__ import annotations

import contextlib
import functools
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt, Len, Lt
from hypothesis import given
from hypothesis import strategies as some

from aigc_cli import config
from aigc_cli.config import Choice, bind, check, parameters
from aigc_cli.errors import ConfigError

Loss = Annotated[Callable[[Any], Any], Choice("losses")]


def settings(
    run: NotImportedHere,  # noqa: F821  # pyright: ignore  # a run-time object: its annotation is nobody's business
    *,
    steps: Annotated[int, Gt(0)],
    rate: Annotated[float, Ge(0), Lt(1)] | None,
    kind: Literal["bce", "hinge"],
    betas: tuple[float, float],
    widths: Annotated[list[int], Len(1, 3)],
    fast: bool,
    name: str | None,
    folder: Path,
    more: Mapping[str, Any],
    weights: Sequence[float],
) -> None: ...


GOOD: dict[str, Any] = {
    "steps": 3, "rate": 0, "kind": "bce", "betas": [0, 0.5], "widths": [8], "fast": True, "name": None,
    "folder": "a/b", "more": {"x": 1}, "weights": [1, 0.5],
}  # fmt: skip


class Model:
    def __init__(self, spec: object, *, width: Annotated[int, Gt(0)], loss: Loss, other: Loss | None) -> None:
        self.spec, self.width, self.loss, self.other = spec, width, loss, other


def hinge(scores: object, *, margin: Annotated[float, Gt(0)]) -> tuple[object, float]:
    return scores, margin


@pytest.fixture(autouse=True)
def tables(monkeypatch):
    module = types.ModuleType("tables_of_this_test")
    module.__dict__.update(
        MODELS={"plain": f"{__name__}:Model"}, LOSSES={"hinge": f"{__name__}:hinge", "bce": f"{__name__}:hinge"}
    )
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(config.TABLES, "models", f"{module.__name__}:MODELS")
    monkeypatch.setitem(config.TABLES, "losses", f"{module.__name__}:LOSSES")


def mistakes(function: Callable[[], object]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        function()
    return str(caught.value).splitlines()


def test_plain_yaml_values_become_what_the_signature_says():
    checked = check(settings, GOOD)
    assert checked["folder"] == Path("a/b")
    assert checked["betas"] == (0.0, 0.5)
    assert isinstance(checked["rate"], float)
    assert list(parameters(settings)) == list(GOOD)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("steps", True, "given true (true/false), allowed: whole number > 0."),
        ("steps", 0, "given 0, allowed: whole number > 0."),
        ("steps", 1e4, "given 10000.0, allowed: whole number > 0; write 10000."),
        ("steps", None, "given null, allowed: whole number > 0."),
        ("rate", "abc", "given 'abc' (text), allowed: number >= 0 and < 1 or null."),
        ("rate", float("nan"), "given nan (not finite), allowed: number >= 0 and < 1 or null."),
        ("rate", 1, "given 1, allowed: number >= 0 and < 1 or null."),
        ("kind", "wgan", "given 'wgan' (text), allowed: bce, hinge."),
        ("kind", "hing", "given 'hing' (text), allowed: bce, hinge. Did you mean 'hinge'?"),
        ("betas", [0.5], "given [0.5], allowed: [number, number]."),
        ("widths", [], "given [], allowed: list of whole numbers of length >= 1 and of length <= 3."),
        ("widths", 8, "given 8, allowed: list of whole numbers of length >= 1 and of length <= 3."),
        ("fast", 1, "given 1, allowed: true or false."),
        ("fast", "true", "given 'true' (text), allowed: true or false."),
        ("name", 3, "given 3, allowed: text or null."),
        ("folder", 3, "given 3, allowed: path."),
        ("more", 3, "given 3, allowed: a group of settings."),
        ("weights", ["a"], "given ['a'], allowed: list of numbers."),
    ],
)
def test_what_a_wrong_value_is_answered(key, value, said):
    assert mistakes(lambda: check(settings, {**GOOD, key: value}, "node")) == [f"node.{key}: {said}"]


def test_all_mistakes_come_together():
    wrong = {**GOOD, "steps": 0, "fats": True}
    del wrong["fast"]
    assert mistakes(lambda: check(settings, wrong, "node")) == [
        f"node.fats: no such setting. Did you mean 'fast'? Settings: {', '.join(GOOD)}.",
        "node.steps: given 0, allowed: whole number > 0.",
        "node.fast: not set, allowed: true or false.",
    ]


def test_supplied_parameters_are_no_settings():
    def sample(*, generator: object, steps: int) -> None: ...

    assert check(sample, {"steps": 3}, supplied=("generator",)) == {"steps": 3}
    assert mistakes(lambda: check(sample, {"steps": 3, "generator": 1}, supplied=("generator",))) == [
        "generator: no such setting. Settings: steps."
    ]


def test_choices_are_bound_inside_out():
    node = {"name": "plain", "width": 3, "loss": {"name": "hinge", "margin": 1}, "other": None}
    bound = bind("models", node, "model")
    assert isinstance(bound, functools.partial)
    model = bound("spec")
    assert (model.spec, model.width, model.other) == ("spec", 3, None)
    assert model.loss("scores") == ("scores", 1.0)


def test_mistakes_of_nested_choices_have_their_path():
    node = {"name": "plain", "width": 0, "loss": {"name": "hing", "margin": 1}, "other": {"name": "bce", "margn": 1}}
    assert mistakes(lambda: bind("models", node, "model")) == [
        "model.width: given 0, allowed: whole number > 0.",
        "model.loss.name: no 'hing' among the losses. Did you mean 'hinge'? Names: hinge, bce.",
        "model.other.margn: no such setting. Did you mean 'margin'? Settings: margin.",
        "model.other.margin: not set, allowed: number > 0.",
    ]


@pytest.mark.parametrize("name", ["os:system", "aigc_cli.config:bind", "os.system", None, 3, ["plain"], {"a": 1}])
def test_a_name_outside_the_table_imports_nothing(name):
    (said,) = mistakes(lambda: bind("models", {"name": name, "width": 1}, "model"))
    assert said.startswith("model.name: no ")
    assert said.endswith("Names: plain.")


def test_a_choice_that_is_no_node():
    node = {"name": "plain", "width": 1, "loss": "hinge", "other": {}}
    assert mistakes(lambda: bind("models", node, "model")) == [
        "model.loss: given 'hinge' (text), allowed: settings with a name out of hinge, bce.",
        "model.other: no 'name', allowed: settings with a name out of hinge, bce.",
    ]


def test_installed_packages_add_entries_but_replace_none(monkeypatch):
    from importlib import metadata

    entries = [metadata.EntryPoint(name, f"{__name__}:hinge", "aigc.models") for name in ("theirs", "plain")]
    monkeypatch.setattr(metadata, "entry_points", lambda group: entries if group == "aigc.models" else [])
    assert bind("models", {"name": "theirs", "margin": 2}, "model")("s") == ("s", 2.0)
    assert (
        bind("models", {"name": "plain", "width": 1, "loss": {"name": "bce", "margin": 1}, "other": None}, "m").func
        is (sys.modules[__name__].__dict__["Model"])
    )


@given(some.recursive(some.none() | some.booleans() | some.integers() | some.floats() | some.text(), some.lists))
def test_no_value_is_answered_by_a_traceback(value):
    with contextlib.suppress(ConfigError):
        check(settings, {**GOOD, "steps": value, "widths": value, "kind": value, "folder": value, "betas": value})
