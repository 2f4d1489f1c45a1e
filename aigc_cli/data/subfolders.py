"""The sub-folders of a folder as classes: their names, and which file is of which."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from aigc_cli.data.source import OUTSIDE
from aigc_cli.errors import DataError
from aigc_cli.wording import shown


def classes_of(paths: Iterable[str], root: str) -> list[str]:
    """Return the sub-folders of a root that files, named by paths below it, are in; DataError where there are none."""
    classes = sorted({_class_of(path) for path in paths if "/" in path})
    if not classes:
        raise DataError(f"data.labels: '{root}' has no sub-folders to be classes. Type data.labels=false.")
    return classes


def names_of(classes: Sequence[str] | None) -> list[str] | None:
    """Return classes as they are called in a spec; None where sub-folders are none."""
    return None if classes is None else [shown(each) for each in classes]


def labelled(
    paths: Sequence[str], classes: Sequence[str] | None
) -> tuple[Sequence[str], Callable[[str], int] | None, list[tuple[str, str]]]:
    """Return the files that can be used, what labels one, and (path, reason) of those that lie in no sub-folder.

    Where sub-folders are no classes, all can be used, and nothing labels them.
    """
    if classes is None:
        return paths, None, []
    index = {name: label for label, name in enumerate(classes)}
    inside = [path for path in paths if "/" in path]
    return inside, lambda path: index[_class_of(path)], [(path, OUTSIDE) for path in paths if "/" not in path]


def _class_of(path: str) -> str:
    return path.partition("/")[0]
