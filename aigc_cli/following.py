"""Train in step with the first rank: it logs, draws, evaluates and saves; the others only share its steps."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass, field

from aigc_cli.data.tensor_data import TensorData
from aigc_cli.distributed import greatest, ranks
from aigc_cli.recorder import Recorder
from aigc_cli.stopping import StopRequest
from aigc_cli.trainer import Trainer

EVERY = 0.25  # seconds between two questions whether to stop: a signal waits no longer, and short steps do not pay


class Agreement:
    """Let all ranks end after the same step, though only one may have been asked to, or look at the clock."""

    def __init__(self) -> None:
        self.done = False  # whether the last answer was that nothing is left to do
        self._here = ranks()
        self._next = 0  # the step of the next question
        self._asked: tuple[int, float] | None = None  # step and time of the last one

    def over(self, step: int, total: int, stop: StopRequest, *, late: bool = False) -> bool:
        """Tell whether training ends before a step: it was the last, is late, or a signal came to any rank."""
        if step >= total or self._here.world == 1:
            self.done = late or step >= total
            return self.done or stop.signal is not None
        if step < self._next:
            return False
        first = self._here.first
        answers = greatest([int(late), stop.signal or 0, self._ahead(step) if first else 0])
        self.done, number = bool(answers[0]), answers[1]
        self._next, self._asked = step + answers[2], (step, time.perf_counter())
        if number and not stop.signal:
            stop.signal = signal.Signals(number)
        return self.done or bool(number)

    def _ahead(self, step: int) -> int:
        """Return after how many steps to ask again."""
        if self._asked is None:
            return 1
        since, when = self._asked
        seconds = (time.perf_counter() - when) / max(1, step - since)
        return max(1, min(int(EVERY / max(seconds, 1e-6)), 10 * max(1, step - since)))


@dataclass
class Follower:
    """Take every step that the first rank takes."""

    trainer: Trainer
    data: TensorData
    total: int
    log_every: int
    recorder: Recorder = field(default_factory=lambda: Recorder(lambda line: None, None))
    agreement: Agreement = field(default_factory=Agreement)

    def train(self, stop: StopRequest) -> None:
        """Train until the first rank is done, or any is asked to stop."""
        trainer, logged = self.trainer, None
        while not self.agreement.over(trainer.steps, self.total, stop):
            self.recorder.add(trainer.step(self.data.batch(trainer.steps)), self.data.batch_size)
            logged = logged or 0
            if trainer.steps % self.log_every == 0 or trainer.steps == 1:
                logged = self._log()
            if trainer.steps != self.total:
                trainer.gather(wanted=False)
        if logged not in (None, trainer.steps):
            self._log()
        trainer.gather(wanted=True)

    def _log(self) -> int:
        """Add to the means that the first rank writes."""
        self.trainer.losses.check()
        self.recorder.record(self.trainer.steps)
        return self.trainer.steps
