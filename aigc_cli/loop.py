"""The plain loop of training: step; log, preview and save when due. No callbacks."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from aigc_cli import checkpoints
from aigc_cli.background import Background
from aigc_cli.data.tensor_data import TensorData
from aigc_cli.devices import cpu_has_bf16
from aigc_cli.divergence import Diverged
from aigc_cli.errors import TrainingError
from aigc_cli.evaluating.measures import PREFIX
from aigc_cli.following import Agreement
from aigc_cli.guard import Guard
from aigc_cli.pace import Pace, progress_bar
from aigc_cli.previewing import Drawn, Previews, Written
from aigc_cli.profiling.spans import DATA, UNMEASURED
from aigc_cli.recorder import Recorder
from aigc_cli.runs import Run
from aigc_cli.stopping import StopRequest
from aigc_cli.trainer import Trainer

if TYPE_CHECKING:
    from aigc_cli.evaluating.during import Evaluation
    from aigc_cli.profiling.profile import Profile

FAILED_SAVES = 3  # in a row, after which training on would risk too much


@dataclass
class Loop:
    """Train until `total` steps, `max_minutes` or a signal; every picture and file has its due step."""

    trainer: Trainer
    data: TensorData
    previews: Previews
    run: Run
    recorder: Recorder
    meta: Mapping[str, Any]
    total: int
    max_minutes: float | None
    log_every: int
    preview_every: int
    checkpoint: Mapping[str, Any]
    guard: Guard
    evaluation: Evaluation | None = None
    evaluate_every: int = 0
    profile: Profile | None = None
    minutes: float = 0.0  # trained before this start
    grid: str | None = None  # the newest preview, relative to the run
    newest: checkpoints.Checkpoint | None = None
    agreement: Agreement = field(default_factory=Agreement)
    _failed_saves: int = 0
    _evaluated: int = -1  # the last step whose figures were taken
    _logged: int | None = None  # the last step in the log; None: no step was taken yet
    _saved: tuple[int, float] = (-1, 0.0)  # step and time of the last save
    _background: Background = field(default_factory=Background)  # writes pictures and checkpoints
    _pace: Pace = field(default_factory=Pace)
    _ended: float | None = None
    _started: float = field(default_factory=time.perf_counter)

    def train(self, stop: StopRequest) -> str:
        """Return "finished" or "stopped"; whatever ends it, the state is saved unless it is not finite."""
        self._started = time.perf_counter()
        self._saved = (self.trainer.steps, self._started)
        with self._background:  # whatever it still writes is awaited
            done = self._steps(stop)
            self._ended = time.perf_counter()
            if self._logged not in (None, self.trainer.steps):
                self._log(self.trainer.steps, None)
            self.trainer.gather(wanted=True)
            self._save(self.trainer.steps, last=True)  # before any picture: who stops us may not wait for that
            if done:
                self._preview(self.trainer.steps, stop)
                done = self._evaluate(self.trainer.steps, stop)
        return "finished" if done else "stopped"

    def _steps(self, stop: StopRequest) -> bool:
        """Train until the end or a signal; tell which."""
        trainer = self.trainer
        with progress_bar(self.total, trainer.steps) as bar:
            while not self.agreement.over(trainer.steps, self.total, stop, late=self._late()):
                began = time.perf_counter()
                with self.profile.step() if self.profile and not self.profile.over else UNMEASURED:
                    with trainer.span(DATA):
                        batch = self.data.batch(trainer.steps)
                    self.recorder.add(trainer.step(batch), self.data.batch_size)
                bar.update()
                self._tell_pace(time.perf_counter() - began)
                self._when_due(trainer.steps, bar, stop)
        return self.agreement.done

    def elapsed(self) -> float:
        """Return the minutes trained, earlier starts included; the last pictures and figures are no training."""
        return self.minutes + ((self._ended or time.perf_counter()) - self._started) / 60

    @property
    def unit(self) -> str:
        """Name the samples."""
        return {"image": "images", "audio": "clips", "text": "texts"}[self.data.spec.kind]

    def _late(self) -> bool:
        return self.max_minutes is not None and self.elapsed() >= self.max_minutes

    def _tell_pace(self, seconds: float) -> None:
        if self.trainer.device.torch.type == "cpu":
            limit = None if self.max_minutes is None else 60 * (self.max_minutes - self.elapsed())
            if said := self._pace.step(seconds, self.total - self.trainer.steps, limit):
                quicker = self.trainer.device.precision == "fp32" and cpu_has_bf16()
                tqdm.write(said + " precision=bf16 is quicker on this one." * quicker, file=sys.stderr)

    def _when_due(self, step: int, bar: tqdm, stop: StopRequest) -> None:
        self._logged = self._logged or 0  # a step was taken
        self._background.collect()
        if step % self.log_every == 0 or step == 1:
            self._log(step, bar)
        if step == self.total:
            return
        late = time.perf_counter() - self._saved[1] > 60 * self.checkpoint["minutes"]
        cadences = (self.checkpoint["every"], self.preview_every, self.evaluate_every)
        saves, draws, evaluates = (bool(every) and step % every == 0 for every in cadences)
        self.trainer.gather(wanted=saves or late or draws or evaluates)
        if saves or late:
            self._save(step)
        if draws:
            self._preview(step, stop)
        if evaluates:
            self._evaluate(step, stop)

    def _log(self, step: int, bar: tqdm | None) -> None:
        self._logged = step
        self._check()
        line = self.recorder.record(step, learning_rate=self.trainer.learning_rate(), minutes=round(self.elapsed(), 3))
        self.guard.read(step, line)
        if bar is not None:
            losses = {key.removesuffix("/loss"): f"{value:.3g}" for key, value in line.items() if key.endswith("/loss")}
            bar.set_postfix({**losses, f"{self.unit}/s": f"{line['samples_per_second']:.0f}"}, refresh=False)

    def _check(self, *, alone: bool = False) -> None:
        try:
            self.trainer.losses.check(alone=alone)
        except Diverged as error:
            raise self._explained(error) from None

    def _explained(self, error: TrainingError) -> TrainingError:
        self._background.settle()  # the newest checkpoint may be on its way
        good = self.newest.path if self.newest else None
        back = f"The last good checkpoint is {good}." if good else "Nothing was saved yet."
        said = TrainingError(f"{error} {back} Try a smaller optimizer.lr or trainer.clip=1.")
        said.of_all_ranks = getattr(error, "of_all_ranks", False)
        return said

    def _preview(self, step: int, stop: StopRequest) -> None:
        if stop.signal:  # whoever stops us may not wait
            return
        drawn = None
        with stop.interrupting():  # the signal ends a slow preview at once; training waits unharmed between two steps
            drawn = self._draw_preview()
        if drawn is not None:
            about = {"step": str(step), "config": checkpoints.as_json(self.meta)}
            write = partial(self.previews.write, drawn, step, about)
            self._background.submit(write, partial(self._show, step, drawn))

    def _draw_preview(self) -> Drawn | None:
        with self.trainer.sampling() as model:
            return self.previews.draw(model)

    def _show(self, step: int, drawn: Drawn, writing: Future[Written]) -> None:
        """Show a preview that was written, or say that it was not."""
        try:
            written = writing.result()
        except OSError as error:
            tqdm.write(f"preview of step {step} not written: {error}", file=sys.stderr)
            return
        self.grid = written.name
        self.recorder.show(step, "samples", written)
        if drawn.samples is not None:
            self.guard.look(step, drawn.samples)

    def _evaluate(self, step: int, stop: StopRequest) -> bool:
        """Write the figures, and keep the checkpoint where it is the best so far; False where a signal broke it off."""
        if self.evaluation is None or self._evaluated == step:
            return True
        if stop.signal:
            return False
        values: dict[str, float] = {}
        with stop.interrupting():
            values = self.evaluation.measure(self.trainer)
        if not values:
            return False
        self._evaluated = step
        self.recorder.note(step, {f"{PREFIX}{name}": value for name, value in values.items()})
        tqdm.write(f"step {step:,}: " + ", ".join(f"{name} {value:.4g}" for name, value in values.items()))
        self._background.settle()  # the best so far may be on its way
        if self.evaluation.improves(values):
            self._save(step)
            self._background.submit(lambda: None, lambda _: self._remember(step, values))
        return True

    def _remember(self, step: int, values: Mapping[str, float]) -> None:
        if self.evaluation and self.newest and self.newest.step == step:  # the disk took it
            self.evaluation.remember(step, values)

    def _save(self, step: int, *, last: bool = False) -> None:
        """Copy the state and have it written; the last one is awaited."""
        self._background.settle()  # one checkpoint in memory at a time, and what it says of the one before is known
        if self._saved[0] == step and self.newest and self.newest.step == step:
            return
        self._check(alone=True)
        with self.trainer.sampling() as model:  # which fits the average's batch statistics
            weights = dict(model.state_dict())
        state = {"trainer": self.trainer.state_dict(), "minutes": self.elapsed()}
        (tensors, state), copied = checkpoints.snapshot((weights, state))  # of one memory, which they mostly share
        meta = {**self.meta, "step": step}
        keep = {"keep": self.checkpoint["keep"], "every_nth": self.checkpoint["milestone"], "spared": self._spared()}

        def write() -> Path:
            copied()
            return checkpoints.save(self.run.checkpoints, step, tensors, meta, state, **keep)

        self._saved = (step, time.perf_counter())
        self._background.submit(write, partial(self._note_save, step, meta, last))
        if last:
            self._background.settle()

    def _note_save(self, step: int, meta: Mapping[str, Any], last: bool, saving: Future[Path]) -> None:
        """Take into account that a checkpoint is on the disk, or that it is not."""
        try:
            path = saving.result()
        except checkpoints.SaveError as error:
            self._failed_saves += 1
            if last or self._failed_saves >= FAILED_SAVES:
                raise
            tqdm.write(f"{error} Training goes on; the next try is at the next checkpoint.", file=sys.stderr)
            return
        except TrainingError as error:  # weights that are not finite
            raise self._explained(error) from None
        self._failed_saves = 0
        self.newest = checkpoints.Checkpoint(path, step, dict(meta))
        self.guard.note(step)

    def _spared(self) -> list[int]:
        """Return the steps whose checkpoints stay: the best one, and the last one before samples became alike."""
        best = self.evaluation.step if self.evaluation else None
        return [*self.guard.spared(), *([] if best is None else [best])]
