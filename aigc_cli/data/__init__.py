"""Data sets and augmentations by name. No torch here, so that a typo is answered at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from annotated_types import Ge, Le

DATASETS: dict[str, str] = {
    "glyphs": "aigc_cli.data.glyphs:Glyphs",
    "mnist": "aigc_cli.data.idx:Mnist",
    "fashion_mnist": "aigc_cli.data.idx:FashionMnist",
    "cifar10": "aigc_cli.data.cifar:Cifar10",
    "celeba": "aigc_cli.data.celeba:CelebA",
    "image_folder": "aigc_cli.data.image_folder:ImageFolder",
    "picture_pairs": "aigc_cli.data.picture_pairs:PicturePairs",
    "tones": "aigc_cli.data.tones:Tones",
    "spoken_digits": "aigc_cli.data.spoken_digits:SpokenDigits",
    "speech_commands": "aigc_cli.data.speech_commands:SpeechCommands",
    "audio_folder": "aigc_cli.data.audio_folder:AudioFolder",
    "sums": "aigc_cli.data.sums:Sums",
    "text_file": "aigc_cli.data.text_file:TextFile",
    "shakespeare": "aigc_cli.data.shakespeare:Shakespeare",
    "reviews": "aigc_cli.data.reviews:Reviews",
    "pairs": "aigc_cli.data.pairs:SentencePairs",
    "packed": "aigc_cli.data.packed:Packed",
}

WELL_KNOWN = (
    "mnist",
    "fashion_mnist",
    "cifar10",
    "celeba",
    "spoken_digits",
    "speech_commands",
    "shakespeare",
)  # whose name says what they hold, wherever they lie

AUGMENTS: dict[str, str] = {
    "flip": "aigc_cli.data.augment:flip",
    "crop": "aigc_cli.data.augment:crop",
    "jitter": "aigc_cli.data.augment:jitter",
    "rotate": "aigc_cli.data.augment:rotate",
    "scale": "aigc_cli.data.augment:scale",
    "colour": "aigc_cli.data.augment:colour",
    "gain": "aigc_cli.data.augment_sound:gain",
    "shift": "aigc_cli.data.augment_sound:shift",
    "noise": "aigc_cli.data.augment_sound:noise",
    "polarity": "aigc_cli.data.augment_sound:polarity",
}
FOR_SOUNDS = ("gain", "shift", "noise", "polarity")  # the others are for pictures

PIPELINE = ("cache", "workers", "max_bad", "augment")  # what every data set is asked beside its own settings


def pipeline(
    *,
    cache: str | None,
    workers: Annotated[int, Ge(0), Le(256)] | None,
    max_bad: Annotated[float, Ge(0), Le(1)],
    augment: list[str],
) -> dict[str, Any]:
    """Return the settings that every data set has: this signature is their schema."""
    return {"cache": cache, "workers": workers, "max_bad": max_bad, "augment": augment}


def check_augments(names: Sequence[str]) -> None:
    """Raise ConfigError where a name is no augmentation, or is there twice."""
    from aigc_cli.config import names as known_names
    from aigc_cli.errors import ConfigError
    from aigc_cli.wording import suggestion

    known = AUGMENTS if set(names) <= set(AUGMENTS) else known_names("augments")
    for name in names:
        if name not in known:
            hint = suggestion(name, known)
            raise ConfigError(f"data.augment: no {name!r} among the augments.{hint} Names: {', '.join(known)}.")
        if list(names).count(name) > 1:
            raise ConfigError(f"data.augment: {name} is there twice. Type it once.")


def check_pipeline(node: Mapping[str, Any], *, complete: bool = True) -> dict[str, Any]:
    """Return a data node's pipeline settings, checked; complete: whether one that is absent is a mistake."""
    from aigc_cli.config import check

    given = {key: node[key] for key in PIPELINE if key in node}
    absent = () if complete else [key for key in PIPELINE if key not in node]
    checked = check(pipeline, given, "data", supplied=absent)
    check_augments(checked.get("augment", ()))
    return checked
