"""Tell early how long a run will take where it is: nobody wants to learn that on the third day."""

from __future__ import annotations

import statistics
import sys

from tqdm import tqdm

MEASURED = 3  # steps after the first one, which warms up
LINE_EVERY = 20.0  # seconds between printed lines where there is no terminal for a bar
LONG = 6.0  # hours from which on a run on a CPU is worth a word


class Pace:
    """Watch how long the first steps of a start take."""

    def __init__(self) -> None:
        self._seconds: list[float] = []

    def step(self, seconds: float, left: int, limit: float | None) -> str | None:
        """Take a step's seconds; return what to say, once and only of a long run.

        left: steps yet to take; limit: seconds after which the run ends anyway.
        """
        if len(self._seconds) > MEASURED:
            return None
        self._seconds.append(seconds)
        if len(self._seconds) <= MEASURED:
            return None
        usual = statistics.median(self._seconds[1:])
        hours = left * usual / 3600
        if hours < LONG or (limit is not None and limit < LONG * 3600):
            return None
        length = f"{hours / 24:.0f} days" if hours >= 48 else f"{hours:.0f} hours"
        where = f"aigc: a step takes {usual:.2g} s on this CPU, the {left:,} that are left {length}."
        ways = "a GPU, a smaller model or batch_size, smaller data, or a recipe for CPUs (aigc list recipes)"
        return f"{where} Quicker: {ways}."


def progress_bar(total: int, done: int) -> tqdm:
    """Return the bar of a run: a line now and then where there is no terminal."""
    quiet = not sys.stderr.isatty()
    interval = LINE_EVERY if quiet else 0.1
    return tqdm(total=total, initial=done, unit="step", mininterval=interval, maxinterval=interval, dynamic_ncols=True)
