"""Say what to do with a model that has learnt."""

from __future__ import annotations

from aigc_cli.abilities import Reconstructs, Samples, Transforms, Writes
from aigc_cli.interfaces import Model
from aigc_cli.texts.reading import source_of

SETTINGS = {"sample": " n=64", "reconstruct": ""}  # of the other verbs it is a folder


def verb_of(model: Model) -> str | None:
    """Return the verb that shows best what a model is for; None for one that only others build upon."""
    if isinstance(model, Samples | Writes):
        return "sample"
    if isinstance(model, Transforms):
        return model.verb
    return "reconstruct" if isinstance(model, Reconstructs) else None


def use_of(model: Model) -> str | None:
    """Return the verb that shows best what a model is for, and what it is to be told beside the checkpoint.

    None for a model that only others build upon.
    """
    verb = verb_of(model)
    if verb == "sample" and model.spec.text:
        return "sample source='...'" if source_of(model) else verb
    return verb and f"{verb}{SETTINGS.get(verb, ' samples=FOLDER')}"
