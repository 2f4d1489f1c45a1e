"""Serve batches from a pack: a pure function of the seed and the step, with nothing decoded on the way."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from aigc_cli.config import load, names
from aigc_cli.data import AUGMENTS, FOR_SOUNDS, check_augments
from aigc_cli.data.augment import Augment, sample_keys
from aigc_cli.data.pack import Pack
from aigc_cli.distributed import SOLE, Ranks
from aigc_cli.errors import ConfigError, DataError
from aigc_cli.interfaces import Batch, DataSpec
from aigc_cli.randomness import mix

SHARE_OF_MEMORY = 0.25  # of the machine's, which a data set may fill; larger ones stay on the disk
PHASE = 1  # tells the draw of windows from that of their order
SHARE_OF_GPU = 0.5  # of its free memory; larger ones are gathered on the host and copied
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


class TensorData:
    """Shuffle a split anew each epoch and cut it into batches; the last short one is left out.

    batch_size: of the global batch, over all ranks and micro-batches. Of it, a rank is served its own contiguous part:
    micro-batch m of the step is the same samples however many ranks share the work.

    Running text that is trained on is cut into windows anew each epoch, which begin p symbols later, p drawn of the
    seed and the epoch: so a model sees each symbol in every place. Unless p is 0, there is a window less.
    """

    def __init__(
        self,
        pack: Pack,
        *,
        split: str = "train",
        batch_size: int,
        seed: int,
        device: torch.device,
        augment: Sequence[str] = (),
        ranks: Ranks = SOLE,
        accumulate: int = 1,
    ) -> None:
        self.spec, self.batch_size, self.seed, self.device = pack.spec, batch_size, seed, device
        self.share = _share(batch_size, ranks, accumulate)  # this rank's samples of a batch
        self._offset = ranks.rank * self.share
        self.augments = _augments(augment, pack.spec)
        self._length, self.pack = pack.counts[split], pack
        if self._length < batch_size:
            fitting = 2 ** int(math.log2(self._length)) if self._length else 1
            raise DataError(
                f"batch_size: given {batch_size}, but the {split} split has {self._length} samples. "
                f"Type batch_size={fitting}, or give it more data."
            )
        text = self.spec.text
        self._moves = split == "train" and text is not None and text.end is None and self._length > batch_size
        self.batches_per_epoch = (self._length - self._moves) // batch_size  # the same in every epoch
        samples, condition = pack.split(split)
        self.samples = _placed(torch.from_numpy(samples), device, ranks).flatten(1)
        self._buffers = _Buffers(self.samples, self.share, device)
        self.labels, self._sources = None, None
        if isinstance(self.spec.condition, DataSpec):
            placed = _placed(torch.from_numpy(condition), device, ranks).flatten(1)
            self._sources = _Buffers(placed, self.share, device)
        elif condition is not None:
            self.labels = torch.from_numpy(condition).to(device)
        self._epoch, self._order, self._device_order = -1, torch.empty(0), torch.empty(0)

    def __len__(self) -> int:
        return self._length

    def batch(self, step: int) -> Batch:
        """Return this rank's part of a step's batch, on the device; it stays until the next but one is asked for."""
        epoch, number = divmod(step, self.batches_per_epoch)
        if epoch != self._epoch:
            self._shuffle(epoch)
        start = number * self.batch_size + self._offset
        part = slice(start, start + self.share)
        index = self._device_order[part]
        x = self._buffers.gather(self._order[part]).view(-1, *self.spec.shape)
        condition = None if self.labels is None else self.labels.index_select(0, index)
        if self._sources and isinstance(self.spec.condition, DataSpec):
            condition = self._sources.gather(self._order[part]).view(-1, *self.spec.condition.shape)
        for name, augment in self.augments.items():
            keys = sample_keys(self.seed, epoch, index, name)  # the same for both of a pair, so that they stay one
            x = augment(x, keys, self.spec)
            if condition is not None and isinstance(self.spec.condition, DataSpec):
                condition = augment(condition, keys, self.spec.condition)
        # A filled tensor, because a copy from the host would make the GPU wait.
        return Batch(x, condition, torch.full((), step, dtype=torch.int64, device=self.device))

    def _shuffle(self, epoch: int) -> None:
        generator = torch.Generator().manual_seed(mix(self.seed, epoch))  # on the CPU: one order for all devices
        phase = self._phase(epoch) if self._moves else 0
        count, width = self._length - bool(phase), self.samples.shape[1]
        if self._moves:  # a view: nothing is copied
            flat = self.samples.view(-1)
            self._buffers.samples = flat[phase : phase + count * width].view(count, width)
        order = torch.randperm(count, generator=generator)
        cuda = self.device.type == "cuda"  # a copy out of memory that is not pinned would wait for the GPU
        self._epoch = epoch
        self._device_order = (order.pin_memory() if cuda else order).to(self.device, non_blocking=cuda)
        self._order = self._device_order if self.samples.device == self._device_order.device else order

    def _phase(self, epoch: int) -> int:
        """Draw by how many symbols an epoch's windows begin later."""
        generator = torch.Generator().manual_seed(mix(self.seed, epoch, PHASE))
        return int(torch.randint(self.samples.shape[1], (), generator=generator))


class _Buffers:
    """Gather rows into two buffers in turn: fresh memory for each batch would cost more than the copy."""

    def __init__(self, samples: Tensor, batch_size: int, device: torch.device) -> None:
        self.samples, self.device, self.turn = samples, device, 0
        self.copied = samples.device.type != device.type
        pinned = self.copied and device.type == "cuda"
        shape = (batch_size, samples.shape[1])
        self.rows = [
            torch.empty(shape, dtype=samples.dtype, device=samples.device, pin_memory=pinned) for _ in range(2)
        ]
        self.events = [torch.cuda.Event() for _ in range(2)] if pinned else None

    def gather(self, index: Tensor) -> Tensor:
        """Return the rows of an index (B,), on the device."""
        self.turn ^= 1
        rows = self.rows[self.turn]
        if self.events:
            self.events[self.turn].synchronize()  # the copy before the last may still read this buffer
        torch.index_select(self.samples, 0, index, out=rows)
        if not self.copied:
            return rows
        there = rows.to(self.device, non_blocking=self.events is not None)
        if self.events:
            self.events[self.turn].record()
        return there


def _augments(chosen: Sequence[str], spec: DataSpec) -> dict[str, Augment]:
    check_augments(chosen)
    fitting = () if spec.kind == "text" else FOR_SOUNDS if spec.kind == "audio" else AUGMENTS.keys() - set(FOR_SOUNDS)
    if spec.sound and spec.sound.bands:
        fitting = ()  # a spectrogram is no picture of things, and no wave
    if unfit := [name for name in chosen if name in AUGMENTS and name not in fitting]:
        what = "spectrograms (type data.features=wave)" if spec.sound and spec.sound.bands else f"{spec.kind} data"
        known = ", ".join(sorted(fitting)) or "none"
        raise ConfigError(f"data.augment: {unfit[0]} is not for {what}. Allowed: {known}. Type data.augment=[].")
    known = names("augments") if chosen else {}
    return {name: load(known[name]) for name in chosen}


def _share(batch_size: int, ranks: Ranks, accumulate: int) -> int:
    """Return a rank's samples of a batch; ConfigError where its micro-batches would not be of one size."""
    parts = ranks.world * accumulate
    if batch_size % parts:
        near = max(1, (batch_size + parts // 2) // parts) * parts
        if ranks.world == 1:
            given = f"trainer.accumulate: {accumulate} does not divide batch_size={batch_size}."
        else:
            each = f" of {accumulate} micro-batches (trainer.accumulate)" if accumulate > 1 else ""
            given = f"batch_size: {ranks.world} processes{each} cannot share {batch_size} samples equally."
        raise ConfigError(f"{given} Type batch_size={near}.")
    return batch_size // ranks.world


def _placed(samples: Tensor, device: torch.device, ranks: Ranks) -> Tensor:
    """Put samples where gathering is fastest: on the GPU, in memory, or leave them mapped from the disk."""
    size = samples.nbytes
    if device.type == "cuda" and size < SHARE_OF_GPU * torch.cuda.mem_get_info(device)[0]:
        return samples.to(device)
    return samples.clone() if size < SHARE_OF_MEMORY * _memory() / ranks.local_world else samples


def _memory() -> int:
    """Return the bytes of memory that this process may use at most."""
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 8 * 2**30  # a system that does not say: a laptop's
    try:
        return min(whole, int(CGROUP_LIMIT.read_text()))
    except (OSError, ValueError):  # no such limit
        return whole
