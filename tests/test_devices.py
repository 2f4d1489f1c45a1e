"""What a device is given before anything is computed on it."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest
import torch

from aigc_cli.devices import Device, choose

FAULTS = """
import resource, sys
import torch
from aigc_cli.devices import choose
choose("cpu", "fp32")
def use():
    torch.ones(10 << 20)  # 40 MB: more than glibc learns to keep by itself
for _ in range(8):
    use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

SMALL = """
import torch
from aigc_cli.devices import choose
torch.set_num_threads(2)
choose("cpu", "fp32")
print(int((torch.full((1 << 20,), 1e-30) * 1e-10).count_nonzero()))
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="of processors that torch can tell so")
def test_numbers_too_small_for_the_processor_are_zero_in_all_threads():
    assert subprocess.run([sys.executable, "-c", SMALL], check=True, capture_output=True, text=True).stdout == "0\n"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc's allocator alone")
@pytest.mark.parametrize(("told", "anew"), [({}, False), ({"MALLOC_MMAP_THRESHOLD_": "131072"}, True)])
def test_freed_memory_is_kept_for_the_next_tensors_unless_somebody_has_told_otherwise(told, anew, monkeypatch):
    for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"):
        monkeypatch.delenv(name, raising=False)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    faults = int(subprocess.run([sys.executable, "-c", FAULTS], check=True, capture_output=True, text=True).stdout)
    pages = 4 * (10 << 20) * 4 // 4096
    assert (faults > pages / 2) if anew else (faults < pages / 50)


@pytest.mark.parametrize(("exact", "within"), [(False, "high"), (True, "highest")])
def test_products_are_rounded_in_training_unless_they_are_to_be_exact(exact, within):
    before = torch.get_float32_matmul_precision()
    with Device(torch.device("cuda"), "fp32", exact=exact).rounding_products():
        assert torch.get_float32_matmul_precision() == within
    assert torch.get_float32_matmul_precision() == before == "highest"


def test_deterministic_training_is_exact_on_a_gpu(monkeypatch):
    monkeypatch.setattr("aigc_cli.devices._device", torch.device)
    monkeypatch.setattr("torch.cuda.set_device", lambda device: None)
    monkeypatch.setattr("torch.use_deterministic_algorithms", lambda wanted: None)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    for name in ("benchmark", "allow_tf32"):
        monkeypatch.setattr(torch.backends.cudnn, name, getattr(torch.backends.cudnn, name))  # as it was, afterwards
    for wanted in (True, False):
        assert choose("cuda", "fp32", deterministic=wanted).exact == wanted
        assert torch.backends.cudnn.allow_tf32 != wanted
