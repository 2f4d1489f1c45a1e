"""Say what can be measured of these data and this model, and what they are best compared by."""

from __future__ import annotations

from aigc_cli.abilities import Bounds, Samples
from aigc_cli.data.pack import Pack
from aigc_cli.evaluating.measures import OF_CLASSES, OF_SAMPLES
from aigc_cli.evaluating.restoration import restores
from aigc_cli.interfaces import Model


def features_for(name: str | None, pack: Pack) -> str:
    """Return the features that are asked for, or those that suit the data best."""
    return name or ("classifier" if pack.spec.classes else "pixels")


def applicable(pack: Pack, model: Model | None) -> tuple[str, ...]:
    """Return the groups that these data and this model allow; without a model, samples are there."""
    without = () if pack.spec.classes else OF_CLASSES
    groups = (
        [group for group in OF_SAMPLES if group not in without] if model is None or isinstance(model, Samples) else []
    )
    groups += ["likelihood"] * bounds_likelihood(model) + ["restoration"] * restores(model)
    return tuple(groups)


def bounds_likelihood(model: Model | None) -> bool:
    """Tell whether a model, as it is set up, bounds the likelihood of data."""
    return isinstance(model, Bounds) and bool(model.bound_names)
