"""Save in children that are killed; run by test_faults.py in a process of its own, since forking needs few threads.

Usage: python -m tests.kill_saves {random|each} FOLDER; prints one JSON object. Forks are cheap, importing torch is not.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import torch

from aigc_cli import checkpoints

FILE_EVENTS = {"open", "os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.scandir", "os.listdir"}
RANDOM_KILLS = 40
SIZE = 400_000  # numbers: a save takes some milliseconds, so that most kills hit one


def save(folder: Path, step: int, size: int) -> None:
    """Save a checkpoint all of whose values are its step."""
    value = torch.full((size,), float(step))
    checkpoints.save(folder, step, {"w": value}, {"config": {}}, {"w": value}, keep=2)


def must_be_whole(folder: Path) -> int:
    """Return the newest checkpoint's step after loading and checking all of it."""
    newest = checkpoints.latest(folder, warn=sys.exit)
    assert newest is not None
    values = torch.cat([newest.tensors()["w"], newest.state()["w"]])
    assert bool((values == newest.step).all()), f"step {newest.step} holds other values"
    return newest.step


def child(work: Callable[[], object]) -> int:
    """Fork, work, leave."""
    process = os.fork()
    if process == 0:
        work()
        os._exit(0)
    return process


def kill_at_random(folder: Path) -> dict[str, int]:
    """Kill savers at random moments; each goes on where the one before it got to."""
    moments, halves, step = random.Random(0), 0, 0
    save(folder, step, SIZE)
    for _ in range(RANDOM_KILLS):
        process = child(lambda first=step: forever(folder, first))
        time.sleep(moments.uniform(0.001, 0.08))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        halves += any(entry.name.startswith(".") for entry in folder.iterdir())
        reached = must_be_whole(folder)
        assert reached >= step, f"went back from step {step} to {reached}"
        step = reached
    save(folder, step + 1, SIZE)
    return {"kills": RANDOM_KILLS, "in the middle": halves, "step": step, "left over": hidden(folder)}


def forever(folder: Path, first: int) -> NoReturn:
    """Save step after step, beginning with the one that is already there."""
    step = first
    while True:
        save(folder, step, SIZE)
        step += 1


def kill_at_each_operation(folder: Path) -> dict[str, int]:
    """Kill a save before its first, second, ... use of the file system, for a new step and for one that exists."""
    kills = 0
    for again in (False, True):
        operation, finished = 0, False
        while not finished:
            save(folder, 1, 8)
            save(folder, 2, 8)
            process = child(lambda at=operation, step=2 if again else 3: suicide(folder, step, at))
            finished = os.WIFEXITED(os.waitpid(process, 0)[1])
            assert must_be_whole(folder) >= 2
            kills, operation = kills + 1, operation + 1
            save(folder, 4, 8)
            assert hidden(folder) == 0
            for entry in folder.iterdir():
                os.rename(entry, folder.parent / f"{kills}-{entry.name}")
    return {"kills": kills, "left over": hidden(folder)}


def suicide(folder: Path, step: int, operation: int) -> None:
    """Save and die before the operation of that number."""
    seen = 0

    def count(event: str, _: object) -> None:
        nonlocal seen
        if event in FILE_EVENTS:
            if seen == operation:
                os.kill(os.getpid(), signal.SIGKILL)
            seen += 1

    sys.addaudithook(count)
    save(folder, step, 8)


def hidden(folder: Path) -> int:
    """Count what is left of killed saves."""
    return sum(entry.name.startswith(".") for entry in folder.iterdir())


if __name__ == "__main__":
    torch.set_num_threads(1)
    place = Path(sys.argv[2]) / "checkpoints"
    print(json.dumps({"random": kill_at_random, "each": kill_at_each_operation}[sys.argv[1]](place)))
