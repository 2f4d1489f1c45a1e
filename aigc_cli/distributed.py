"""Train one model by several processes that torchrun started: which of them this one is, and how they talk.

Every function here does nothing, at no cost, where there is one process only. Those marked collective must be called by
all ranks, in the same order.
"""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from aigc_cli.errors import TrainingError

if TYPE_CHECKING:
    from torch import Tensor

TOLD = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR")  # what torchrun sets
SPOKEN = "aigc/spoken"  # the key of the store under which the rank stands that says what went wrong
FINISHED = "aigc/finished"  # the key that the first rank sets when it has nothing left to do
TOLD_ALL = "aigc/told"  # the key that it sets once it has said so
PATIENCE = 20  # seconds for a rank to tell what went wrong, before the others leave
DAYS = 7  # that the first rank may draw and evaluate at the end, while the others wait
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Ranks:
    """Number a process among those that train one model together."""

    rank: int = 0
    world: int = 1  # processes, over all machines
    local_rank: int = 0  # on this machine
    local_world: int = 1

    @property
    def first(self) -> bool:
        """Tell the process that speaks and writes."""
        return self.rank == 0


SOLE = Ranks()


class RankLost(TrainingError):  # noqa: N818 (it names what happened)
    """Report that another rank has ended, or answers no more."""


def ranks() -> Ranks:
    """Return this process's place; the only one where torchrun did not start it."""
    if any(name not in os.environ for name in TOLD):
        return SOLE
    rank, world, local_rank, local_world = (int(os.environ[name]) for name in TOLD[:4])
    return Ranks(rank, world, local_rank, local_world)


def started_again() -> bool:
    """Tell whether torchrun or Slurm has started this process anew, after an earlier one of the same command ended."""
    return any(os.environ.get(name, "0") != "0" for name in ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT"))


def started_by() -> list[str]:
    """Return the words before the verb on the command line that started this process."""
    here = ranks()
    if here.world == 1:
        return ["aigc"]
    machines = [] if here.world == here.local_world else [f"--nnodes={here.world // here.local_world}", "..."]
    return ["torchrun", *machines, f"--nproc-per-node={here.local_world}", "-m", "aigc_cli"]


def _open() -> bool:
    """Tell whether the ranks are connected."""
    if ranks().world == 1:
        return False
    from torch import distributed

    return distributed.is_available() and distributed.is_initialized()


@contextmanager
def connected(device: str, minutes: float) -> Iterator[None]:
    """Connect the ranks for a while; whoever waits longer than `minutes` for another one gives up with RankLost.

    device: as the user typed it, which says how they will talk.
    """
    if ranks().world == 1:
        yield
        return
    import torch
    from torch import distributed

    cuda = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"  # gloo carries what the host has to tell
    with telling_of_lost_ranks():
        longest = datetime.timedelta(minutes=minutes)
        store, rank, world = next(distributed.rendezvous("env://", timeout=longest))
        # torchrun's store outlives ranks that it starts again, who would read the addresses of the dead.
        store = distributed.PrefixStore(f"start {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
        distributed.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=longest)
        yield
        if ranks().first:
            store.set(FINISHED, "")
        else:  # their connections end together
            store.wait([FINISHED], datetime.timedelta(days=DAYS))
    distributed.destroy_process_group()


@contextmanager
def telling_of_lost_ranks() -> Iterator[None]:
    """Raise RankLost for what a broken connection raises in one of torch's many ways."""
    try:
        yield
    except RuntimeError as error:
        if ranks().world == 1 or not _is_of_a_connection(error):
            raise
        raise RankLost(
            f"rank {ranks().rank} of {ranks().world}: another rank has ended, or did not answer within ranks.timeout. "
            "The same command goes on from the last checkpoint."
        ) from error


def _is_of_a_connection(error: RuntimeError) -> bool:
    from torch import distributed

    signs = r"connection (closed|reset|refused)|timed? ?out|broken pipe|nccl|connectfullmesh"
    return isinstance(error, distributed.DistError) or bool(re.search(signs, str(error).lower()))


def may_speak(error: object) -> bool:
    """Tell whether this process is to say what went wrong: the first rank that fails, so that it is said once.

    What all ranks find at the same time is for the first one to tell: mistakes, before they are connected, and errors
    whose attribute `of_all_ranks` says so.
    """
    here = ranks()
    if here.world == 1:
        return True
    if not _open():
        return here.first
    from torch import distributed

    store = distributed.distributed_c10d._get_default_store()
    try:
        for_the_first = getattr(error, "of_all_ranks", False) and not here.first
        if not for_the_first and store.compare_set(SPOKEN, "", str(here.rank)) == str(here.rank).encode():
            return True
        store.wait([TOLD_ALL], datetime.timedelta(seconds=PATIENCE))  # torchrun ends all once one has ended
        return False
    except RuntimeError:  # the store's own process is gone
        return here.first


def has_spoken() -> None:
    """Let the other ranks leave, which wait for what this one had to tell."""
    if _open():
        from torch import distributed

        with suppress(RuntimeError):  # the store's own process is gone
            distributed.distributed_c10d._get_default_store().set(TOLD_ALL, "")


def summed(tensor: Tensor) -> Tensor:
    """Add a tensor up over the ranks, in place, and return it. Collective."""
    if _open():
        from torch import distributed

        distributed.all_reduce(tensor)
    return tensor


def averaged(tensor: Tensor) -> Tensor:
    """Return the mean of a tensor over the ranks. Collective."""
    return summed(tensor / ranks().world) if _open() else tensor


def greatest(values: list[int]) -> list[int]:
    """Return the greatest of each of the ranks' values: numbers of the host, which no device waits for. Collective."""
    if not _open():
        return values
    import torch
    from torch import distributed

    told = torch.tensor(values, dtype=torch.int64)
    distributed.all_reduce(told, distributed.ReduceOp.MAX)
    return told.tolist()


def gathered(tensor: Tensor) -> Tensor:
    """Return the ranks' tensors (B, ...), equal in shape, one after another: (world * B, ...). Collective."""
    if not _open():
        return tensor
    import torch
    from torch import distributed

    whole = [torch.empty_like(tensor) for _ in range(ranks().world)]
    distributed.all_gather(whole, tensor.contiguous())
    return torch.cat(whole)


def told_by_first(make: Callable[[], Answer]) -> Answer:
    """Let the first rank make something, and give it to all. Collective."""
    here = ranks()
    if not _open():
        return make()
    from torch import distributed

    box: list = [make() if here.first else None]
    distributed.broadcast_object_list(box)
    return box[0]


def as_first_has(tensors: Iterable[Tensor]) -> None:
    """Overwrite tensors by the first rank's. Collective."""
    if _open():
        from torch import distributed

        for tensor in tensors:
            sent = tensor.detach().contiguous()  # whatever its layout in memory
            distributed.broadcast(sent, 0)
            tensor.detach().copy_(sent)


def one_before_the_others(make: Callable[[], Answer]) -> Answer:
    """Call on each machine's first rank, and then on the others: what it wrote is there for them. Collective."""
    here = ranks()
    if not _open():
        return make()
    from torch import distributed

    made = [make()] if here.local_rank == 0 else []
    distributed.barrier()
    return made[0] if made else make()
