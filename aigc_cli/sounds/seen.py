"""Sounds as they are measured: as pictures, their log-mel spectrograms in 256 levels, because phases are not heard."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor
from tqdm import tqdm

from aigc_cli.data.cache import TEMPORARY, into_place
from aigc_cli.data.meta import FORMAT
from aigc_cli.data.pack import Pack, read_pack
from aigc_cli.data.shards import Recorded
from aigc_cli.files import atomic_write
from aigc_cli.interfaces import DataSpec, Sound
from aigc_cli.sounds.spectrogram import BANDS, log_mel
from aigc_cli.sounds.waveforms import perceived, waves
from aigc_cli.sounds.windows import hop_of

VERSION = 1  # raised when spectrograms change
CHUNK = 256  # clips at once


def seen_spec(spec: DataSpec) -> DataSpec:
    """Return the spec of what `as_seen` returns."""
    if spec.kind != "audio":
        return spec
    assert spec.sound, "audio is sound"
    sound = Sound(spec.sound.sample_rate, spec.sound.samples, bands=BANDS)
    frames = max(1, sound.samples // hop_of(sound.sample_rate))
    return DataSpec("image", (spec.shape[0], BANDS, frames), 256, spec.condition, sound)


def as_seen(stored: Tensor, spec: DataSpec) -> Tensor:
    """Return stored sounds as stored pictures; pictures as they are."""
    if spec.kind != "audio":
        return stored
    return torch.cat([seen_spec(spec).decode(perceived(part, spec)) for part in stored.split(CHUNK)])


def made_of_spectrograms(spec: DataSpec) -> bool:
    """Tell whether sounds are made of such data by guessing their phases."""
    return spec.sound is not None and spec.sound.bands > 0


def as_heard(stored: Tensor, spec: DataSpec) -> Tensor:
    """Return stored spectrograms once more, as they are of the sounds that are made of them."""
    assert spec.sound, "of sounds only"
    rate, bands = spec.sound.sample_rate, spec.sound.bands
    return torch.cat([spec.decode(log_mel(waves(part, spec), rate, bands)) for part in stored.split(CHUNK)])


def seen_pack(pack: Pack) -> Pack:
    """Return the pack of a pack's spectrograms, made beside it on first use; a pack of pictures itself."""
    if pack.spec.kind != "audio":
        return pack
    folder = pack.beside("spectrograms")
    folder.parent.mkdir(parents=True, exist_ok=True)  # of a pack that lies elsewhere
    fingerprint = f"{pack.fingerprint}-{VERSION}"
    with FileLock(folder.with_name(f".lock-{folder.name}")):
        return read_pack(folder, fingerprint) or _write(pack, folder, fingerprint)


def _write(pack: Pack, folder: Path, fingerprint: str) -> Pack:
    """Write aside and rename, so that others who read a damaged one keep its files."""
    spec, aside = seen_spec(pack.spec), folder.with_name(f"{TEMPORARY}{folder.name}.{os.getpid()}")
    try:
        aside.mkdir()
        meta = {
            "format": FORMAT, "name": folder.name, "fingerprint": fingerprint, "spec": spec.to_dict(),
            "counts": pack.counts, "rejected": 0, "ignored": 0, "files": _arrays(pack, aside),
        }  # fmt: skip
        (aside / "rejected.jsonl").write_text("")
        atomic_write(aside / "meta.json", json.dumps(meta, indent=1).encode())
        into_place(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return Pack(spec.to_dict(), folder, pack.counts, 0, fingerprint, fresh=True)


def _arrays(pack: Pack, folder: Path) -> dict[str, dict[str, int | str]]:
    """Write every split's spectrograms and labels; return what meta.json says of the files."""
    files = {}
    for split, count in pack.counts.items():
        samples, labels = pack.split(split)
        with Recorded(folder / f"{split}.samples") as file:
            starts = range(0, count, CHUNK)
            for start in tqdm(starts, desc=f"spectrograms of {split}", leave=False, disable=None, dynamic_ncols=True):
                part = torch.from_numpy(np.array(samples[start : start + CHUNK]))
                file.write(as_seen(part, pack.spec).numpy())
        files[file.path.name] = file.about()
        if labels is not None:
            with Recorded(folder / f"{split}.labels") as file:
                file.write(labels)
            files[file.path.name] = file.about()
    return files
