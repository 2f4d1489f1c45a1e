"""Open a data set's pack: decoded once into plain memory-mapped bytes, which is all that training reads."""

from __future__ import annotations

import functools
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from aigc_cli.config import bind
from aigc_cli.data import PIPELINE, check_pipeline
from aigc_cli.data.cache import TEMPORARY, cache_folder, into_place, locked
from aigc_cli.data.meta import FORMAT, FORMATS, AnotherError, cut_off, read_meta
from aigc_cli.data.noticing import fingerprint_of, remembered
from aigc_cli.data.packing import Packed, too_many, write_pack
from aigc_cli.data.shards import Folder, Place, Shards, shard_names
from aigc_cli.data.source import Contents, Made, Rows, Source, Stream, arrays_of
from aigc_cli.data.streaming import write_stream
from aigc_cli.errors import DataError
from aigc_cli.files import atomic_write, file_digest
from aigc_cli.wording import shown

if TYPE_CHECKING:
    from aigc_cli.interfaces import DataSpec

ONCE_MORE = "Remove that folder, and pack or copy the data once more."
SMALL = 1000  # training samples, below which advice is due


@dataclass(frozen=True)
class Pack:
    """Decoded data on the disk: `<split>.samples`, `.labels` or `.sources`, rejected.jsonl, meta.json.

    Of a large pack there are many files of samples and sources, `<split>-00000.samples` and so on.
    """

    about: Mapping[str, Any]  # the spec in DataSpec.to_dict's form
    path: Path
    counts: dict[str, int]
    rejected: int
    fingerprint: str
    ignored: int = 0  # files that are none of the kind
    given: int | None = None  # files, or texts: those that cannot be used as well; None: one of every sample
    fresh: bool = False  # packed by this call
    per_shard: int | None = None  # records of a file; None: all
    remote: Place | None = None  # fetches files that lie elsewhere to `path`
    home: Path | None = None  # where in the cache its name would be, of a pack that lies elsewhere; None: `path`

    @functools.cached_property
    def spec(self) -> DataSpec:
        """Return the spec; it needs torch, which those who only pack need not wait for."""
        from aigc_cli.interfaces import DataSpec

        return DataSpec.from_dict(self.about)

    @property
    def place(self) -> Place:
        """Return what knows where the files are."""
        return self.remote or Folder(self.path)

    def beside(self, suffix: str) -> Path:
        """Return a folder of the cache for what is made of the pack and kept."""
        home = self.home or self.path
        return home.with_name(f"{home.name}.{suffix}")

    def split(self, name: str) -> tuple[NDArray, NDArray | None]:
        """Return samples (N, *shape), and what comes with them: labels (N,) int64, or sources (N, *their shape).

        Nothing is read yet; of a large pack, rows are read shard by shard as they are asked for.
        """
        arrays = {each: self._mapped(name, each, row) for each, row in arrays_of(self.about).items()}
        return arrays["samples"], self._labels(name) if self.about["classes"] else arrays.get("sources")

    def _labels(self, split: str) -> NDArray:
        labels, classes = np.fromfile(self.place(f"{split}.labels"), np.int64), len(self.about["classes"])
        if labels.size and not (labels.min() >= 0 and labels.max() < classes):
            raise DataError(f"data: {self.path}: {split}.labels has others than 0 to {classes - 1}. {ONCE_MORE}")
        return labels

    def _mapped(self, split: str, array: str, row: Rows) -> NDArray:
        """Map an array from the disk, copy on write: torch warns of arrays that cannot be written."""
        whole = (self.counts[split], *row.shape)
        if not whole[0]:  # an empty file cannot be mapped
            return np.empty(whole, row.dtype)
        names = shard_names(split, array, whole[0], self.per_shard)
        if self.per_shard and len(names) > 1:
            # It stands for an array wherever rows are all that is asked for.
            return cast(NDArray, Shards(names, row, whole[0], self.per_shard, self.place))
        return np.memmap(self.place(names[0]), row.dtype, "c", shape=whole)

    def rejections(self) -> list[tuple[str, str]]:
        """Return (path, reason) of what could not be used."""
        try:
            lines = map(json.loads, (self.path / "rejected.jsonl").read_text().splitlines())
            return [(shown(line["path"]), shown(line["reason"])) for line in lines]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise DataError(f"data: {self.path}: rejected.jsonl is not there, or damaged. {ONCE_MORE}") from None

    def damage(self) -> list[str]:
        """Compare every file with its checksum; return the names of those that differ."""
        files = json.loads((self.path / "meta.json").read_text())["files"]
        return [name for name, about in files.items() if file_digest(self.place(name)) != about["sha256"]]


def open_data(node: Mapping[str, Any], *, progress: bool = True, anew: bool = False) -> Pack:
    """Open the pack of a data node, packing first where there is none for these files and settings.

    anew: look at every file of a large folder, as noticing.py says.
    """
    settings = check_pipeline(node)
    own = {key: value for key, value in node.items() if key not in PIPELINE}
    source: Source | Stream | Made = bind("datasets", own, "data")()
    cache = cache_folder(settings["cache"])
    if isinstance(source, Made):
        pack = source.pack(cache)
    else:
        known = None if anew else remembered(source, own, cache)
        pack = read_pack(cache / f"{source.name}-{known[:12]}", known) if known else None
        pack = pack or _read_or_packed(source, fingerprint_of(source, own, cache), cache, settings, progress)
    refuse_bad(pack, settings["max_bad"])
    return pack


def refuse_bad(pack: Pack, max_bad: float) -> None:
    """Raise DataError where more of the data than this share could not be used."""
    what = "texts" if pack.about["kind"] == "text" else "files"
    given = sum(pack.counts.values()) + pack.rejected if pack.given is None else pack.given
    too_many(pack.rejections(), given, max_bad, what)


def _read_or_packed(
    source: Source | Stream, fingerprint: str, cache: Path, settings: Mapping[str, Any], progress: bool
) -> Pack:
    path = cache / f"{source.name}-{fingerprint[:12]}"
    if pack := read_pack(path, fingerprint):
        return pack
    try:
        with locked(cache, path.name):
            # Another process may have packed it while this one waited.
            return read_pack(path, fingerprint) or _packed(source, path, fingerprint, settings, progress)
    except OSError as error:
        reason = error.strerror or str(error)
        if error.filename and not Path(error.filename).is_relative_to(cache):
            raise DataError(f"data: cannot read '{error.filename}' ({reason}).") from None
        raise DataError(
            f"data.cache: cannot write to '{cache}' ({reason}). Type data.cache= and a folder with room."
        ) from None


def advice(pack: Pack, augment: Sequence[str] = (), critic: str | None = None) -> str | None:
    """Say what helps where there are few training samples; critic: what would help the one that there is."""
    count = pack.counts["train"]
    if count >= SMALL:
        return None
    text, sound, waves = pack.about.get("text"), pack.about.get("sound"), pack.about["kind"] == "audio"
    kinds = "gain,shift,noise,polarity" if waves else "" if sound or text else "flip,crop,colour"
    more = f" data.augment=[{kinds}] makes more of them." if kinds and not augment else ""
    aid = f" {critic} keeps the critic from learning them by heart." if critic else ""
    what = "clips" if sound else "pictures"
    if text:
        what = "texts" if text["end"] is not None else f"windows of {pack.about['shape'][0]} symbols"
    return (
        f"only {count} training {what}: samples may repeat them.{more}{aid} "
        "Starting from a trained model helps: init=outputs/NAME."
    )


def pack_of(meta: Mapping[str, Any], path: Path, remote: Place | None = None, home: Path | None = None) -> Pack:
    """Return the pack that a meta.json is of."""
    return Pack(
        meta["spec"], path, meta["counts"], meta["rejected"], meta["fingerprint"], meta["ignored"], meta.get("given"),
        per_shard=meta.get("per_shard"), remote=remote, home=home,
    )  # fmt: skip


def read_pack(path: Path, fingerprint: str) -> Pack | None:
    """Return the pack at a path; None, with a warning, where its files are not what its meta says."""
    try:
        meta = read_meta((path / "meta.json").read_bytes(), fingerprint)
        if not (wrong := cut_off(path, meta)):
            return pack_of(meta, path)
    except AnotherError:
        return None
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        if not os.path.exists(path):  # unlike Path.exists, false too where we may not look: no pack for us
            return None
        wrong = [Path(error.filename).name]
    except (OSError, ValueError):
        wrong = ["meta.json"]
    print(f"aigc: {path} is damaged ({', '.join(wrong)}): packing again.", file=sys.stderr)
    return None


def _packed(
    source: Source | Stream, path: Path, fingerprint: str, settings: Mapping[str, Any], progress: bool
) -> Pack:  # fmt: skip
    """Pack aside and rename, so that a pack is whole or is not there."""
    contents = None if isinstance(source, Stream) else source.contents()
    spec, folder = source.spec(), path.with_name(f"{TEMPORARY}{path.name}.{os.getpid()}")
    listed = [len(split.keys) for split in contents.splits.values()] if contents else []
    _want_room(source.expected() if isinstance(source, Stream) else sum(listed), spec, path.parent)
    try:
        folder.mkdir()
        done = _written(source, contents, folder, settings, progress)
        meta = {
            "format": FORMAT, "name": source.name, "fingerprint": fingerprint, "spec": spec,
            "counts": done.counts, "rejected": len(done.rejected), "ignored": done.ignored, "given": done.given,
            "files": done.files,
        }  # fmt: skip
        meta |= {"format": FORMATS[-1], "per_shard": done.per_shard} if done.per_shard else {}
        atomic_write(folder / "meta.json", json.dumps(meta, indent=1).encode())
        into_place(folder, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for note in done.notes:
        print(f"aigc: {note}", file=sys.stderr)
    if done.rejected:
        what = "texts" if spec["kind"] == "text" else "files"
        print(f"aigc: {len(done.rejected)} {what} cannot be used: {path / 'rejected.jsonl'}.", file=sys.stderr)
    bad, per_shard = len(done.rejected), done.per_shard
    return Pack(spec, path, done.counts, bad, fingerprint, done.ignored, done.given, fresh=True, per_shard=per_shard)


def _want_room(count: int, spec: Mapping[str, Any], place: Path) -> None:
    """Raise DataError where the disk has no room for so many samples."""
    needed = count * sum(row.nbytes for row in arrays_of(spec).values())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise DataError(f"data.cache: '{place}' has {free / 1e6:,.0f} MB left, and {needed / 1e6:,.0f} MB are "
                        "needed. Type data.cache= and a folder with room.")  # fmt: skip


def _written(
    source: Source | Stream, contents: Contents | None, folder: Path, settings: Mapping[str, Any], progress: bool
) -> Packed:
    max_bad = settings["max_bad"]
    if isinstance(source, Stream):
        return write_stream(source, folder, max_bad=max_bad, progress=progress)
    assert contents
    workers = settings["workers"] if settings["workers"] is not None else _cores()
    return write_pack(source, contents, folder, workers=workers, max_bad=max_bad, progress=progress)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
