"""Build the model that a checkpoint describes, trusting nothing that the file says."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from aigc_cli.checkpoints import Checkpoint, fit
from aigc_cli.checkpoints.reading import first_line
from aigc_cli.config import bind
from aigc_cli.errors import CheckpointError, ConfigError, DataError
from aigc_cli.interfaces import DataSpec, Model
from aigc_cli.runs.added_settings import completed
from aigc_cli.sounds.windows import hop_of
from aigc_cli.texts.reading import vocabulary
from aigc_cli.texts.vocabulary import LARGEST

LARGEST_SAMPLE = 1 << 26  # values of one sample: a picture of 4,700 x 4,700
SMALL = 1 << 28  # bytes that any model may take, buffers that are not stored included


def restore(checkpoint: Checkpoint, device: torch.device) -> Model:
    """Return the checkpoint's model with its weights, ready to sample; CheckpointError where they do not fit."""
    spec, node = read_spec(checkpoint), read_node(checkpoint)
    outline, tensors = outlined(checkpoint), checkpoint.tensors()
    fit(outline, tensors, str(checkpoint.path))  # compares only
    _refuse_absurd_size(outline, tensors, checkpoint)
    model = bind("models", node, "model")(spec)
    fit(model, tensors, str(checkpoint.path))
    return model.to(device).eval()


def outlined(checkpoint: Checkpoint) -> Model:
    """Return the checkpoint's model without memory for its weights; CheckpointError where it describes none.

    That costs neither time nor memory, so that absurd sizes are found before they hurt.
    """
    try:
        with torch.device("meta"):
            return bind("models", read_node(checkpoint), "model")(read_spec(checkpoint))
    except CheckpointError:
        raise
    except (ConfigError, RuntimeError, TypeError, OverflowError, ValueError, LookupError, AssertionError) as error:
        raise CheckpointError(f"{checkpoint.path}: its config does not build a model in this version of aigc: "
                              f"{first_line(error)}") from error  # fmt: skip


def read_spec(checkpoint: Checkpoint) -> DataSpec:
    """Return the spec of the data that the checkpoint's model has learnt."""
    plain = checkpoint.meta.get("spec")
    try:
        spec = DataSpec.from_dict(plain)  # type: ignore[arg-type]
        source = spec.condition
        if _sound(spec) and (not isinstance(source, DataSpec) or (source.condition is None and _sound(source))):
            return spec
    except DataError as error:
        raise CheckpointError(f"{checkpoint.path}: the vocabulary of its text is of no use: {error}") from None
    except ConfigError:  # which says how to get the tokenizers library
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        pass
    raise CheckpointError(f"{checkpoint.path}: its spec describes no data that aigc knows: {reprlib.repr(plain)[:200]}")


def _sound(spec: DataSpec) -> bool:
    """Tell whether a spec describes data of a size that a model can have."""
    most = LARGEST if spec.kind == "text" else 1 << 16
    sizes = all(type(size) is int and size > 0 for size in (*spec.shape, spec.levels)) and spec.levels <= most
    named = all(isinstance(name, str) for name in spec.class_names) and spec.kind in ("image", "audio", "text")
    flat = spec.kind == "image" and len(spec.shape) != 3
    sensible = sizes and named and not flat and 0 < math.prod(spec.shape) <= LARGEST_SAMPLE
    return sensible and _sounds(spec) and _texts(spec)


def _texts(spec: DataSpec) -> bool:
    """Tell whether what a spec says of text goes with its shape and levels; DataError where no vocabulary opens."""
    text = spec.text
    if spec.kind != "text" or text is None:
        return (text is None) == (spec.kind != "text")
    letters = all(isinstance(each, str) and len(each) == 1 for each in text.symbols)
    typed = letters and isinstance(text.tokenizer, str) and (text.end is None or type(text.end) is int)
    if not typed or len(spec.shape) != 1 or (text.symbols and text.tokenizer):
        return False
    words = vocabulary(spec)
    return len(set(text.symbols)) == len(text.symbols) and (words.size, words.end) == (spec.levels, text.end)


def _sounds(spec: DataSpec) -> bool:
    """Tell whether what a spec says of sound goes with its shape and levels."""
    sound = spec.sound
    if sound is None:
        return spec.kind != "audio"
    numbers = (sound.sample_rate, sound.samples, sound.bands)
    if not all(type(number) is int for number in numbers) or type(sound.mu_law) is not bool:
        return False
    if not (1_000 <= sound.sample_rate <= 192_000 and 0 < sound.samples <= LARGEST_SAMPLE):
        return False
    if spec.kind == "audio":
        alike = len(spec.shape) == 2 and spec.shape[0] in (1, 2) and spec.shape[1] == sound.samples
        return alike and not sound.bands and spec.levels == (256 if sound.mu_law else 1 << 16)
    frames = max(1, sound.samples // hop_of(sound.sample_rate))
    seen = spec.kind == "image" and spec.shape == (1, sound.bands, frames) and spec.levels == 256
    return seen and 8 <= sound.bands <= 512 and not sound.mu_law


def read_node(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """Return the settings of the checkpoint's model, not checked yet; CheckpointError where there are none."""
    config = checkpoint.meta.get("config")
    try:
        node = completed(config.get("model")) if isinstance(config, Mapping) else None
    except RecursionError:
        node = None
    if not isinstance(node, Mapping):
        raise CheckpointError(f"{checkpoint.path}: its metadata carry no model's config, so it cannot be built again.")
    return node


def _refuse_absurd_size(outline: Model, tensors: dict[str, Tensor], checkpoint: Checkpoint) -> None:
    """Raise where the config describes more than its tensors fill: a stranger's file must not take all memory."""
    given = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    needed = sum(value.numel() * value.element_size() for value in outline.buffers()) + sum(
        value.numel() * value.element_size() for value in outline.parameters()
    )
    if needed > max(2 * given, SMALL):
        raise CheckpointError(
            f"{checkpoint.path}: its config's model takes {needed / 2**30:.1f} GiB, its tensors {given / 2**30:.3f} "
            "GiB: they are not of each other"
        )
