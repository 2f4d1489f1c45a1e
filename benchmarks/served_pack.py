"""Open a pack as `aigc train` does, serve batches, train on them, and print what that took: run by data_growth.

It trains on a small pack in turn, so that a machine that slows down slows both.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from aigc_cli.data.pack import Pack, open_data
from aigc_cli.data.tensor_data import TensorData
from aigc_cli.devices import choose
from aigc_cli.trainer import Trainer
from benchmarks.measuring import in_turn, per_second
from benchmarks.workloads import trainer_for

BATCH = 128
TURNS = 10  # of training on either pack


def main() -> None:
    """Print one line of JSON; arguments: the data node as JSON, a small one's, the seconds of each measurement."""
    (node, small), seconds = map(json.loads, sys.argv[1:3]), float(sys.argv[3])
    device = choose("cpu", "fp32")
    trainer = trainer_for(["model=vae"], open_data(node, progress=False).spec, device)
    began = time.perf_counter()
    pack = open_data(node, progress=False)
    data = served_from(pack)
    data.batch(0)
    start = time.perf_counter() - began
    served = per_second(counted(data, lambda batch: None), seconds=seconds)
    counted(data, trainer.step)()
    held, beside = memory(), served_from(open_data(small, progress=False))
    turns = {name: training(each, trainer, seconds / TURNS) for name, each in (("trained", data), ("beside", beside))}
    rates = {name: sum(values) / TURNS for name, values in in_turn(turns, TURNS).items()}
    print(json.dumps({"start": start, "served": served, **rates, **held}))


def served_from(pack: Pack) -> TensorData:
    """Serve a pack's batches on the CPU."""
    return TensorData(pack, batch_size=BATCH, seed=0, device=torch.device("cpu"))


def training(data: TensorData, trainer: Trainer, seconds: float) -> Callable[[], float]:
    """Return what trains for a while and returns the images a second."""
    work = counted(data, trainer.step)
    return lambda: per_second(work, seconds=seconds)


def counted(data: TensorData, use: Callable[[Any], object]) -> Callable[[], int]:
    """Return what serves the next batch, uses it and counts its samples."""
    steps = iter(range(1 << 62))

    def one() -> int:
        batch = data.batch(next(steps))
        use(batch)
        return len(batch.x)

    return one


def memory() -> dict[str, float]:
    """Return the MB of this process: its own, and of files that are mapped, which the system takes back at need."""
    said = Path("/proc/self/status").read_text()
    own, mapped = (int(found[1]) / 1e3 if (found := re.search(rf"{name}:\s+(\d+)", said)) else 0.0
                   for name in ("RssAnon", "RssFile"))  # fmt: skip
    return {"own": own, "mapped": mapped}


if __name__ == "__main__":
    main()
