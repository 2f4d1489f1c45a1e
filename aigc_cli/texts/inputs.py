"""Read texts of files as the data that a model has learnt are stored."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from aigc_cli.errors import ConfigError
from aigc_cli.inference.inputs import Inputs
from aigc_cli.interfaces import DataSpec, Model
from aigc_cli.texts.given import read_passages
from aigc_cli.texts.pages import Passage
from aigc_cli.texts.reading import row_of, source_of, stored_sources, symbols_of
from aigc_cli.wording import shown


def from_texts(path: Path, model: Model) -> Inputs:
    """Read texts, with their sources where the model is told of them; ConfigError names the first that it cannot read.

    Running text is cut into windows; what does not fill a last one is left out.
    """
    spec, source = model.spec, source_of(model)
    assert spec.text, "of models of text only"
    running = spec.text.end is None
    read = read_passages(path, running=running)
    passages = [(f"samples, text {number}", passage) for number, passage in enumerate(read, 1)]
    sources = torch.cat([_source(each, source, where) for where, each in passages]).numpy() if source else None
    symbols = [symbols_of(each.text, spec, where) for where, each in passages]
    rows = [_windows(each, spec) if running else row_of(each.numpy(), spec)[None] for each in symbols]
    if cut := 0 if running else sum(len(each) > spec.shape[0] for each in symbols):
        print(f"aigc: {cut:,} of {len(passages):,} texts are cut to {spec.shape[0]} symbols, as the data were.",
              file=sys.stderr)  # fmt: skip
    x = torch.cat(rows)
    if not len(x):
        raise ConfigError(f"samples: no text of '{path}' has the {spec.shape[0]} symbols of a window of the data. "
                          "Type a file of longer ones.")  # fmt: skip
    labels = [shown(each.label or "") for new, (_, each) in zip(rows, passages, strict=True) for _ in new]
    classes = tuple(sorted(set(labels)))
    if classes == ("",):
        return Inputs(x.numpy(), [""] * len(x), None, (), sources)
    return Inputs(x.numpy(), [""] * len(x), np.array([classes.index(label) for label in labels]), classes, sources)


def _windows(symbols: Tensor, spec: DataSpec) -> Tensor:
    """Return the windows (n, T) of running text."""
    (length,) = spec.shape
    return symbols[: len(symbols) // length * length].view(-1, length).to(spec.dtype)


def _source(passage: Passage, spec: DataSpec, where: str) -> Tensor:
    if passage.source is None:
        raise ConfigError(f"{where}: without a source, and the model knows texts by what they were made of. Type a "
                          '.jsonl of lines such as {"source": "...", "text": "..."}.')  # fmt: skip
    return stored_sources([passage.source], spec, where)
