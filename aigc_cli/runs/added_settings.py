"""Settings that a part was given later: what they were before they could be set, so that older runs go on and open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ADDED: dict[str, dict[str, Any]] = {  # name of a model or a network -> setting -> what it did before
    "autoregressive": {"top_p": None, "carry": 0, "label_dropout": 0.0, "guidance": 1.0},
    "transformer": {"positions": "learned", "label_at": "begin"},
    "recurrent": {"label_at": "begin"},
    "encoder_decoder": {"doubling": "transposed"},
}


def completed(node: Any) -> Any:
    """Return a model's settings, as an earlier aigc wrote them, with those that it and its parts were given since."""
    if not isinstance(node, Mapping):
        return node
    name = node.get("name")
    added = ADDED.get(name, {}) if isinstance(name, str) else {}
    return {**{key: completed(value) for key, value in node.items()}, **{
        key: value for key, value in added.items() if key not in node}}  # fmt: skip
