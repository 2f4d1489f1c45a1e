"""Know which process of how many this one is: torchrun tells it by the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass

TOLD = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR")  # what torchrun sets


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


def ranks() -> Ranks:
    """Return this process's place; the only one where torchrun did not start it."""
    if any(name not in os.environ for name in TOLD):
        return SOLE
    rank, world, local_rank, local_world = (int(os.environ[name]) for name in TOLD[:4])
    return Ranks(rank, world, local_rank, local_world)
