"""Notice when an adversarial game is lost: a critic that is never wrong, or samples that have become alike.

It says so once, and keeps the newest checkpoint from before, until the samples recover.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from aigc_cli.data.pack import Pack
from aigc_cli.files import atomic_write
from aigc_cli.sounds.waveforms import perceived

FILE = "guard.json"
SURE, PATIENCE = 0.999, 1000  # share of pairs that the critic tells apart, and steps for which it does
LEAST_PICTURES, SIDE = 16, 16  # to compare, and pixels a side at which they are compared
FALLEN = 0.5  # of the best variety so far: samples have become alike
NEVER, LOOKS = 0.1, 3  # of the data's variety, and previews in a row below it: samples have always been alike


class Guard:
    """Watch what a run logs and draws; remember, across starts, which checkpoint was the last good one."""

    def __init__(self, run: Path, pack: Pack, *, newest: int | None, remedies: Sequence[str] = ()) -> None:
        self.path, self.pack = run / FILE, pack
        self.remedies = "".join(f", {remedy}" for remedy in remedies)
        self.best, self.sure_since = 0.0, None
        self.saved = newest  # checkpoint; None: the run is fresh
        self.sound: int | None = None  # the newest that was there when samples were last seen to vary
        self.good: int | None = None  # the same, once they vary no more
        self.warned = False  # of a critic that is never wrong
        self.alike = 0  # previews in a row
        if newest is not None:
            self._read()

    def read(self, step: int, line: Mapping[str, Any]) -> None:
        """Take a line of the log into account."""
        accuracy = next((value for key, value in line.items() if key.endswith("/accuracy")), None)
        if accuracy is None or accuracy < SURE:
            self.sure_since, self.warned = None, False
            return
        self.sure_since = step if self.sure_since is None else self.sure_since
        if step - self.sure_since >= PATIENCE and not self.warned:
            self.warned = True
            self._say(
                f"step {step:,}: for {PATIENCE:,} steps the critic has told all real pictures from all generated ones, "
                "and a generator learns little from that. What may help: a smaller optimizer.phases.critic.lr"
                f"{self.remedies}."
            )

    def look(self, step: int, pictures: Tensor) -> None:
        """Take samples, stored integers, into account."""
        if len(pictures) < LEAST_PICTURES or (real := self._real(len(pictures))) is None:
            return
        ratio = variety(perceived(pictures, self.pack.spec)) / real
        self.alike = self.alike + 1 if ratio < NEVER else 0
        if self.alike == LOOKS and self.best < NEVER:
            self._say(
                f"step {step:,}: the samples are all alike, with {ratio:.0%} of the data's variety: the model has "
                f"collapsed. What may help: a smaller optimizer.lr{self.remedies}."
            )
        if ratio >= FALLEN * self.best:
            self.best, self.good, self.sound = max(self.best, min(ratio, 1.0)), None, self.saved
            self._write()
        elif self.good is None and self.sound is not None:
            self.good = self.sound
            self._write()
            self._say(
                f"step {step:,}: the samples have become alike, with {ratio:.0%} of the data's variety after "
                f"{self.best:.0%}: the model has collapsed. The checkpoint of step {self.good:,} is from before and is "
                f"kept: start from it (init=) with a smaller optimizer.lr{self.remedies}."
            )

    def note(self, step: int) -> None:
        """Take into account that a checkpoint was saved."""
        self.saved = step

    def spared(self) -> list[int]:
        """Return the checkpoint to keep: the last one from before samples became alike, or what would be it."""
        return [step for step in (self.sound,) if step is not None]

    def _real(self, n: int) -> float | None:
        """Return the variety of as many held-out pictures, or of training ones where too few are held out."""
        split = "test" if self.pack.counts["test"] >= n else "train"
        x, _ = self.pack.split(split)
        if len(x) < n:
            return None
        chosen = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:n]
        return variety(perceived(torch.from_numpy(x[chosen.sort().values.numpy()]), self.pack.spec)) or None

    def _say(self, line: str) -> None:
        tqdm.write(f"aigc: {line}", file=sys.stderr)

    def _write(self) -> None:
        try:
            atomic_write(
                self.path,
                json.dumps({"best": self.best, "sound": self.sound, "good": self.good}).encode(),
                durable=False,
            )
        except OSError as error:
            self._say(f"{self.path} cannot be written ({error.strerror}); training goes on.")

    def _read(self) -> None:
        try:
            about = json.loads(self.path.read_text())
            self.best, self.sound, self.good = float(about["best"]), about["sound"], about["good"]
        except (OSError, ValueError, KeyError, TypeError):
            return


def unaided(model: Mapping[str, Any], kind: str = "image") -> str | None:
    """Return the augmentation for few pictures that a model's critic could have and has not."""
    if kind != "image" or (model.get("augmentation") or {}).get("name") != "none":
        return None
    unsure = (model.get("loss") or {}).get("name") == "wasserstein"  # its scores do not say how sure the critic is
    return f"model/augmentation={'diffaugment' if unsure else 'adaptive'}"


def remedies(model: Mapping[str, Any], kind: str = "image") -> list[str]:
    """Return settings that steady such a model and that it does not use yet."""
    found = ["model/penalty=r1"] if (model.get("penalty") or {}).get("name") == "none" else []
    help_ = unaided(model, kind)
    return [*found, *([f"with few pictures {help_}"] if help_ else [])]


def variety(pictures: Tensor) -> float:
    """Return the mean distance from each picture (N, C, H, W) in [-1, 1] to the one most like it, of a value."""
    small = F.adaptive_avg_pool2d(pictures, (min(SIDE, pictures.shape[2]), min(SIDE, pictures.shape[3])))
    rows = small.flatten(1)
    distances = torch.cdist(rows, rows).fill_diagonal_(torch.inf)
    return float(distances.min(1).values.mean()) / rows.shape[1] ** 0.5
