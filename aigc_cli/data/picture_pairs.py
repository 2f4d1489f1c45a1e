"""Pairs of pictures, for learning to make the one from the other: two folders of the same names, or side by side."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Le

from aigc_cli.data.decode import SUFFIXES, Fit, picture_size, read_halves, read_picture
from aigc_cli.data.folders import File, existing_folder, list_files, split_by_hash
from aigc_cli.data.source import Contents, Reader, Rejected, Split, Stored, digest, pair_spec
from aigc_cli.errors import DataError

Bad = list[tuple[str, str]]  # (path, reason)


class PicturePairs:
    """Hold a source and a target for each sample; both are cut or padded alike."""

    name: ClassVar[str] = "picture_pairs"
    parallel: ClassVar[bool] = True

    def __init__(
        self,
        *,
        root: str,
        source: str | None,
        target: str | None,
        direction: Literal["a_to_b", "b_to_a"],
        size: Annotated[int, Ge(4), Le(2048)],
        channels: Literal[1, 3],
        source_channels: Literal[1, 3],
        fit: Fit,
    ) -> None:
        if (source is None) is not (target is None):
            unset, other = ("source", "target") if source is None else ("target", "source")
            raise DataError(f"data.{unset}: null, but data.{other} names a folder. Type data.{unset}= and a folder as "
                            f"well, or data.{other}=null for side-by-side pictures.")  # fmt: skip
        self.root, self.folders, self.swapped = root, (source, target), direction == "b_to_a"
        self.size, self.channels, self.source_channels = size, channels, source_channels
        self.fit: Fit = fit

    @functools.cached_property
    def places(self) -> tuple[Path, ...]:
        """Return the folders of sources and targets, or the one of side-by-side pictures."""
        root = existing_folder(self.root)
        if self.folders == (None, None):
            return (root,)
        source, target = (self._place(root, key, name) for key, name in zip(("source", "target"), self.folders,
                                                                            strict=True))  # fmt: skip
        return (target, source) if self.swapped else (source, target)

    def _place(self, root: Path, key: str, name: str | None) -> Path:
        place = root / Path(str(name)).expanduser()
        if place.is_dir():
            return place
        loose = any(path.lower().endswith(SUFFIXES) and "/" not in path for path, _, _ in list_files(root))
        hint = " For side-by-side pictures type data.source=null data.target=null." if loose else ""
        raise DataError(f"data.{key}: no folder '{name}' in '{root}'. Type data.{key}= and its name or path.{hint}")

    @functools.cached_property
    def files(self) -> tuple[Sequence[File], ...]:
        """List the files of each folder."""
        return tuple(list_files(place) for place in self.places)

    def fingerprint(self) -> str:
        """Return a digest of the settings and of the files' names, sizes and times."""
        settings = {key: getattr(self, key) for key in ("size", "channels", "source_channels", "fit", "swapped")}
        names = ("a", "b") if len(self.files) == 2 else ("",)
        files = [(f"{name}/{path}", *about) for name, listed in zip(names, self.files, strict=True)
                 for path, *about in listed]  # fmt: skip
        return digest(self.name, settings, files)  # type: ignore[arg-type]

    def spec(self) -> dict[str, Any]:
        """Describe a target, which comes with its source."""
        return pair_spec(self.channels, self.source_channels, self.size)

    def contents(self) -> Contents:
        """List the pairs; 5 % are held out. Pictures without a partner are rejected by name."""
        pictures = [[path for path, *_ in listed if path.lower().endswith(SUFFIXES)] for listed in self.files]
        ignored = sum(map(len, self.files)) - sum(map(len, pictures))
        if len(pictures) == 1:
            if not pictures[0]:
                raise DataError(f"data.root: no pictures in '{self.places[0]}'.")
            return Contents({split: Split(keys) for split, keys in split_by_hash(pictures[0]).items()}, ignored)
        pairs, rejected = self._matched(*pictures)
        if not pairs:
            counts = " and ".join(f"{len(each)} pictures in '{place}'" for each, place in
                                  zip(pictures, self.places, strict=True))  # fmt: skip
            raise DataError(f"data: {counts} have no name in common. A pair has the same name in both, such as 1.png.")
        splits = split_by_hash(pairs)
        return Contents({split: Split([pairs[stem] for stem in stems]) for split, stems in splits.items()}, ignored,
                        rejected)  # fmt: skip

    def _matched(self, sources: list[str], targets: list[str]) -> tuple[dict[str, tuple[str, str]], Bad]:
        """Return {name without suffix: (target, source)}, and what has no partner or more than one."""
        rejected: Bad = []
        by_stem: list[dict[str, str]] = []
        names = [place.name for place in self.places]
        for paths, name in zip((sources, targets), names, strict=True):
            count = Counter(map(_stem, paths))
            rejected += [(f"{name}/{path}", "its name is there twice, with different endings") for path in paths
                         if count[_stem(path)] > 1]  # fmt: skip
            by_stem.append({_stem(path): path for path in paths if count[_stem(path)] == 1})
        known = [{_stem(path) for path in paths} for paths in (sources, targets)]
        for own, others, name, other in zip(by_stem, known[::-1], names, names[::-1], strict=True):
            rejected += [(f"{name}/{path}", f"no partner of this name in {other}") for stem, path in own.items()
                         if stem not in others]  # fmt: skip
        source, target = by_stem
        return {stem: (f"{names[1]}/{target[stem]}", f"{names[0]}/{source[stem]}") for stem in target
                if stem in source}, rejected  # fmt: skip

    def reader(self, split: str) -> Reader:
        """Return the function that decodes a target and its source."""
        places = self.places
        if len(places) == 1:
            both = (self.source_channels, self.channels)
            channels = (both[1], both[0]) if self.swapped else both
            return lambda path: self._halves(places[0] / path, channels)
        return lambda pair: self._both(places[1].parent / pair[0], places[0].parent / pair[1])

    def _halves(self, file: Path, channels: tuple[int, int]) -> Stored:
        left, right = read_halves(file, channels, self.size, self.fit)
        return (left, right) if self.swapped else (right, left)

    def _both(self, target: Path, source: Path) -> Stored:
        made = read_picture(target, self.channels, self.size, self.fit)
        try:
            given = read_picture(source, self.source_channels, self.size, self.fit)
            sizes = [picture_size(file) for file in (target, source)]
        except Rejected as reason:
            raise Rejected(f"its partner {source.parent.name}/{source.name}: {reason}") from None
        if sizes[0] != sizes[1]:
            (width, height), (other_width, other_height) = sizes
            raise Rejected(f"{width}x{height} pixels, but its partner in {source.parent.name} has "
                           f"{other_width}x{other_height}")  # fmt: skip
        return made, given

    def __getstate__(self) -> dict:
        """Leave the list of files behind: worker processes are told what to read."""
        return {key: value for key, value in self.__dict__.items() if key != "files"}


def _stem(path: str) -> str:
    return path.rpartition(".")[0]
