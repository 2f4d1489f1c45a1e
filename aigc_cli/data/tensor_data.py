"""Serve batches from a pack: a pure function of the seed and the step, with nothing decoded on the way."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from aigc_cli.config import load, names
from aigc_cli.data import AUGMENTS, FOR_SOUNDS, check_augments
from aigc_cli.data.augment import Augment, sample_keys
from aigc_cli.data.pack import Pack
from aigc_cli.data.placing import Buffers, placed
from aigc_cli.data.shards import Shards
from aigc_cli.data.slots import Slots
from aigc_cli.data.windows import WindowedOrder
from aigc_cli.distributed import SOLE, Ranks
from aigc_cli.errors import ConfigError, DataError
from aigc_cli.interfaces import Batch, DataSpec
from aigc_cli.randomness import mix

PHASE = 1  # tells the draw of windows from that of their order


class TensorData:
    """Shuffle a split anew each epoch and cut it into batches; the last short one is left out.

    batch_size: of the global batch, over all ranks and micro-batches. Of it, a rank is served its own contiguous part:
    micro-batch m of the step is the same samples however many ranks share the work.

    Data in shards, which packs of more than 4 GB are, are shuffled by shard and within windows instead, as windows.py
    says, wherever they are held: the order is the pack's, whatever memory a machine has.

    Running text that is trained on is cut into windows anew each epoch, which begin p symbols later, p drawn of the
    seed and the epoch: so a model sees each symbol in every place. Unless p is 0, a window less is in each file.
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
        samples, condition = pack.split(split)
        files = len(samples.lengths) if isinstance(samples, Shards) else 1
        running = split == "train" and text is not None and text.end is None
        self._moves = running and self._length - files >= batch_size
        self.batches_per_epoch = (self._length - self._moves * files) // batch_size  # the same in every epoch
        paired = isinstance(self.spec.condition, DataSpec)
        arrays = [samples, condition] if paired and condition is not None else [samples]
        held = placed(arrays, device, ranks)
        stand_ins = [torch.from_numpy(array[:0]).flatten(1) for array in arrays]  # for what stays on the disk
        buffers = [Buffers(each, self.share, device) for each in held or stand_ins]
        self.samples, self._buffers, self._sources = buffers[0].samples, buffers[0], buffers[1] if paired else None
        self.labels = None if paired or condition is None else torch.from_numpy(condition).to(device)
        self._slots = None
        if isinstance(samples, Shards):
            row_bytes = sum(array.nbytes // self._length for array in arrays)
            order = self._windowed(samples, row_bytes, ranks.world * accumulate)
            mine, self._held = range(ranks.rank * accumulate, (ranks.rank + 1) * accumulate), held is not None
            streamed = [array for array in arrays if isinstance(array, Shards) and not held]
            self._slots = Slots(order, mine, streamed, self._phase)
            self._index = Buffers(torch.empty((0, 1), dtype=torch.int64), self.share, device)
        self._epoch, self._order, self._device_order = -1, torch.empty(0), torch.empty(0)

    def __len__(self) -> int:
        return self._length

    def batch(self, step: int) -> Batch:
        """Return this rank's part of a step's batch, on the device; it stays until the next but one is asked for."""
        epoch, number = divmod(step, self.batches_per_epoch)
        if epoch != self._epoch:
            self._shuffle(epoch)
        index, x, condition = self._drawn(epoch, number) if self._slots else self._picked(number)
        x = x.view(-1, *self.spec.shape)
        if condition is not None and isinstance(self.spec.condition, DataSpec):
            condition = condition.view(-1, *self.spec.condition.shape)
        elif self.labels is not None:
            condition = self.labels.index_select(0, index)
        for name, augment in self.augments.items():
            keys = sample_keys(self.seed, epoch, index, name)  # the same for both of a pair, so that they stay one
            x = augment(x, keys, self.spec)
            if condition is not None and isinstance(self.spec.condition, DataSpec):
                condition = augment(condition, keys, self.spec.condition)
        # A filled tensor, because a copy from the host would make the GPU wait.
        return Batch(x, condition, torch.full((), step, dtype=torch.int64, device=self.device))

    def _picked(self, number: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return which samples this rank's part is of, and they and their sources, by the order of the whole epoch."""
        start = number * self.batch_size + self._offset
        part = slice(start, start + self.share)
        here = self._order[part]
        return self._device_order[part], self._buffers.gather(here), self._sources and self._sources.gather(here)

    def _drawn(self, epoch: int, number: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return which samples this rank's part is of, and they and their sources, by the order within windows."""
        assert self._slots
        index, buffers = self._index.next(), [each for each in (self._buffers, self._sources) if each]
        rows = [] if self._held else [each.next() for each in buffers]
        self._slots.draw(epoch, number, index.view(-1), rows)
        there = self._index.sent(index).view(-1)
        if self._held:
            found = [each.gather(index.view(-1) if each.copied else there) for each in buffers]
        else:
            found = [each.sent(mine) for each, mine in zip(buffers, rows, strict=True)]
        return there, found[0], found[1] if self._sources else None

    def _windowed(self, samples: Shards, row_bytes: int, slots: int) -> WindowedOrder:
        """Return the order of shards; a window of running text that moves would reach from one into the next."""
        lengths = [length - self._moves for length in samples.lengths]
        share = self.batch_size // slots
        return WindowedOrder(lengths, samples.per_shard, row_bytes, slots=slots, share=share, seed=self.seed)

    def _shuffle(self, epoch: int) -> None:
        self._epoch, phase = epoch, self._phase(epoch)
        count, width = self._length - bool(phase), self.samples.shape[1]
        if self._moves and len(self.samples):  # a view: nothing is copied
            flat = self.samples.view(-1)
            self._buffers.samples = flat[phase : phase + count * width].view(count, width)
        if self._slots:
            return
        generator = torch.Generator().manual_seed(mix(self.seed, epoch))  # on the CPU: one order for all devices
        order = torch.randperm(count, generator=generator)
        cuda = self.device.type == "cuda"  # a copy out of memory that is not pinned would wait for the GPU
        self._device_order = (order.pin_memory() if cuda else order).to(self.device, non_blocking=cuda)
        self._order = self._device_order if self.samples.device == self._device_order.device else order

    def _phase(self, epoch: int) -> int:
        """Draw by how many symbols an epoch's windows begin later; none where they do not move."""
        if not self._moves:
            return 0
        generator = torch.Generator().manual_seed(mix(self.seed, epoch, PHASE))
        return int(torch.randint(self.samples.shape[1], (), generator=generator))


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
