"""Killed, interrupted, raced, out of room: a pack is whole or is not there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from packs import glyphs_node, litter

from aigc_cli.data.pack import open_data

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]


def start(data: dict, *, before: str = "") -> subprocess.Popen:
    """Open a data node in a process of its own, which prints whether it packed."""
    code = (
        f"import json, sys\nfrom aigc_cli.data import DATASETS\nDATASETS['dots'] = 'packs:Dots'\n{before}\n"
        "from aigc_cli.data.pack import open_data\nfrom aigc_cli.errors import DataError\n"
        "if __name__ == '__main__':\n"
        "    try: print('fresh' if open_data(json.loads(sys.argv[1])).fresh else 'found')\n"
        "    except DataError as error: sys.exit(f'aigc: {error}')\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-c", code, json.dumps(data)]
    return subprocess.Popen(command, stdout=-1, stderr=-1, text=True, env=environment, cwd=ROOT)


def until(condition, process: subprocess.Popen, seconds: float = 60) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.01)


def alive(process: Path) -> bool:
    try:
        return (process / "stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_an_interrupt_leaves_nothing_and_the_next_start_packs(cache, dots):
    with pytest.raises(KeyboardInterrupt):
        open_data(dots(cache, faults={"5": "interrupt"}))
    assert [name for name in os.listdir(cache) if not name.startswith(".lock-")] == []
    assert open_data(dots(cache)).fresh


@pytest.mark.parametrize("next_one", ["the same", "another"])
def test_kill_9_while_packing_leaves_nothing_broken_and_the_next_start_sweeps(cache, dots, next_one):
    process = start(dots(cache, count=200, faults={"150": "slow", "160": "slow", "170": "slow"}))
    until(lambda: list(cache.glob(".packing-*/train.samples")), process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    (left,) = cache.glob(".packing-*")
    assert [path.name for path in cache.glob("[!.]*")] == []
    opened = open_data(dots(cache, count=200) if next_one == "the same" else glyphs_node(cache))
    assert opened.fresh
    assert opened.damage() == []
    assert not left.exists()
    assert litter(cache) == []


def test_workers_die_with_a_parent_that_was_killed(cache, dots):
    slow = {str(index): "slow" for index in range(600)}
    process = start(dots(cache, count=600, faults=slow, workers=2))
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not children.exists():
        process.kill()
        process.communicate()
        pytest.skip("this system does not list a process's children")
    until(lambda: len(children.read_text().split()) >= 3, process)  # two workers and multiprocessing's tracker
    time.sleep(1)
    workers = [Path("/proc") / child for child in children.read_text().split()]
    process.kill()
    limit = time.monotonic() + 30
    while any(alive(worker) for worker in workers):
        assert time.monotonic() < limit
        time.sleep(0.1)
    process.communicate()


def test_two_processes_pack_once(cache, dots):
    data = dots(cache, count=20, faults={"10": "slow"})
    first = start(data)
    until(lambda: list(cache.glob(".packing-*")), first)
    second = start(data)
    answers = [process.communicate(timeout=60) for process in (first, second)]
    assert [out.strip() for out, _ in answers] == ["fresh", "found"]
    assert answers[1][1] in ("aigc: another process is packing these data: waiting for it.\n", "")
    assert litter(cache) == []


def test_a_pack_being_written_is_not_swept_by_another_data_set(cache, dots):
    process = start(dots(cache, count=20, faults={str(index): "slow" for index in range(3)}))
    until(lambda: list(cache.glob(".packing-*")), process)
    assert open_data(glyphs_node(cache)).fresh
    assert process.communicate(timeout=60)[0].strip() == "fresh"


def test_a_disk_that_fills_up_is_one_line_and_leaves_nothing(cache):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))"
    process = start(glyphs_node(cache, count=1000), before=limit)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 1, error
    line = f"aigc: data.cache: cannot write to '{cache}' (File too large). Type data.cache= and a folder with room.\n"
    assert (out, error) == ("", line)
    assert litter(cache) == []
