"""Tell early how long a run will take where it is: nobody wants to learn that on the third day."""

from __future__ import annotations

import time

MEASURED = 3  # steps after the first one, which warms up
LONG = 6.0  # hours from which on a run on a CPU is worth a word


class Pace:
    """Take the time of the first steps of a start."""

    def __init__(self) -> None:
        self._steps, self._since = 0, 0.0

    def step(self, left: int) -> str | None:
        """Count a step; return what to say, once and only of a long run. left: steps yet to take."""
        self._steps += 1
        if self._steps == 1:
            self._since = time.perf_counter()
        if self._steps != 1 + MEASURED:
            return None
        seconds = (time.perf_counter() - self._since) / MEASURED
        hours = left * seconds / 3600
        if hours < LONG:
            return None
        length = f"{hours / 24:.0f} days" if hours >= 48 else f"{hours:.0f} hours"
        where = f"A step takes {seconds:.2g} s on this CPU: the {left:,} steps that are left take {length}."
        ways = "a GPU, a recipe (aigc list recipes), a smaller data.size, batch_size or width (aigc show), fewer steps="
        return f"{where} Quicker: {ways}."
