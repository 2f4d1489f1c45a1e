"""One thread a process: the suite runs on as many processes as there are cores."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def _small_numbers() -> Iterator[None]:
    """Leave the processor as it was: a training tells it to take tiny numbers for zero."""
    yield
    if torch := sys.modules.get("torch"):
        torch.set_flush_denormal(False)
