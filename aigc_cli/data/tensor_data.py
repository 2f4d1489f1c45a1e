"""Serve batches from a pack: a pure function of the seed and the step, with nothing decoded on the way."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from aigc_cli.data.pack import Pack
from aigc_cli.errors import DataError
from aigc_cli.interfaces import Batch
from aigc_cli.randomness import mix


class TensorData:
    """Shuffle a split anew each epoch and cut it into batches; the last short one is left out."""

    def __init__(
        self,
        pack: Pack,
        *,
        split: str = "train",
        batch_size: int,
        seed: int,
        device: torch.device,
        augment: Sequence = (),
    ) -> None:
        self.spec, self.batch_size, self.seed, self.device = pack.spec, batch_size, seed, device
        samples, labels = pack.split(split)
        self.samples = torch.from_numpy(samples)
        self.labels = torch.from_numpy(labels) if labels is not None else None
        if len(self.samples) < batch_size:
            raise DataError(
                f"data: its {split} split has {len(self.samples)} samples, fewer than batch_size={batch_size}. "
                f"Type batch_size={max(1, len(self.samples) // 2)}."
            )
        self.batches_per_epoch = len(self.samples) // batch_size
        self._epoch, self._order = -1, torch.empty(0)

    def __len__(self) -> int:
        return len(self.samples)

    def batch(self, step: int) -> Batch:
        """Return the batch of a step, on the device."""
        index = self._indices(step)
        x = self.samples.index_select(0, index).to(self.device)
        labels = self.labels.index_select(0, index).to(self.device) if self.labels is not None else None
        return Batch(x, labels, torch.tensor(step, device=self.device))

    def _indices(self, step: int) -> Tensor:
        epoch, number = divmod(step, self.batches_per_epoch)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(mix(self.seed, epoch))
            self._epoch, self._order = epoch, torch.randperm(len(self.samples), generator=generator)
        return self._order[number * self.batch_size : (number + 1) * self.batch_size]
