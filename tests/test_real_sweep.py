"""A sweep of real trainings in parallel processes: run, compared, and started again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SWEEP = ["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "model=gan,vae", "steps=2", "data.count=200",
         "data.workers=0", "preview.tensorboard=false", "preview.n=4"]  # fmt: skip


def run(place: Path) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "AIGC_CACHE": str(place / "cache")}
    command = [sys.executable, "-m", "aigc_cli", "train", *SWEEP]
    return subprocess.run(command, cwd=place, env=variables, capture_output=True, text=True, check=False, timeout=500)


def test_models_side_by_side_in_two_processes(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="the extra 'parallel' is not installed")
    first = run(tmp_path)
    assert first.returncode == 0, first.stderr
    runs = {path.name for path in (tmp_path / "outputs").iterdir()}
    assert len(runs) == 3
    (page,) = (tmp_path / "outputs" / "sweeps").glob("*/index.html")
    assert page.read_text().count("data:image/") == 2  # the last grid of each
    again = run(tmp_path)
    assert again.returncode == 0
    assert again.stdout.count("is finished: 2 steps") == 2
