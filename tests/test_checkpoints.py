"""Checkpoints come back as they went, are pruned only when the new one is safe, and say what is wrong with them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from aigc_cli import checkpoints
from aigc_cli.checkpoints.reading import FORMAT, MANIFEST, STATE, WEIGHTS
from aigc_cli.errors import CheckpointError, TrainingError
from tests.toy_checkpoints import META, rewrite_manifest, save


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_what_is_saved_comes_back(tmp_path):
    path = save(tmp_path, 1000)
    assert path == tmp_path / "step-00001000"
    assert names(path) == sorted([WEIGHTS, STATE, MANIFEST])
    newest = checkpoints.latest(tmp_path)
    assert newest is not None
    assert newest.step == 1000
    assert newest.meta["config"] == META["config"]
    assert newest.meta["format"] == FORMAT
    assert torch.equal(newest.tensors()["net.weight"], torch.full((3, 4), 1000.0))
    assert torch.equal(newest.state()["moments"][0], torch.full((3, 4), 1000 / 7))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64", "int64", "bool"])
def test_every_type_comes_back_bit_for_bit(tmp_path, dtype):
    tensors = {"a": torch.randn(5, 3), "scalar": torch.tensor(1), "empty": torch.empty(0, 3)}
    dtype = getattr(torch, dtype)
    tensors = {name: value.to(dtype) for name, value in tensors.items()}
    path = checkpoints.save(tmp_path, 1, tensors, META, {}, keep=1)
    shutil.copy(path / WEIGHTS, tmp_path / "lone.safetensors")
    for checkpoint in (checkpoints.resolve(path), checkpoints.resolve(tmp_path / "lone.safetensors")):
        loaded = checkpoint.tensors()
        assert all(torch.equal(loaded[name], value) and loaded[name].dtype == dtype for name, value in tensors.items())


def test_shared_and_strided_tensors_are_saved(tmp_path):
    base = torch.randn(6, 4)
    tensors = {"a": base, "b": base, "row": base[1], "turned": base.T, "last": torch.randn(2, 3, 4, 4)
               .to(memory_format=torch.channels_last)}  # fmt: skip
    loaded = checkpoints.resolve(checkpoints.save(tmp_path, 1, tensors, META, {}, keep=1)).tensors()
    assert all(torch.equal(loaded[name], value) for name, value in tensors.items())


def test_the_last_k_and_every_milestone_stay(tmp_path):
    for step in range(10, 101, 10):
        save(tmp_path, step, keep=2, every_nth=40)
    assert names(tmp_path) == [f"step-{step:08d}" for step in (40, 80, 90, 100)]


def test_a_newer_broken_one_never_costs_the_one_just_saved(tmp_path):
    for step in (10, 20):
        save(tmp_path, step)
    (tmp_path / "step-00000020" / STATE).write_bytes(b"")
    save(tmp_path, 15, keep=1)
    assert names(tmp_path) == ["step-00000015", "step-00000020"]
    save(tmp_path, 20, keep=1)  # the broken one is replaced when training comes to it
    assert names(tmp_path) == ["step-00000020"]
    assert checkpoints.latest(tmp_path, warn=pytest.fail).step == 20  # type: ignore[union-attr]


def test_the_same_step_is_replaced_safely(tmp_path):
    save(tmp_path, 10)
    save(tmp_path, 10, scale=2.0)
    assert names(tmp_path) == ["step-00000010"]
    assert checkpoints.resolve(tmp_path).tensors()["net.weight"][0, 0] == 20


def test_a_kill_between_the_renames_loses_nothing(tmp_path):
    save(tmp_path, 10)
    os.rename(tmp_path / "step-00000010", tmp_path / ".old-step-00000010-123")
    assert checkpoints.latest(tmp_path).step == 10  # type: ignore[union-attr]
    assert checkpoints.resolve(tmp_path).step == 10
    save(tmp_path, 20)
    assert names(tmp_path) == ["step-00000010", "step-00000020"]
    assert checkpoints.resolve(tmp_path / "step-00000010").step == 10


def test_stale_leftovers_are_swept(tmp_path):
    save(tmp_path, 10)
    for name in (".tmp-step-00000020-1", ".tmp-gone-step-00000005-1", ".old-step-00000010-1"):
        shutil.copytree(tmp_path / "step-00000010", tmp_path / name)
    save(tmp_path, 20)
    assert names(tmp_path) == ["step-00000010", "step-00000020"]


def test_a_failed_removal_does_not_end_training(tmp_path, monkeypatch):
    warnings = []
    save(tmp_path, 10)
    real = os.rename

    def stubborn(source, target):
        if "gone" in str(target):
            raise PermissionError(13, "Permission denied")
        real(source, target)

    monkeypatch.setattr("os.rename", stubborn)
    save(tmp_path, 20, keep=1, warn=warnings.append)
    assert checkpoints.resolve(tmp_path).step == 20
    assert "Permission denied" in warnings[0]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_not_saved(tmp_path, bad):
    save(tmp_path, 10)
    broken = {"w": torch.tensor([1.0, bad])}
    with pytest.raises(TrainingError, match=r"step 20: model\.w is NaN or infinite"):
        checkpoints.save(tmp_path, 20, broken, META, {}, keep=1)
    with pytest.raises(TrainingError, match=r"trainer\.critic\.0\.w is NaN or infinite"):
        checkpoints.save(tmp_path, 20, {"w": torch.ones(2)}, META, {"critic": [broken]}, keep=1)
    assert names(tmp_path) == ["step-00000010"]


def test_latest_passes_over_the_broken_with_a_warning(tmp_path):
    for step in (10, 20, 30):
        save(tmp_path, step)
    (tmp_path / "step-00000030" / STATE).write_bytes(b"")
    os.truncate(tmp_path / "step-00000020" / WEIGHTS, 50)
    warnings = []
    assert checkpoints.latest(tmp_path, warn=warnings.append).step == 10  # type: ignore[union-attr]
    assert "empty (0 bytes" in warnings[0]
    assert "truncated" in warnings[1]


def test_training_does_not_silently_begin_afresh(tmp_path):
    assert checkpoints.latest(tmp_path / "none") is None
    assert checkpoints.latest(tmp_path) is None
    save(tmp_path, 10)
    (tmp_path / "step-00000010" / MANIFEST).unlink()
    with pytest.raises(CheckpointError, match="restart=true"):
        checkpoints.latest(tmp_path, warn=lambda _: None)


def test_a_newer_format_is_never_passed_over(tmp_path):
    save(tmp_path, 10)
    rewrite_manifest(save(tmp_path, 20), format=FORMAT + 1, aigc="9.9.0")
    for find in (checkpoints.latest, checkpoints.resolve):
        with pytest.raises(CheckpointError, match=r"format 2.*9\.9\.0"):
            find(tmp_path)


def test_everything_a_user_may_point_at(tmp_path, monkeypatch):
    run = tmp_path / "outputs" / "toy-glyphs"
    for step in (10, 20):
        path = save(run / "checkpoints", step)
    shutil.copy(path / WEIGHTS, tmp_path / "mine.safetensors")
    monkeypatch.chdir(tmp_path)
    for place in (run, run / "checkpoints", path, path / WEIGHTS, path / STATE, path / MANIFEST, "mine.safetensors",
                  "outputs/toy-glyphs", "outputs/toy-glyphs/"):  # fmt: skip
        assert checkpoints.resolve(place).step == 20
    assert checkpoints.resolve(run / "checkpoints" / "step-00000010").step == 10
    with pytest.raises(CheckpointError, match="holds weights only"):
        checkpoints.resolve("mine.safetensors").state()


def test_a_wrong_path_gets_suggestions(tmp_path, monkeypatch):
    save(tmp_path / "outputs" / "toy-glyphs" / "checkpoints", 10)
    (tmp_path / "outputs" / "new" / "checkpoints").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"Did you mean ckpt=outputs/toy-glyphs\?"):
        checkpoints.resolve("outputs/toy-glyhps")
    with pytest.raises(CheckpointError, match=r"Did you mean ckpt=outputs/toy-glyphs\?"):
        checkpoints.resolve("toy-glyphs")
    with pytest.raises(CheckpointError, match=r"Type ckpt=outputs/[a-z-]+ \(or outputs/[a-z-]+\)"):
        checkpoints.resolve("xyz")
    with pytest.raises(CheckpointError, match="It holds runs; name one of them: toy-glyphs"):
        checkpoints.resolve("outputs")
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        checkpoints.resolve("outputs/new")
    with pytest.raises(CheckpointError, match="cannot be read: File name too long"):
        checkpoints.resolve("x" * 5000)


def _net(width: int = 4) -> nn.Module:
    return nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 2))


def test_weights_that_fit_are_loaded():
    one, two = _net(), _net()
    checkpoints.fit(one, two.state_dict(), "x")
    assert all(torch.equal(value, two.state_dict()[name]) for name, value in one.state_dict().items())
    with torch.device("meta"):
        checkpoints.fit(_net(), two.state_dict(), "x")


def test_another_model_names_the_setting_first_and_loads_nothing():
    one, two = _net(4), _net(5)
    before = {name: value.clone() for name, value in one.state_dict().items()}
    stored, current = {"model": {"width": 5}, "seed": 1}, {"model": {"width": 4}, "seed": 2}
    with pytest.raises(CheckpointError) as caught:
        checkpoints.fit(one, two.state_dict(), "a.safetensors", stored=stored, current=current)
    message = str(caught.value)
    assert message.index("model.width was 5, is 4") < message.index("0.weight is 5x3 in the checkpoint, 4x3 here")
    assert "seed" not in message
    assert all(torch.equal(before[name], value) for name, value in one.state_dict().items())


def test_at_most_ten_mismatches_are_listed():
    with pytest.raises(CheckpointError, match=r"and 21 more") as caught:
        checkpoints.fit(nn.ModuleList(nn.Linear(1, 1, bias=False) for _ in range(30)), {"other": torch.ones(1)}, "x")
    assert str(caught.value).count("is missing") == 10


def test_what_fits_partly_is_loaded_and_the_rest_listed():
    one, two = _net(4), nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 3), nn.Linear(1, 1))
    lines = checkpoints.fit_partly(one, two.state_dict())
    assert torch.equal(one.state_dict()["0.weight"], two.state_dict()["0.weight"])
    assert "2.weight is 3x4 in the checkpoint, 2x4 here" in lines
    assert "3.weight is in the checkpoint only" in lines
    assert len(lines) == 4
    with pytest.raises(CheckpointError, match="none of these weights fits"):
        checkpoints.fit_partly(one, {"x": torch.ones(1)})
