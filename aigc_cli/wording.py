"""Say values, types and near misses in the words of an error message."""

from __future__ import annotations

import collections.abc
import difflib
import math
import pathlib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Union

GROUP = "a group of settings"
_WORDS = {int: "whole number", float: "number", str: "text", bool: "true or false", type(None): "null"}
_WORDS |= {dict: GROUP, Mapping: GROUP, list: "list", pathlib.Path: "path"}
_PLURALS = {"whole number": "whole numbers", "number": "numbers", "text": "texts", "path": "paths"}
_SYMBOLS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "multiple_of": "a multiple of"}
_SYMBOLS |= {"min_length": "of length >=", "max_length": "of length <="}
ALSO_CALLED = {
    "block_size": "length",
    "context_length": "length",
    "dataset": "data",
    "fid": "frechet",
    "image_size": "size",
    "is": "inception_score",
    "kid": "kernel",
    "latent_dim": "latent",
    "learning_rate": "lr",
    "max_length": "length",
    "num_epochs": "epochs",
    "num_steps": "steps",
    "prdc": "density_coverage",
    "resolution": "size",
    "seq_len": "length",
    "swd": "sliced_wasserstein",
    "tokenizer": "vocabulary",
    "vocab_size": "vocabulary_size",
    "z_dim": "latent",
}


def suggestion(word: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """Return " Did you mean 'x'?" where something known is another word for it, or close to it, else nothing."""
    names = {str(name).lower(): str(name) for name in known}
    word = str(word).lower()
    named = ALSO_CALLED.get(word)
    close = [named] if named in names else difflib.get_close_matches(word, names, n=1, cutoff=likeness)
    return f" Did you mean '{names[close[0]]}'?" if close else ""


def near_miss(value: Any, hint: Any) -> str:
    """Return the suggestion for the first text that is none of the words that a type allows."""
    words, texts = _words(hint), value if isinstance(value, list) else [value]
    if isinstance(value, str) and value in words:
        return f" Did you mean '[{value}]'?"  # where a list of them is allowed
    missed = next((text for text in texts if isinstance(text, str) and text not in words), None)
    return suggestion(missed, words) if missed is not None else ""


def _words(hint: Any) -> list[str]:
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is Literal:
        return [word for word in arguments if isinstance(word, str)]
    return [word for argument in arguments for word in _words(argument)]


def given(value: Any) -> str:
    """Show a value and what it is: 'abc' (text)."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"{str(value).lower()} (true/false)"
    if isinstance(value, str):
        return f"{value!r} (text)"
    if isinstance(value, Mapping):
        return f"{GROUP} ({', '.join(map(str, value)) or 'empty'})"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} (not finite)"
    return str(value)


def allowed(hint: Any) -> str:
    """Say a type and its ranges: number > 0."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return " ".join([allowed(arguments[0]), *_range(arguments[1:])])
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(allowed(argument) for argument in arguments))
    if origin is Literal:
        return ", ".join("null" if value is None else str(value) for value in arguments)
    if origin in (dict, collections.abc.Mapping):
        return GROUP
    if origin is tuple and arguments[-1:] != (...,):
        return "[" + ", ".join(allowed(argument) for argument in arguments) + "]"
    if origin in (list, tuple, collections.abc.Sequence):
        singular, _, rest = allowed(arguments[0]).partition(" >")
        return "list of " + _PLURALS.get(singular, singular) + (f" >{rest}" if rest else "")
    return _WORDS.get(hint, getattr(hint, "__name__", "anything"))


def _range(metadata: Iterable[Any]) -> list[str]:
    words = []
    for item in metadata:
        for part in getattr(item, "metadata", None) or [item]:  # pydantic's Field(gt=0) carries several
            bounds = {symbol: getattr(part, attribute, None) for attribute, symbol in _SYMBOLS.items()}
            words += [f"{s} {b}" for s, b in bounds.items() if b is not None and (b, s) != (0, "of length >=")]
    return [" and ".join(words)] if words else []


def shown(text: str) -> str:
    """Return others' words as one may print them: line breaks, control characters and broken UTF-8 are escaped."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
