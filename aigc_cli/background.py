"""Do what waits for a disk in one thread, job after job, while training goes on; nothing that goes wrong is lost."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeAlias

from tqdm import tqdm

from aigc_cli.errors import TrainingError

Then: TypeAlias = Callable[[Future[Any]], None]
MOST = 2  # jobs that hold memory at once: a checkpoint and a picture


class Background:
    """Run jobs in their order. What came of a job is told in the thread that gave it, which alone changes the run."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "writer")  # joined when the interpreter ends: no half-written file
        self._jobs: deque[tuple[Future[Any], Then]] = deque()

    def submit(self, work: Callable[[], Any], then: Then) -> None:
        """Have `work` done in the thread; `then` gets its future from a later collect or settle.

        Waits where as many jobs as memory may hold are unfinished.
        """
        self.collect()
        while len(self._jobs) >= MOST:
            self._tell()
        self._jobs.append((self._thread.submit(work), then))

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
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            while self._jobs:
                try:
                    self.settle()
                except (OSError, TrainingError) as error:
                    if kind is None:
                        raise
                    tqdm.write(f"aigc: {error}", file=sys.stderr)  # beside the error that is on its way
        finally:
            self._thread.shutdown()
