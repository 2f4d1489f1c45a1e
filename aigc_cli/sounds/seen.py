"""Sounds as they are measured: as pictures, their log-mel spectrograms in 256 levels, because phases are not heard."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from aigc_cli.data.pack import FORMAT, Pack, read_pack
from aigc_cli.data.packing import Recorded
from aigc_cli.files import atomic_write
from aigc_cli.interfaces import DataSpec, Sound
from aigc_cli.sounds.spectrogram import BANDS
from aigc_cli.sounds.waveforms import perceived
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


def seen_pack(pack: Pack) -> Pack:
    """Return the pack of a pack's spectrograms, made beside it on first use; a pack of pictures itself."""
    if pack.spec.kind != "audio":
        return pack
    folder = pack.path.with_name(f"{pack.path.name}.spectrograms")
    fingerprint = f"{pack.fingerprint}-{VERSION}"
    with FileLock(folder.with_name(f".lock-{folder.name}")):
        return read_pack(folder, fingerprint) or _write(pack, folder, fingerprint)


def _write(pack: Pack, folder: Path, fingerprint: str) -> Pack:
    folder.mkdir(exist_ok=True)
    files, spec = {}, seen_spec(pack.spec)
    for split, count in pack.counts.items():
        samples, labels = pack.split(split)
        arrays = {"samples": samples} | ({} if labels is None else {"labels": labels})
        for name, array in arrays.items():
            with Recorded(folder / f"{split}.{name}") as file:
                for start in range(0, count, CHUNK):
                    part = np.array(array[start : start + CHUNK])
                    file.write(as_seen(torch.from_numpy(part), pack.spec).numpy() if name == "samples" else part)
            files[file.path.name] = file.about()
    meta = {
        "format": FORMAT, "name": folder.name, "fingerprint": fingerprint, "spec": spec.to_dict(),
        "counts": pack.counts, "rejected": 0, "ignored": 0, "files": files,
    }  # fmt: skip
    (folder / "rejected.jsonl").write_text("")
    atomic_write(folder / "meta.json", json.dumps(meta, indent=1).encode())
    return Pack(spec.to_dict(), folder, pack.counts, 0, fingerprint, fresh=True)
