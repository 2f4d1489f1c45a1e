"""Do what waits for a disk in one thread, job after job, while training goes on; nothing that goes wrong is lost."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, wait
from queue import SimpleQueue
from typing import Any, TypeAlias

from tqdm import tqdm

from aigc_cli.errors import TrainingError

Then: TypeAlias = Callable[[Future[Any]], None]
MOST = 2  # jobs that hold memory at once: a checkpoint and a picture


class Background:
    """Run jobs in their order. What came of a job is told in the thread that gave it, which alone changes the run.

    Leaving waits for all jobs, but for Ctrl-C and SIGTERM, which end the process at once: what was being written is
    then half a file under a temporary name, as after a kill.
    """

    def __init__(self) -> None:
        self._given: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        # A daemon, not an executor's thread, for which the interpreter would wait at its end.
        self._thread = threading.Thread(target=_do, args=(self._given,), name="writer", daemon=True)
        self._jobs: deque[tuple[Future[Any], Then]] = deque()

    def submit(self, work: Callable[[], Any], then: Then) -> None:
        """Have `work` done in the thread; `then` gets its future from a later collect or settle.

        Waits where as many jobs as memory may hold are unfinished.
        """
        self.collect()
        while len(self._jobs) >= MOST:
            self._tell()
        future: Future[Any] = Future()
        self._jobs.append((future, then))
        self._given.put((future, work))

    def collect(self) -> None:
        """Tell what came of the jobs that are done; waits for none. `then` may raise."""
        while self._jobs and self._jobs[0][0].done():
            self._tell()

    def settle(self) -> None:
        """Wait for all jobs and tell what came of them."""
        while self._jobs:
            self._tell()

    def _tell(self) -> None:
        wait([self._jobs[0][0]])  # before it is taken off the list: Ctrl-C may end the waiting
        future, then = self._jobs.popleft()
        then(future)

    def __enter__(self) -> Background:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            return
        try:
            while self._jobs:
                try:
                    self.settle()
                except (OSError, TrainingError) as error:
                    if kind is None:
                        raise
                    tqdm.write(f"aigc: {error}", file=sys.stderr)  # beside the error that is on its way
        finally:
            self._given.put(None)
            self._thread.join()


def _do(given: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]) -> None:
    """Do job after job; what one raises is its future's."""
    while (job := given.get()) is not None:
        future, work = job
        del job
        try:
            future.set_result(work())
        except BaseException as error:  # as executors do: whoever asks for the result gets it
            future.set_exception(error)
        del future, work  # a job that is done holds no memory while the thread waits for the next
