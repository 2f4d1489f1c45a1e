"""Watch some steps of a training: count, warm up, measure, trace; then train on as if nobody had looked."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import torch
from torch.autograd.profiler import record_function
from torch.profiler import ProfilerActivity, profile

from aigc_cli.files import atomic_write
from aigc_cli.profiling.arithmetic import Products, product_rate
from aigc_cli.profiling.operations import operations_of
from aigc_cli.profiling.report import Figures, hint, lines
from aigc_cli.profiling.spans import STEP, Stopwatch, unmeasured
from aigc_cli.trainer import Trainer

WARM_UP = 4  # steps after the counted ones: caches fill, kernels are chosen
MEASURED = 24  # steps at least
STATUS = Path("/proc/self/status")
MOST_COUNTED = 48  # steps: a cycle of phases may be long
TRACED, MOST_TRACED = 3, 6  # steps: a trace of many opens in no viewer


class Profile:
    """Divide a training's next steps into those that are counted, measured and traced.

    Nothing that is done here draws a random number or touches a tensor of the model: its weights come out the same, bit
    for bit. Previews and checkpoints between two steps are not counted in.
    """

    def __init__(
        self,
        trainer: Trainer,
        folder: Path,
        *,
        unit: str,
        batch_size: int,
        channels_last: bool,
        say: Callable[[str], object],
    ) -> None:
        self.trainer, self.folder, self.say = trainer, folder, say
        self.unit, self.batch_size, self.channels_last = unit, batch_size, channels_last
        cycle = min(math.lcm(*(phase.every for phase in trainer.phases)), MOST_COUNTED)
        measured = -(-MEASURED // cycle) * cycle  # whole cycles: every phase is in it as often as in all of training
        self._counted, self._warm, self._measured = cycle, cycle + WARM_UP, cycle + WARM_UP + measured
        self.last = self._measured + min(max(cycle, TRACED), MOST_TRACED)
        self.taken = 0
        self._products, self._watch = Products(), Stopwatch(trainer.device.torch)
        self._profiler: profile | None = None
        self._figures: Figures | None = None

    @property
    def _on_gpu(self) -> bool:
        return self.trainer.device.torch.type == "cuda"

    @property
    def over(self) -> bool:
        """Tell whether there is nothing left to watch."""
        return self.taken > self.last

    @contextmanager
    def step(self) -> Iterator[None]:
        """Watch one step, from its batch to the last of its updates."""
        self._begin()
        with self._watching(), self.trainer.span(STEP):
            yield
            self._wait_for_kernels()
        self.taken += 1
        if self.taken == self._measured:
            self._measure()
        if self.taken == self.last:
            self.close()

    def close(self) -> None:
        """Write what was found, and let go; of a training that ends before, as much as there is. Never fails."""
        if self.over:
            return
        traced = self.taken - self._measured
        self.trainer.span, self.taken = unmeasured, self.last + 1
        try:
            if self._profiler:
                self._profiler.stop()
            if self._figures and self._profiler and traced > 0:
                self._write(self._figures, self._profiler, traced)
            else:
                self.say(f"profile: not written: it takes {self.last} steps in one go, and this start ended before.")
        except (OSError, RuntimeError) as error:  # of the disk; of a device whose own error is on its way
            self.say(f"profile: not written: {error}")

    def _write(self, figures: Figures, profiler: profile, traced: int) -> None:
        operations = operations_of(profiler, traced, on_gpu=self._on_gpu)
        told = {**figures.told(), "operations": operations.told(), "hint": hint(figures, operations)}
        trace = self.folder / "profile" / "trace.json.gz"
        trace.parent.mkdir(parents=True, exist_ok=True)
        try:
            profiler.export_chrome_trace(str(trace))
        except (OSError, RuntimeError):
            trace.unlink(missing_ok=True)  # half of one opens nowhere
            raise
        atomic_write(self.folder / "profile.json", (json.dumps(told, indent=1) + "\n").encode())
        self.say("\n".join(lines(figures, operations, self.folder)))

    def _begin(self) -> None:
        """Start what the next step begins."""
        if self.taken == self._warm:
            self.trainer.span = self._watch.span
            if self._on_gpu:
                torch.cuda.reset_peak_memory_stats(self.trainer.device.torch)
        if self.taken == self._measured:
            self.trainer.span = record_function
            activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if self._on_gpu else [])]
            self._profiler = profile(activities=activities, acc_events=True)  # or it warns of more cycles
            self._profiler.start()
        self._wait_for_kernels()

    def _wait_for_kernels(self) -> None:
        """Let no kernel run in another traced step than the one that started it."""
        if self._profiler and self._on_gpu:
            torch.cuda.synchronize(self.trainer.device.torch)

    def _watching(self) -> AbstractContextManager[object]:
        return self._products if self.taken < self._counted else unmeasured("")

    def _measure(self) -> None:
        """Gather what the measured steps showed."""
        try:
            self._figures = self._measured_figures()
        except torch.OutOfMemoryError:
            self.trainer.span, self.taken = unmeasured, self.last + 1
            self.say("profile: not written: no memory is left for a matrix product to compare with.")

    def _measured_figures(self) -> Figures:
        trainer = self.trainer
        steps = self._measured - self._warm
        return Figures(
            device=str(trainer.device), precision=trainer.device.precision, kind=trainer.device.torch.type,
            first=trainer.steps - steps + 1, steps=steps, batch_size=self.batch_size, accumulate=trainer.accumulate,
            unit=self.unit, seconds=self._watch.seconds(), memory=peak_memory(trainer.device.torch),
            flops=self._products.flops / self._counted, rate=product_rate(trainer.device),
            maps=any(parameter.ndim == 4 for parameter in trainer.model.parameters()),
            channels_last=self.channels_last,
        )  # fmt: skip


def peak_memory(device: torch.device) -> int | None:
    """Return the bytes that the device gave at most; of a CPU, all that the process ever held; None: nobody knows."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if STATUS.exists():  # of Linux; its getrusage would count what the process that started this one held
        return 1024 * int(STATUS.read_text().partition("VmHWM:")[2].split()[0])
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes, of macOS
