"""Fetch data that a model was not trained on, from the set that its checkpoint names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from aigc_cli.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from aigc_cli.data.pack import Pack
    from aigc_cli.interfaces import DataSpec


def some_of(
    pack: Pack, n: int, *, seed: int, classes: Sequence[int] = (), split: str = "test"
) -> tuple[Tensor, Tensor | None]:
    """Return up to n samples of a split, drawn by the seed, and what comes with them; only of `classes`, if any.

    Where nothing is held out at all, training data stand in.
    """
    x, condition = pack.split(split if pack.counts[split] else "train")
    among = np.arange(len(x)) if condition is None or not classes else np.flatnonzero(np.isin(condition, classes))
    if not len(among):
        raise ConfigError("label: no such data were held out from training. Train with more, or leave label out.")
    picked = np.sort(np.random.default_rng(seed).permutation(among)[:n])
    chosen = None if condition is None else torch.from_numpy(np.array(condition[picked]))
    return torch.from_numpy(np.array(x[picked])), chosen


def data_of(config: Mapping[str, Any], changes: Mapping[str, Any], spec: DataSpec) -> Pack:
    """Open the data that a checkpoint's config names, with the user's changes; they must be such as it has learnt."""
    from aigc_cli.data.pack import open_data

    pack = open_data(changes if "name" in changes else _node(config, changes))
    if pack.spec.to_dict() != spec.to_dict():
        raise ConfigError(
            f"data: the model has learnt {spec.to_dict()}, but the data are {pack.spec.to_dict()}. "
            "Type data.root= and the folder that it was trained on."
        )
    return pack


def _node(config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the checkpoint's data settings with the user's changes."""
    node = config.get("data")
    if not isinstance(node, Mapping):
        raise CheckpointError("ckpt: its config names no data, so there is nothing to compare with.")
    if changes.get("root") is not None and "root" not in node:
        raise ConfigError(f"data.root: '{node.get('name')}' is not read from a folder. Leave it out.")
    root = changes.get("root") or node.get("root")
    if not changes.get("root") and "://" in str(root):  # who made the file would say what is fetched
        raise ConfigError(
            f"data.root: {str(root)[:200]!r} stands in the checkpoint, and no URL is fetched unasked. "
            "Type data.root= and that URL where you trust it, or a folder with the data."
        )
    if root is not None and "://" not in str(root) and not Path(str(root)).expanduser().exists():
        raise ConfigError(f"data.root: no folder {root!r}, where the data lay. Type data.root= and where they lie now.")
    typed = {key: value for key, value in changes.items() if value is not None}
    cache = node.get("cache")
    folder = Path(cache).expanduser() if isinstance(cache, str) else None
    # Packs are kept there: a file from elsewhere makes no folders here.
    known = folder and any(any(folder.glob(kept)) for kept in ("*/meta.json", "remote-*/*/meta.json"))
    cache = cache if known else None
    return {"max_bad": 0.01, **node, "workers": None, "augment": [], "cache": cache, **typed}
