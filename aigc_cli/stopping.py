"""Stop between two steps: signals ask, the loop obeys after it has saved."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from aigc_cli.distributed import ranks

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


class Interrupted(BaseException):
    """Leave what may be broken off; no handler of errors is to take it for one."""


class Terminated(KeyboardInterrupt):
    """SIGTERM came while nothing was to be saved: end as after Ctrl-C, with whatever is half-written swept."""


@contextmanager
def terminable() -> Iterator[None]:
    """Raise Terminated on SIGTERM, which would otherwise kill on the spot and leave litter; once more kills."""
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def end(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise Terminated

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class StopRequest:
    """Note the first Ctrl-C or SIGTERM; let the second one kill as usual."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._interrupting = False
        self._previous: dict[signal.Signals, object] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in EXIT_CODES:
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _note(self, number: int, _: FrameType | None) -> None:
        again, self.signal = self.signal is not None, signal.Signals(number)
        said = f"\n{self.signal.name}: saving after this step"
        if ranks().world == 1:  # of several, torchrun and Slurm may both tell them, and torchrun kills in the end
            self._restore()
            said += "; once more stops at once"
        # Straight to the file descriptor: the bar may be writing to sys.stderr at this moment.
        if ranks().first and not again:
            os.write(2, f"{said}.\n".encode())
        if self._interrupting:
            raise Interrupted

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Run what a signal may break off at any place."""
        self._interrupting = self.signal is None
        try:
            yield
        except Interrupted:
            return
        finally:
            self._interrupting = False

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._previous.clear()

    @property
    def exit_code(self) -> int:
        """Return what the shell expects of a process that a signal ended."""
        return EXIT_CODES[self.signal] if self.signal else 0
