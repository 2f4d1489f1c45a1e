"""A run's folder is a function of its command; one process owns it; the same command continues it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aigc_cli.errors import ConfigError
from aigc_cli.runs import Run, locks, read_config, read_summary
from aigc_cli.runs.log import read_metrics
from aigc_cli.runs.settings import ABSENT, differing, flatten
from tests.toy_commands import composed


def test_a_mistake_found_late_leaves_no_litter_and_the_old_run_in_place(tmp_path):
    def start(restart: bool, mistake: type[Exception], step: int = 0) -> None:
        with contextlib.suppress(mistake), Run.open(composed(), tmp_path / "a", restart=restart) as run:
            if step:
                run.log({"step": step})
            raise mistake("init: no such checkpoint")

    start(False, ConfigError)
    assert not list(tmp_path.iterdir())
    start(False, RuntimeError, step=5)  # training had begun
    start(True, ConfigError)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]
    start(False, ConfigError)  # continues
    assert read_metrics(tmp_path / "a" / "metrics.jsonl") == [{"step": 5}]
    start(True, RuntimeError)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a", "a.old-1"]


def test_settings_compare_by_value_and_type():
    assert differing({"a": 1, "b": {"c": [1]}}, {"a": 1.0, "b": {"c": [1.0]}}) == {}
    assert differing({"a": 1}, {"a": True}) == {"a": (1, True)}
    assert differing({}, {"a": {"b": None}}) == {"a.b": (ABSENT, None)}
    assert differing({"log": 1, "log_every": 1}, {"log": 2, "log_every": 2}, ["log"]) == {"log_every": (1, 2)}
    assert flatten({"a": {"b": {}, "c": (1, 2)}}) == {"a.b": {}, "a.c": [1, 2]}


def test_a_new_run_keeps_its_config_and_continues(tmp_path):
    folder = tmp_path / "outputs" / "gan-glyphs"
    with Run.open(composed("optimizer.lr=1e-5"), folder) as run:
        assert not run.continues
        assert run.checkpoints.is_dir()
        assert run.samples.is_dir()
    stored = read_config(folder)
    assert stored["config"]["optimizer"]["lr"] == 1e-5
    assert stored["command"] == ["aigc", "train", "optimizer.lr=1e-5"]
    assert stored["choices"]["model"] == "gan"
    with Run.open(composed("optimizer.lr=1e-5", "steps=200"), folder) as run:
        assert run.continues
    assert read_config(folder)["config"]["steps"] == 200


def test_changed_settings_are_named_with_the_way_out(tmp_path):
    Run.open(composed("name=a"), tmp_path / "a").close()
    before = (tmp_path / "a" / "config.yaml").read_bytes()
    with pytest.raises(ConfigError) as caught:
        Run.open(composed("name=a", "model.z_dim=8", 'data.augment=["flip"]', "steps=9"), tmp_path / "a")
    assert "data.augment: [] -> [flip]; model.z_dim: 64 -> 8" in str(caught.value)
    assert "restart=true" in str(caught.value)
    assert "name=" in str(caught.value)
    assert "steps" not in str(caught.value)
    assert (tmp_path / "a" / "config.yaml").read_bytes() == before
    Run.open(composed("name=a"), tmp_path / "a").close()  # the refused one let go of the lock


def test_steps_are_frozen_where_the_schedule_decays(tmp_path):
    cosine = "schedule.name=cosine"
    Run.open(composed(cosine), tmp_path / "a").close()
    with pytest.raises(ConfigError, match=r"steps: 100 -> 200 \(the cosine schedule falls over them"):
        Run.open(composed(cosine, "steps=200"), tmp_path / "a")


def test_restart_moves_the_old_run_aside(tmp_path):
    for seed in range(3):
        with Run.open(composed(f"seed={seed}"), tmp_path / "a", restart=True) as run:
            assert not run.continues
            run.log({"step": 1, "loss": float(seed)})
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a", "a.old-1", "a.old-2"]
    losses = [read_metrics(tmp_path / name / "metrics.jsonl")[0]["loss"] for name in ("a.old-1", "a.old-2", "a")]
    assert losses == [0.0, 1.0, 2.0]


def test_two_processes_cannot_own_one_run(tmp_path):
    with Run.open(composed(), tmp_path / "a"):
        for restart in (False, True):
            with pytest.raises(ConfigError, match=rf"process {os.getpid()} on .* since \d{{4}}-"):
                Run.open(composed(), tmp_path / "a", restart=restart)
    assert not (tmp_path / "a.old-1").exists()


def _try_for_a_while(action, seconds=5.0):
    """Repeat what a process that is still starting may refuse."""
    end = time.monotonic() + seconds
    while True:
        try:
            return action()
        except ConfigError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def test_the_lock_falls_with_its_process_and_is_not_kept_by_workers(tmp_path):
    script = (
        "import os, sys, time; from aigc_cli.runs.locks import FolderLock\n"
        "from pathlib import Path\n"
        "lock = FolderLock(Path(sys.argv[1]))\n"
        "child = os.fork()\n"
        "if child == 0: time.sleep(60)\n"
        "print(child, flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    worker = int(process.stdout.readline())
    try:
        with pytest.raises(ConfigError, match=f"process {process.pid}"):
            locks.FolderLock(tmp_path)
        process.kill()
        process.wait()
        _try_for_a_while(lambda: locks.FolderLock(tmp_path).release())  # though the forked worker lives on
    finally:
        os.kill(worker, 9)
        process.stdout.close()


def test_a_lock_of_a_folder_moved_aside_does_not_count(tmp_path, monkeypatch):
    folder = tmp_path / "a"
    folder.mkdir()
    real, moves = locks.FolderLock._lock, []

    def move_then_lock(self, descriptor):
        if not moves:
            moves.append(folder.rename(tmp_path / "b"))
            folder.mkdir()
        return real(self, descriptor)

    monkeypatch.setattr(locks.FolderLock, "_lock", move_then_lock)
    lock = locks.FolderLock(folder)
    assert json.loads((folder / ".lock").read_text())["pid"] == os.getpid()
    lock.release()


def test_unwritable_places_leave_no_litter(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "run", tmp_path / "file", Path("/proc/aigc/run"), tmp_path / ("x" * 300)):
        with pytest.raises(ConfigError, match="cannot be written"):
            Run.open(composed(), place)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_probe_that_fails_takes_the_new_folders_with_it(tmp_path, monkeypatch):
    def full(*_: object, **__: object):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(ConfigError, match="No space left on device"):
        Run.open(composed(), tmp_path / "outputs" / "deep" / "run")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"photo\.jpg but no config\.yaml"):
        Run.open(composed(), tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["photo.jpg"]


@pytest.mark.parametrize("damage", ["\0\1", "[1, 2", "- a", "", "config: 3", "!!python/object:os.system {}"])
def test_a_damaged_config_is_one_line(tmp_path, damage):
    Run.open(composed(), tmp_path / "a").close()
    (tmp_path / "a" / "config.yaml").write_text(damage)
    with pytest.raises(ConfigError, match=r"config\.yaml.*restart=true") as caught:
        Run.open(composed(), tmp_path / "a")
    assert "\n" not in str(caught.value)
    Run.open(composed(), tmp_path / "a", restart=True).close()


def test_summary_is_written_whole_and_read_back(tmp_path):
    with Run.open(composed(), tmp_path / "a") as run:
        assert run.summary is None
        run.summarise("failed", step=3, minutes=0.123456, error="disk")
        assert run.summary == {"status": "failed", "objective": None, "step": 3, "minutes": 0.12, "error": "disk",
                               "grid": None, "use": None}  # fmt: skip
    (tmp_path / "a" / "summary.json").write_text("{")
    assert read_summary(tmp_path / "a") is None


def test_runs_need_no_torch():
    script = "import sys, aigc_cli.runs; sys.exit('torch' in sys.modules or 'hydra' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
