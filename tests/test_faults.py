"""Kill, fill the disk, flip bytes: the newest whole checkpoint is always there. Real processes, real signals."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from aigc_cli import checkpoints
from aigc_cli.checkpoints.reading import STATE, WEIGHTS
from aigc_cli.errors import CheckpointError
from tests.toy_checkpoints import META, save

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(("mode", "least"), [("random", 20), ("each", 30)])
def test_a_save_that_is_killed_costs_nothing_older(tmp_path, mode, least):
    command = [sys.executable, "-m", "tests.kill_saves", mode, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["kills"] >= least
    assert result["left over"] == 0
    assert result.get("in the middle", 9) >= 5, f"too few kills hit a save: {result}"


class Disk:
    """Let so many bytes pass, then be full."""

    def __init__(self, room: int) -> None:
        self.room = room

    def open(self, path: Path, mode: str) -> io.BufferedIOBase:
        """Stand for Path.open."""
        disk = self

        class Limited(io.FileIO):
            def write(self, data) -> int:
                if disk.room <= 0:
                    raise OSError(28, "No space left on device")
                part = memoryview(data).cast("B")[: disk.room]
                disk.room -= len(part)
                return super().write(part) or 0

        return io.BufferedWriter(Limited(path, mode)) if "w" in mode else open(path, mode)  # type: ignore[return-value]


def written_here(tensors: dict[str, torch.Tensor], path: Path, meta: dict[str, str]) -> None:
    """Stand for safetensors.torch.save_file."""
    with path.open("wb") as file:
        file.write(safetensors.torch.save(tensors, meta))


def total_size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def test_a_disk_full_at_any_byte_leaves_the_old_and_no_litter(tmp_path, monkeypatch):
    size = total_size(save(tmp_path, 10))
    rooms = sorted({0, 1, size - 1, *range(0, size, max(1, size // 40))})
    for room in rooms:
        disk = Disk(room)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", lambda path, mode="r", disk=disk: disk.open(path, mode))
            patch.setattr(safetensors.torch, "save_file", written_here)  # its own writing goes past our disk
            for step in (20, 10):  # a new step, and one that is there
                with pytest.raises(checkpoints.SaveError, match=r"No space left on device\): it needs .* MB are free"):
                    save(tmp_path, step, keep=1)
        assert [entry.name for entry in tmp_path.iterdir()] == ["step-00000010"]
        assert checkpoints.latest(tmp_path, warn=pytest.fail).state()["step"] == 10  # type: ignore[union-attr]
    assert len(rooms) > 30
    save(tmp_path, 20, keep=1)
    assert [entry.name for entry in tmp_path.iterdir()] == ["step-00000020"]


def test_a_file_that_the_kernel_refuses_to_grow_is_a_save_error(tmp_path):
    import resource

    save(tmp_path, 10)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    big = {"w": torch.zeros(100_000)}
    for tensors, state in ((big, {}), ({"w": torch.zeros(1)}, big)):
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
        try:
            with pytest.raises(checkpoints.SaveError, match="File too large"):
                checkpoints.save(tmp_path, 20, tensors, META, state, keep=1)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [entry.name for entry in tmp_path.iterdir()] == ["step-00000010"]


@pytest.mark.parametrize("call", ["fsync", "rename", "mkdir"])
def test_whatever_the_disk_refuses_is_a_save_error(tmp_path, monkeypatch, call):
    save(tmp_path, 10)

    def refuse(*_: object, **__: object):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(f"os.{call}", refuse)
        with pytest.raises(checkpoints.SaveError, match="Input/output error"):
            save(tmp_path, 20, keep=1)
    assert [entry.name for entry in tmp_path.iterdir()] == ["step-00000010"]


def test_a_vanished_folder_is_made_again_or_reported(tmp_path):
    save(tmp_path / "run" / "checkpoints", 10)
    (tmp_path / "run").rename(tmp_path / "gone")
    save(tmp_path / "run" / "checkpoints", 20)
    (tmp_path / "run").rename(tmp_path / "gone too")
    (tmp_path / "run").write_text("a file is in the way")
    with pytest.raises(checkpoints.SaveError, match=r"step-00000030 could not be written \(Not a directory\)"):
        save(tmp_path / "run" / "checkpoints", 30)


def flip(file: Path, place: int, bit: int) -> None:
    with file.open("r+b") as opened:
        opened.seek(place)
        byte = opened.read(1)[0]
        opened.seek(place)
        opened.write(bytes([byte ^ (1 << bit)]))


def test_a_flipped_bit_is_found_wherever_it_is(tmp_path):
    path = save(tmp_path, 10)
    lone = tmp_path / "lone.safetensors"
    lone.write_bytes((path / WEIGHTS).read_bytes())
    chance = random.Random(1)
    for file, opened in ((path / WEIGHTS, path), (path / STATE, path), (lone, lone)):
        for _ in range(60):
            place, bit = chance.randrange(file.stat().st_size), chance.randrange(8)
            flip(file, place, bit)
            with pytest.raises(CheckpointError) as caught:
                checkpoints.resolve(opened).state() if file is not lone else checkpoints.resolve(opened)
            assert "\n" not in str(caught.value)
            flip(file, place, bit)
    assert checkpoints.resolve(path).state()["step"] == 10
    assert checkpoints.resolve(lone).step == 10


def test_of_many_processes_that_start_at_once_one_trains(tmp_path):
    script = (
        "import sys, time\n"
        "from tests.toy_commands import composed\n"
        "from aigc_cli.runs import Run\n"
        "from aigc_cli.errors import ConfigError\n"
        "sys.stdin.readline()\n"
        "try: run = Run.open(composed(), sys.argv[1])\n"
        "except ConfigError as error: print(error)\n"
        "else: print('mine', flush=True); sys.stdin.readline()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "run")]
    pipe = subprocess.PIPE
    started = [subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) for _ in range(4)]
    for process in started:
        process.stdin.write("\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
    said = [process.stdout.readline().strip() for process in started]  # type: ignore[union-attr]
    for process in started:
        process.communicate("\n")
    assert said.count("mine") == 1
    assert sum("is already being trained by" in line for line in said) == 3
