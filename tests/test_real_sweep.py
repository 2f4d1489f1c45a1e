"""A sweep of real trainings in parallel processes: run, compared, and started again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
JOBLIB = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
SUBMITIT = ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5"]
SWEEP = ["model=gan,vae", "steps=2", "data.count=200", "data.workers=0", "preview.tensorboard=false", "preview.n=4"]


def run(place: Path, launcher: list[str]) -> subprocess.CompletedProcess[str]:
    known = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(known), "AIGC_CACHE": str(place / "cache")}
    command = [sys.executable, "-m", "aigc_cli", "train", "-m", *launcher, *SWEEP]
    return subprocess.run(command, cwd=place, env=variables, capture_output=True, text=True, check=False, timeout=500)


def test_models_side_by_side_in_two_processes(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="the extra 'parallel' is not installed")
    first = run(tmp_path, JOBLIB)
    assert first.returncode == 0, first.stderr
    runs = {path.name for path in (tmp_path / "outputs").iterdir()}
    assert len(runs) == 3
    (page,) = (tmp_path / "outputs" / "sweeps").glob("*/index.html")
    assert page.read_text().count("data:image/") == 2  # the last grid of each
    again = run(tmp_path, JOBLIB)
    assert again.returncode == 0
    assert again.stdout.count("is finished: 2 steps") == 2


def test_jobs_without_a_screen_say_where_they_write(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="the extra 'slurm' is not installed")
    done = run(tmp_path, SUBMITIT)
    assert done.returncode == 0, done.stderr
    (sweep,) = (tmp_path / "outputs" / "sweeps").iterdir()
    assert f"the jobs write to {sweep.relative_to(tmp_path)}/.submitit/*/*_log.out" in done.stdout
    logs = [log.read_text() for log in sweep.glob(".submitit/*/*_log.out")]
    assert sum("finished at step 2" in log for log in logs) == 2
    assert len(list(sweep.glob("jobs/*.json"))) == 2
    assert "compare: outputs/sweeps/" in done.stdout
