"""What a model of text writes while it trains: from the same noise, or of the same held-out sources, each time."""

from __future__ import annotations

from typing import Any

import torch

from aigc_cli.data.pack import Pack
from aigc_cli.inference.drawing import progress
from aigc_cli.inference.held_out import some_of
from aigc_cli.randomness import mix
from aigc_cli.texts.reading import source_of, texts_of, usual_length


def written(model: Any, pack: Pack, n: int, *, seed: int, device: torch.device) -> list[str]:
    """Return n texts, each a few lines: of labels in turn, or under the source that each was made of."""
    spec, condition, told = pack.spec, None, [""] * n
    if source := source_of(model):
        wanted, condition = some_of(pack, n, seed=seed)
        assert condition is not None, "pairs have sources"
        pairs = zip(texts_of(condition, source), texts_of(wanted, spec), strict=True)
        told = [f"{source}\n  wanted: {aim}\n  made:   " for source, aim in pairs]
        condition = condition.to(device)
    elif model.conditional:
        condition = torch.arange(n, device=device) % spec.classes
        told = [f"{spec.class_names[label]}: " for label in condition.tolist()]
    generator = torch.Generator(device).manual_seed(mix(seed, 0))
    length = usual_length(spec)
    with torch.no_grad(), progress(model, "preview"):
        symbols = model.write(len(told), condition, generator=generator, prompt=None, length=length, tell=None)
    return [before + text for before, text in zip(told, texts_of(symbols, spec), strict=True)]
