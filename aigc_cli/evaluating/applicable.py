"""Say what can be measured of these data and this model, and what they are best compared by."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from aigc_cli.abilities import Bounds, Samples, Scores, Transforms
from aigc_cli.data.pack import Pack
from aigc_cli.errors import ConfigError
from aigc_cli.evaluating.measures import OF_CLASSES, OF_MODEL, OF_SAMPLES, OF_TEXT, fewest
from aigc_cli.evaluating.restoration import restores
from aigc_cli.interfaces import DataSpec, Model
from aigc_cli.metrics.pitch import lowest_rate
from aigc_cli.sounds.notes import are_notes, frequency_of
from aigc_cli.texts.arithmetic import OPERATIONS

if TYPE_CHECKING:
    from aigc_cli.evaluating.wishes import Wishes


def features_for(name: str | None, pack: Pack) -> str:
    """Return the features that are asked for, or those that suit the data best."""
    return name or ("classifier" if pack.spec.classes else "pixels")


def applicable(pack: Pack, model: Model | None) -> tuple[str, ...]:
    """Return the groups that these data and this model allow; without a model, samples are there."""
    if pack.spec.kind == "text":
        return of_text(pack.spec, model)
    without = () if pack.spec.classes else OF_CLASSES
    groups = (
        [group for group in OF_SAMPLES if group not in without] if model is None or isinstance(model, Samples) else []
    )
    groups = [group for group in groups if group not in OF_TEXT and (group != "pitch" or has_pitch(pack.spec))]
    groups += ["likelihood"] * bounds_likelihood(model) + ["restoration"] * restores(model)
    return tuple(groups)


def of_text(spec: DataSpec, model: Model | None) -> tuple[str, ...]:
    """Return the groups that text and a model of it allow; without a model, texts are there."""
    made, pieces = model is None or isinstance(model, Samples), spec.text is not None and spec.text.end is not None
    symbols = set(spec.text.symbols) if spec.text else set()
    sums = made and pieces and {"=", "1"} <= symbols <= {*"0123456789=", *OPERATIONS}
    made_of_text = isinstance(spec.condition, DataSpec) and (model is None or isinstance(model, Transforms))
    new = made and (pieces or model is None)  # of a model of running text, they would be windows
    found = {"perplexity": isinstance(model, Scores), "sums": sums, "novelty": new, "translation": made_of_text}
    return tuple(group for group, does in found.items() if does)


def of_notes(spec: DataSpec) -> bool:
    """Tell whether data are sounds whose classes are notes, so that their pitch can be measured."""
    return spec.sound is not None and are_notes(spec.class_names)


def has_pitch(spec: DataSpec) -> bool:
    """Tell whether the pitch of data can be measured: they are of notes, at a rate that holds them."""
    return of_notes(spec) and not too_slow_for_notes(spec)


def too_slow_for_notes(spec: DataSpec) -> str:
    """Say why the pitch of notes cannot be measured at the data's sample rate; nothing where it can."""
    if not of_notes(spec) or not spec.sound:
        return ""
    least = lowest_rate([frequency_of(name) for name in spec.class_names])
    rate = spec.sound.sample_rate
    return f"pitch of these notes needs {least:,} Hz or more, and these sounds have {rate:,}" if rate < least else ""


def bounds_likelihood(model: Model | None) -> bool:
    """Tell whether a model, as it is set up, bounds the likelihood of data."""
    return isinstance(model, Bounds) and bool(model.bound_names)


def fewest_needed(spec: DataSpec, groups: Collection[str]) -> dict[str, int]:
    """Return how many samples, and held-out data, each of these groups needs to say something."""
    of_samples = {} if spec.kind == "text" else fewest(set(groups) & set(OF_SAMPLES))
    return {**of_samples, **{group: 1 for group in groups if group in OF_MODEL}}


def refuse_the_impossible(pack: Pack, wishes: Wishes) -> None:
    """Raise ConfigError where these data, or so few of them, do not bear a measure that is wished for."""
    spec, labelled, held_out = pack.spec, pack.spec.classes, pack.counts[wishes.split]
    if not spec.sound and (spec.kind != "image" or len(spec.shape) != 3 or min(spec.shape[1:]) < 4):
        allowed = "pictures of 4x4 or more and sounds can be measured"
        raise ConfigError(f"data: given {spec.kind} {spec.shape}; {allowed}.")
    for group in wishes.metrics:
        if group in OF_TEXT:
            raise ConfigError(f"metrics: {group} is of text, and these are {'sounds' if spec.sound else 'pictures'}. "
                              "Leave it out.")  # fmt: skip
        if group == "pitch" and not of_notes(spec):
            raise ConfigError("metrics: pitch needs sounds whose classes are notes, such as data=tones. Leave it out.")
        if group == "pitch" and (why := too_slow_for_notes(spec)):
            raise ConfigError(f"metrics: {why}. Leave it out, or train with a higher data.sample_rate.")
        if group in OF_CLASSES and not labelled:
            raise ConfigError(f"metrics: {group} needs labels, which these data have not. Leave {group} out.")
    if wishes.features == "classifier" and not labelled:
        raise ConfigError("features: the classifier needs labels, which these data have not. Type features=pixels, "
                          "or features=inception.")  # fmt: skip
    for group, least in fewest_needed(spec, wishes.metrics).items():
        if min(wishes.n, held_out) < least:
            if wishes.n < least and wishes.given:
                raise ConfigError(f"samples: {wishes.n} are read, but {group} needs {least}. Add some, or type "
                                  f"metrics= without {group}.")  # fmt: skip
            if wishes.n < least:
                what, way = f"n: given {wishes.n}", f"n={least} or more"
            else:
                what = f"split: {wishes.split} has {held_out} sample{'s' * (held_out != 1)}"
                way = "split=train" if wishes.split == "test" else "data= that are more"
            raise ConfigError(f"{what}, but {group} needs {least}. Type {way}, or metrics= without {group}.")
