"""Compare two composed configs: which settings differ, and do they change what is learnt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

# How long, where and how visibly a run works; everything else changes what is learnt.
RUN_ONLY = (
    "steps", "epochs", "max_minutes", "device", "name", "output", "restart", "log_every", "preview", "checkpoint",
    "objective", "evaluate_every", "evaluation", "profile", "data.cache", "data.workers", "trainer.accumulate", "ranks",
    "trainer.cuda_graph", "trainer.compile",
)  # fmt: skip

RESUMABLE = (*RUN_ONLY, "data.root")  # what a run that goes on may change besides: folders are moved


class Absent:
    """Stand for a setting that one of two configs does not have."""

    def __repr__(self) -> str:
        return "absent"


ABSENT = Absent()


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return {dotted path: value}; lists and empty mappings are values."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{path}."))
        else:
            flat[path] = list(value) if isinstance(value, tuple) else value
    return flat


def is_under(path: str, prefixes: Iterable[str]) -> bool:
    """Tell whether a dotted path is one of the prefixes or lies below one."""
    return any(path == prefix or path.startswith(f"{prefix}.") for prefix in prefixes)


def differing(old: Mapping[str, Any], new: Mapping[str, Any], leave_out: Iterable[str] = ()) -> dict[str, tuple]:
    """Return {dotted path: (old value, new value)} in the order of the paths; ABSENT where one has none."""
    leave_out = tuple(leave_out)
    before, after = flatten(old), flatten(new)
    pairs = {path: (before.get(path, ABSENT), after.get(path, ABSENT)) for path in sorted(before.keys() | after.keys())}
    # 1 == True in Python, but not in a setting.
    return {path: pair for path, pair in pairs.items() if repr_of(pair[0]) != repr_of(pair[1])
            and not is_under(path, leave_out)}  # fmt: skip


def repr_of(value: Any) -> str:
    """Write a value so that equal settings look equal (1 and 1.0 are) and different ones do not (1 and true)."""
    if isinstance(value, float) and value.is_integer():
        return repr(int(value))
    if isinstance(value, list):
        return "[" + ", ".join(repr_of(item) for item in value) + "]"
    return repr(value)


def plain(value: Any) -> str:
    """Write a value as a user would type it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return "[" + ",".join(map(plain, value)) + "]" if isinstance(value, list | tuple) else str(value)
