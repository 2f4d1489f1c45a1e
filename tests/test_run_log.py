"""A run's figures survive kills and full disks, and are cut back to the step that training goes on from."""

from __future__ import annotations

from pathlib import Path

import pytest

from aigc_cli.files import atomic_write
from aigc_cli.runs import Run
from aigc_cli.runs.log import read_metrics
from tests.toy_commands import composed


def test_metrics_are_cut_back_to_the_resumed_step(tmp_path):
    with Run.open(composed(), tmp_path / "a") as run:
        for step in range(1, 11):
            run.log({"step": step, "loss": step / 3})
    path = tmp_path / "a" / "metrics.jsonl"
    whole = path.read_bytes()
    with path.open("ab") as file:
        file.write(b'{"step": 11, "lo')  # a kill came here
    assert len(read_metrics(path)) == 10
    with Run.open(composed(), tmp_path / "a") as run:
        run.rewind(6)
        for step in range(7, 11):
            run.log({"step": step, "loss": step / 3})
    assert path.read_bytes() == whole


def test_numbers_that_json_lacks_become_null(tmp_path):
    with Run.open(composed(), tmp_path / "a") as run:
        run.log({"step": 1, "loss": float("nan"), "rate": 1e-5})
    assert read_metrics(tmp_path / "a" / "metrics.jsonl") == [{"step": 1, "loss": None, "rate": 1e-5}]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_costs_lines_and_one_warning_never_the_training(tmp_path):
    warnings = []
    with Run.open(composed(), tmp_path / "a", warn=warnings.append) as run:
        run.log({"step": 1})
        run.metrics.close()
        path = tmp_path / "a" / "metrics.jsonl"
        path.rename(tmp_path / "a" / "kept")
        path.symlink_to("/dev/full")
        run.log({"step": 2})
        run.log({"step": 3})
        run.metrics.close()
        path.unlink()
        (tmp_path / "a" / "kept").rename(path)
        run.log({"step": 4})
    assert [line["step"] for line in read_metrics(path)] == [1, 4]
    assert len(warnings) == 1
    assert "training goes on" in warnings[0]


def test_a_line_cut_short_spoils_no_other(tmp_path, monkeypatch):
    import io

    class Short(io.FileIO):
        def write(self, data):
            return super().write(data[:5] if b'"step": 2' in data else data)

    monkeypatch.setattr("aigc_cli.runs.log.FileIO", Short)
    warnings = []
    with Run.open(composed(), tmp_path / "a", warn=warnings.append) as run:
        for step in (1, 2, 3):
            run.log({"step": step})
    assert [line["step"] for line in read_metrics(tmp_path / "a" / "metrics.jsonl")] == [1, 3]
    assert len(warnings) == 1


def test_atomic_write_keeps_the_old_file_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "file"
    atomic_write(path, b"old")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        atomic_write(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
