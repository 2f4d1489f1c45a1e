"""A run's folder is a function of its command; one process owns it; the same command continues it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aigc_cli import locks
from aigc_cli.errors import ConfigError
from aigc_cli.files import atomic_write
from aigc_cli.run_log import read_metrics
from aigc_cli.run_names import SLUG_LENGTH
from aigc_cli.run_settings import ABSENT, differing, flatten
from aigc_cli.runs import Run, read_config, read_summary, run_directory
from hypothesis import given
from hypothesis import strategies as st

DEFAULTS = {
    "steps": 100, "name": None, "restart": False, "init": None, "batch_size": 64, "seed": 0, "log_every": 50,
    "model": {"name": "gan", "z_dim": 64, "width": 32, "generator": {"name": "mlp", "depth": 2}},
    "data": {"name": "glyphs", "root": None, "augment": [], "workers": None},
    "optimizer": {"name": "adam", "lr": 1e-3, "phases": {"critic": {"lr": 4e-4}}},
    "trainer": {"ema": 0.0},
}  # fmt: skip


@dataclass
class FakeComposed:
    """Stand for compose.Composed, which needs Hydra."""

    config: dict[str, Any]
    defaults: dict[str, Any] = field(default_factory=lambda: DEFAULTS)
    choices: dict[str, str | None] = field(
        default_factory=lambda: {"model": "gan", "data": "glyphs", "optimizer": "adam", "recipe": None}
    )
    overrides: list[str] = field(default_factory=list)
    swept: tuple[str, ...] = ()
    verb: str = "train"


def composed(*overrides: str, swept: tuple[str, ...] = (), **choices: str | None) -> Any:
    """Return what `aigc train OVERRIDES` composes, near enough."""
    config = json.loads(json.dumps(DEFAULTS))
    made = FakeComposed(config, overrides=list(overrides), swept=swept)
    made.choices.update(choices)
    for override in overrides:
        key, _, value = override.partition("=")
        if key in made.choices:
            made.choices[key] = value
            continue
        *parents, last = key.split(".")
        node = config
        for parent in parents:
            node = node[parent]
        try:
            node[last] = json.loads(value)
        except ValueError:
            node[last] = value
    return made


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ([], "gan-glyphs"),
        (["model=dcgan", "data=celeba"], "dcgan-celeba"),
        (["steps=5000", "log_every=7", "restart=true", "data.workers=3"], "gan-glyphs"),
        (["batch_size=64"], "gan-glyphs"),  # says what is the default anyway
        (["model.z_dim=8"], "gan-glyphs-z_dim_8"),
        (["batch_size=32", "model.z_dim=8"], "gan-glyphs-batch_size_32-z_dim_8"),
        (["model.z_dim=8", "batch_size=32"], "gan-glyphs-batch_size_32-z_dim_8"),
        (["optimizer.lr=2e-4"], "gan-glyphs-optimizer.lr_0.0002"),
        (["optimizer.phases.critic.lr=1e-05"], "gan-glyphs-critic.lr_1e-05"),
        (["optimizer=sgd"], "gan-glyphs-optimizer_sgd"),
        (["recipe=mnist_dcgan"], "mnist_dcgan"),
        (["recipe=mnist_dcgan", "data=celeba"], "mnist_dcgan-data_celeba"),
        (["data.augment=[\"flip\",\"crop\"]"], "gan-glyphs-augment_flip-crop"),
        (["trainer.ema=0.999"], "gan-glyphs-ema_0.999"),
        (["name=first"], "first"),
    ],
)  # fmt: skip
def test_folder_is_named_after_what_the_user_set(overrides, name):
    assert run_directory(composed(*overrides), "outputs") == Path("outputs") / name


def test_swept_keys_enter_the_name_even_at_their_default():
    assert run_directory(composed("seed=0", swept=("seed",)), "o").name == "gan-glyphs-seed_0"
    assert run_directory(composed("steps=7", swept=("steps",)), "o").name == "gan-glyphs-steps_7"


def test_paths_are_named_by_their_end_and_a_hash_of_the_whole():
    one, two = (run_directory(composed(f"data.root=/{place}/my faces"), "o").name for place in "ab")
    assert re.fullmatch(r"gan-glyphs-root_my_faces-[0-9a-f]{4}", one)
    assert one != two


def test_long_names_are_cut_and_hashed_and_stay_different():
    many = [f"model.{key}={key * 9}" for key in ("z_dim", "width")] + ["batch_size=12345678", "trainer.ema=0.123456"]
    names = {run_directory(composed(*many, f"seed={seed}"), "o").name for seed in range(1, 20)}
    assert len(names) == 19
    assert all(len(name) <= len("gan-glyphs-") + SLUG_LENGTH + 7 for name in names)


@given(st.text(max_size=40))
def test_any_value_gives_a_name_that_shells_and_hydra_take(value):
    made = composed()
    made.config["data"]["root"] = value
    name = run_directory(made, "outputs").name
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.\-]*", name)
    assert len(name) < 100


@given(st.lists(st.sampled_from(["a b", "a=b", "a/b", "a_b", "b", "A", "x" * 30, "x" * 31, "é", "1", "01"]), min_size=2))
def test_different_values_have_different_names(values):
    names = set()
    for value in set(values):
        made = composed()
        made.config["data"]["root"] = value
        names.add(run_directory(made, "outputs"))
    assert len(names) == len(set(values))


@pytest.mark.parametrize("name", ["../out", "a/b", ".hidden", "", "a b", "-x", "x" * 200, "a=b", "a\nb"])
def test_names_that_leave_the_folder_are_refused(name):
    made = composed()
    made.config["name"] = name
    with pytest.raises(ConfigError, match="name: given"):
        run_directory(made, "outputs")


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
        Run.open(composed("name=a", "model.z_dim=8", "data.augment=[\"flip\"]", "steps=9"), tmp_path / "a")
    assert "data.augment: [] -> [flip]; model.z_dim: 64 -> 8" in str(caught.value)
    assert "restart=true" in str(caught.value)
    assert "name=" in str(caught.value)
    assert "steps" not in str(caught.value)
    assert (tmp_path / "a" / "config.yaml").read_bytes() == before
    Run.open(composed("name=a"), tmp_path / "a").close()  # the refused one let go of the lock


def test_steps_are_frozen_where_the_schedule_decays(tmp_path):
    Run.open(composed(), tmp_path / "a").close()
    with pytest.raises(ConfigError, match=r"steps: 100 -> 200 \(cosine ends there\)"):
        Run.open(composed("steps=200"), tmp_path / "a", frozen={"steps": "cosine ends there"})


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


def test_the_lock_falls_with_its_process_and_is_not_kept_by_workers(tmp_path):
    script = (
        "import os, sys, time; from aigc_cli.locks import FolderLock\n"
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
        locks.FolderLock(tmp_path).release()  # though the forked worker lives on
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


@pytest.mark.parametrize("damage", [b"\x00\x01", b"[1, 2", b"- a\n", b"", b"config: 3\n", b"!!python/object:os.system {}"])
def test_a_damaged_config_is_one_line(tmp_path, damage):
    Run.open(composed(), tmp_path / "a").close()
    (tmp_path / "a" / "config.yaml").write_bytes(damage)
    with pytest.raises(ConfigError, match=r"config\.yaml.*restart=true") as caught:
        Run.open(composed(), tmp_path / "a")
    assert "\n" not in str(caught.value)
    Run.open(composed(), tmp_path / "a", restart=True).close()


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

    monkeypatch.setattr("aigc_cli.run_log.FileIO", Short)
    warnings = []
    with Run.open(composed(), tmp_path / "a", warn=warnings.append) as run:
        for step in (1, 2, 3):
            run.log({"step": step})
    assert [line["step"] for line in read_metrics(tmp_path / "a" / "metrics.jsonl")] == [1, 3]
    assert len(warnings) == 1


def test_summary_is_written_whole_and_read_back(tmp_path):
    with Run.open(composed(), tmp_path / "a") as run:
        assert run.summary is None
        run.summarise("failed", step=3, minutes=0.123456, error="disk")
        assert run.summary == {"status": "failed", "objective": None, "step": 3, "minutes": 0.12, "error": "disk",
                               "grid": None}  # fmt: skip
    (tmp_path / "a" / "summary.json").write_text("{")
    assert read_summary(tmp_path / "a") is None


def test_atomic_write_keeps_the_old_file_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "file"
    atomic_write(path, b"old")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        atomic_write(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_runs_need_no_torch():
    script = "import sys, aigc_cli.runs; sys.exit('torch' in sys.modules or 'hydra' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
