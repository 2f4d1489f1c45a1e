"""Choose where and in which precision to compute."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from aigc_cli import compiled
from aigc_cli.distributed import Ranks, ranks
from aigc_cli.errors import ConfigError, TrainingError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Device:
    """Pair a torch device with the precision that autocast uses on it."""

    torch: torch.device
    precision: str  # "fp32", "bf16" or "fp16"
    exact: bool = False  # whether CUDA leaves the factors of fp32 products as they are

    def autocast(self) -> torch.autocast:
        """Return the context of a forward pass; disabled in fp32."""
        return torch.autocast(self.torch.type, DTYPES[self.precision], enabled=self.precision != "fp32")

    @contextmanager
    def rounding_products(self) -> Iterator[None]:
        """Let CUDA round factors of fp32 products to TF32, as in convolutions: in training; figures stay exact."""
        if self.torch.type != "cuda" or self.exact:
            yield
            return
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)

    def __str__(self) -> str:
        name = torch.cuda.get_device_name(self.torch) if self.torch.type == "cuda" else self.torch.type.upper()
        count = torch.get_num_threads()
        threads = f", {count} thread{'s' * (count > 1)}" if self.torch.type == "cpu" else ""
        return f"{name}{threads}, {self.precision}"


@contextmanager
def explaining_memory(device: torch.device, batch_size: int) -> Iterator[None]:
    """Say what to type where samples do not fit into the device's memory."""
    try:
        yield
    except torch.OutOfMemoryError:
        smaller = max(1, batch_size // 4)
        said = f"{device}: out of memory with {batch_size} samples at once. Type batch_size={smaller} or device=cpu."
        raise TrainingError(said) from None


def choose(device: str, precision: str, *, deterministic: bool = False) -> Device:
    """Resolve `auto`: CUDA, then MPS, then CPU; bf16 on GPUs that have it, fp32 elsewhere."""
    chosen = _device(device)
    if chosen.type == "cpu":
        keep_freed_memory()
        # Below 1e-38 processors are many times slower, and Adam's averages of what no longer learns decay through it:
        # after 700 steps a VAE's would take 1.5 times as long. Torch's threads inherit this: it comes before the first.
        torch.set_flush_denormal(True)
    if precision == "auto":
        precision = "bf16" if chosen.type == "cuda" and torch.cuda.is_bf16_supported(False) else "fp32"
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
        torch.backends.cudnn.benchmark = torch.backends.cudnn.allow_tf32 = not deterministic
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if deterministic != torch.are_deterministic_algorithms_enabled():  # the call imports torch's compiler: a second
        torch.use_deterministic_algorithms(deterministic)
    return Device(chosen, precision, exact=deterministic)


def _device(name: str) -> torch.device:
    here = ranks()
    if here.world > 1 and (name == "cuda" or (name == "auto" and torch.cuda.is_available())):
        return _of_rank(here)
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"device: given {name!r}, allowed: auto, cpu, cuda, cuda:N, mps. Type device=auto.") from None
    if here.world > 1 and chosen.type != "cpu":
        raise ConfigError(
            f"device: given {name!r}, but each of {here.world} processes takes its own. Type device=cuda."
        )
    if chosen.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (chosen.index or 0) >= count:
            raise ConfigError(f"device: given {name!r}, but this machine has {count} CUDA devices. Type device=auto.")
        return torch.device("cuda", chosen.index or 0)
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("device: given 'mps', which this machine has not. Type device=auto.")
    if chosen.type not in ("cpu", "mps"):
        raise ConfigError(f"device: given {name!r}, allowed: auto, cpu, cuda, cuda:N, mps. Type device=auto.")
    return chosen


def _of_rank(here: Ranks) -> torch.device:
    """Return the GPU of a rank: its own."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if here.local_rank >= count:
        told = f"{here.local_world} processes were started on this machine, which has {count} CUDA devices"
        raise ConfigError(f"device: {told}. Type torchrun --nproc-per-node={count or 1}, or device=cpu.")
    return torch.device("cuda", here.local_rank)


def keep_freed_memory() -> None:
    """Let the C library keep what tensors free for the next ones, where it is glibc and nobody has told it otherwise.

    By default it hands large blocks back to the system and gets them anew, zeroed page by page, in every layer: in each
    step of a small U-Net over ten thousand pages, which is 4 to 7 % of its time.
    """
    told = any(name in os.environ for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"))
    if platform.libc_ver()[0] == "glibc" and not told:
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, 1 << 30)
        library.mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)


def warn_of_slow_bf16(device: Device) -> None:
    """Say so where bf16 was asked of a CPU without the instructions: it is 7 to 15 times slower there than fp32."""
    if device.torch.type == "cpu" and device.precision == "bf16" and not cpu_has_bf16():
        said = "precision=bf16: this CPU has no bf16 instructions; expect it to be many times slower than fp32."
        print(f"aigc: {said}", file=sys.stderr, flush=True)


def cpu_has_bf16() -> bool:
    """Tell whether this CPU multiplies matrices of bf16 by instructions of its own."""
    capability = torch.backends.cpu.get_cpu_capability()
    return capability not in ("DEFAULT", "AVX2", "NO AVX") and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _of_parts(error: Exception, where: str) -> TrainingError | None:
    """Say that a model does not work in parts: it takes gradients of gradients, or weights from outside their layer."""
    if isinstance(error, TrainingError):
        return None
    first = str(error).splitlines()[0]
    return TrainingError(
        f"ranks.shard=true: {where}: this model cannot be split: a penalty on "
        f"gradients, or a network that takes weights from outside their layer ({first}). "
        "Type ranks.shard=false."
    )


def explained(error: Exception, where: str, config: Mapping[str, Any], device: Device) -> TrainingError | None:
    """Turn what a device lacks, memory above all, into a line that says what to type; None for every other error."""
    text = str(error).lower()
    if config["trainer"]["deterministic"] and "deterministic" in text:
        said = "trainer.deterministic=true: the model takes a step that has no deterministic form on this device."
        return TrainingError(f"{said} Type trainer.deterministic=false.")
    if ("out of memory" not in text and "allocate memory" not in text) or "not allocated yet" in text:
        in_parts = config["ranks"]["shard"] and ranks().world > 1
        return _of_parts(error, where) if in_parts else compiled.explained(error, config["trainer"])
    size, parts = config["batch_size"], config["trainer"]["accumulate"]
    return TrainingError(
        f"out of memory at {where} with batch_size={size} in {device.precision}. Type trainer.accumulate={2 * parts} "
        f"(less at a time), batch_size={max(1, size // 2)}, precision=bf16, or a smaller model."
    )
