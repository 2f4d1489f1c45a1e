"""Every benchmark runs at its smallest size and writes JSON that the report can render."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import curves, sentiment
from benchmarks.measuring import in_turn, paired, spread
from benchmarks.report import rendered, table

ROOT = Path(__file__).parents[1]
SMALLEST = {
    "data_path": ["--drawn=24", "--batch=4", "--pass-images=8", "--seconds=0.01", "--rounds=2"],
    "dcgan_end_to_end": ["--drawn=24", "--batch=2", "--steps=1", "--width=4", "--rounds=1"],
    "start_up": ["--drawn=24", "--batch=2", "--width=4", "--rounds=1"],
    "trainer_overhead": ["--dcgan-batch=2", "--dcgan-size=16", "--vae-batch=2", "--vae-steps=1",
                         "--vae-rounds=2", "--rounds=2"],
    "first_minute": ["--seeds", "0", "--samples=20", "--epochs=1", "--overrides", "steps=2", "data.count=200"],
    "cached_sampling": ["--presets", "wavenet", "--symbols=2", "--rounds=1", "--overrides", "model.network.width=4",
                        "model.network.skip=4", "model.network.stacks=1"],
    "data_growth": ["--sizes", "1000", "--workers=1", "--seconds=0.01", "--rounds=1"],
    "gpu_throughput": ["--device=cpu", "--cases", "dcgan:16:2", "--precisions", "fp32", "--steps=1", "--matmul=64",
                       "--copied=1000", "--rounds=1"],
    "vae_end_to_end": ["--batch=8", "--steps=2", "--hidden=8", "--rounds=1"],
    "ddpm_training": ["--size=32", "--batch=8", "--width=16", "--multipliers", "1", "1", "--rounds=1"],
    "wavegan_training": ["--batch=1", "--width=2", "--rounds=1"],
    "growth": ["--presets", "dcgan", "--batch", "16", "64", "--size", "--width", "8", "--seconds=0.01", "--rounds=1"],
}  # fmt: skip
UNREQUIRED = {"gpu_throughput", "growth"}  # they show, and ask for nothing


@pytest.mark.parametrize("name", SMALLEST)
def test_a_benchmark_runs(name, tmp_path):
    if name == "ddpm_training" and importlib.util.find_spec("diffusers") is None:
        pytest.skip("diffusers is not installed")
    command = [sys.executable, "-m", f"benchmarks.{name}", "--threads=1", f"--results={tmp_path}", *SMALLEST[name]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{name}: ")
    result = json.loads((tmp_path / f"{name}.json").read_text())
    assert result["name"] == name
    assert result["machine"]["threads"] == 1
    assert all(figure["median"] > 0 for label, figure in result["figures"].items() if "share" not in label)
    assert result["requirements"] or name in UNREQUIRED
    assert str(tmp_path) not in json.dumps(result), "no path of this machine"
    assert f"### {name}" in rendered([result])


def test_none_is_left_out():
    scripts = {path.stem for path in (ROOT / "benchmarks").glob("*.py") if "rounds=" in path.read_text()}
    assert scripts - {"measuring"} == set(SMALLEST)


def test_without_a_gpu_it_says_so():
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "benchmarks.gpu_throughput"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "needs a CUDA GPU" in done.stdout


@pytest.mark.skipif("AIGC_TEST_DATA" not in os.environ, reason="AIGC_TEST_DATA names no folder of real data")
def test_the_zoo_keeps_a_row_for_each_recipe(tmp_path):
    root, cache = os.environ["AIGC_TEST_DATA"], tmp_path / "cache"
    words = [f"--root={root}", f"--cache={cache}", f"--results={tmp_path}", "--features=pixels", "--samples=20"]
    words.append(f"--pictures={tmp_path}")
    small = ["steps=2", "preview.n=4", "model.generator.width=4", "model.critic.width=4"]
    for recipe in ("mnist_sngan", "mnist_dcgan"):
        command = [sys.executable, "-m", "benchmarks.zoo", *words, "--precision=fp32", "--recipes", recipe]
        done = subprocess.run([*command, "--overrides", *small], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "zoo.json").read_text())
    assert [row["recipe"] for row in result["rows"]] == ["mnist_dcgan", "mnist_sngan"]
    assert all(row["steps"] == 2 and row["frechet"] > 0 and row["samples"] == 20 for row in result["rows"])
    assert str(tmp_path) not in json.dumps(result), "no path of this machine"
    with Image.open(tmp_path / "mnist_dcgan.png") as picture:
        assert picture.width > 2 * picture.height
        assert not picture.info
    assert "`aigc train recipe=mnist_dcgan precision=fp32" in "\n".join(table(result))


@pytest.mark.skipif("AIGC_TEST_DATA" not in os.environ, reason="AIGC_TEST_DATA names no folder of real data")
def test_samplers_are_graded_one_by_one(tmp_path):
    root, places = os.environ["AIGC_TEST_DATA"], [f"data.cache={tmp_path / 'cache'}", f"output={tmp_path}"]
    small = ["steps=2", "batch_size=8", "preview.every=0", "preview.n=1", "model.denoiser.width=4"]
    words = ["train", "recipe=mnist_flow_matching", *small, f"data.root={root}", *places, "name=flow"]
    subprocess.run([sys.executable, "-m", "aigc_cli", *words], cwd=ROOT, check=True, capture_output=True)
    words = [f"--ckpt={tmp_path / 'flow'}", f"--root={root}", f"--cache={tmp_path / 'cache'}", "--samples=20"]
    words += ["--guidance=1.5", "--features=pixels", "--precision=fp32", "--divide=20", f"--results={tmp_path}"]
    command = [sys.executable, "-m", "benchmarks.samplers", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "samplers.json").read_text())
    assert [each["measured"] > 0 for each in result["requirements"]] == [True] * 3
    assert "ancestral, 12 steps, Fréchet distance" in result["figures"]
    assert str(tmp_path) not in json.dumps(result), "no path of this machine"


def test_help_for_small_data_is_followed_from_checkpoint_to_checkpoint(tmp_path):
    for folder in ("few", "many"):
        (tmp_path / folder).mkdir()
        for number in range(90):
            values = np.random.default_rng(number).integers(0, 256, (32, 32, 3)).astype(np.uint8)
            Image.fromarray(values).save(tmp_path / folder / f"{number}.png")
    words = [f"--root={tmp_path / 'few'}", f"--others={tmp_path / 'many'}", f"--cache={tmp_path / 'cache'}"]
    words += ["--steps=2", "--every=1", "--samples=20", "--precision=fp32", f"--results={tmp_path}"]
    command = [sys.executable, "-m", "benchmarks.small_data", *words, "--helps", "adaptive"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "small_data.json").read_text())
    assert [each["measured"] > 0 for each in result["requirements"]] == [True] * 2
    assert {"none, recall after 1 steps", "adaptive, Fréchet distance after 2 steps"} <= result["figures"].keys()
    assert str(tmp_path) not in json.dumps(result), "no path of this machine"


def test_contenders_take_turns():
    order: list[str] = []
    turns = {name: lambda name=name: (order.append(name), float(len(order)))[1] for name in "AB"}
    values = in_turn(turns, 2)
    assert "".join(order) == "ABABAB"
    assert values == {"A": [3.0, 5.0], "B": [4.0, 6.0]}, "the warm-up is not counted"


def test_ratios_are_paired():
    slow, fast = [1.0, 10.0, 100.0], [2.0, 20.0, 200.0]
    assert paired(fast, slow)["median"] == 2
    assert paired(fast, slow)["interval"] == [2, 2]
    assert spread(slow) == {
        "median": 10, "min": 1, "lower_quartile": 5.5, "upper_quartile": 55, "max": 100, "values": slow,
    }  # fmt: skip


@pytest.mark.parametrize("log", [False, True])
def test_curves_stand_where_their_values_are(tmp_path, log):
    rising = [(10.0**power, 10.0**power) for power in range(4)]
    panel = curves.Panel("title", "x", "y", {"a": rising, "b": [(1, 500.0), (1000, 500.0)]}, log_x=log, log_y=log)
    page = np.asarray(Image.open(curves.draw(tmp_path / "c.png", "curves", [panel, panel, panel])).convert("RGB"))
    assert page.shape == (curves.HEADING + 2 * curves.HEIGHT, 2 * curves.WIDTH, 3)
    inside = page[curves.HEADING + curves.TOP : curves.HEADING + curves.HEIGHT - curves.BOTTOM, : curves.WIDTH]
    rows, columns = (np.abs(inside.astype(int) - curves.COLOURS[0]).max(2) < 30).nonzero()  # the first line's pixels
    assert np.corrcoef(columns, rows)[0, 1] < -0.999, "a straight line that rises"
    assert columns.max() - columns.min() > 0.8 * (curves.WIDTH - curves.LEFT - curves.RIGHT)


def test_values_are_written_shortly():
    assert [curves.said(value) for value in (0, 0.02, 999, 1e4, 2.5e6, 999_999.99)] == [
        "0", "0.02", "999", "10k", "2.5M", "1M",
    ]  # fmt: skip


def test_a_judge_reads_sentiment(tmp_path, capsys, monkeypatch):
    words = {"pos": ["lovely", "warm", "moving"], "neg": ["dull", "flat", "empty"]}
    lines = [f"{kind}\ta {words[kind][i % 3]} film no {i}" for i in range(1500) for kind in words]
    (tmp_path / "real.tsv").write_text("\n".join(["sentiment\ttext", *lines]))
    made = [("a warm film", "pos"), ("so dull", "neg"), ("a moving film", "neg"), ("flat and empty", "neg")]
    (tmp_path / "made.jsonl").write_text("\n".join(json.dumps({"text": text, "label": label}) for text, label in made))
    monkeypatch.setattr("sys.argv", ["sentiment", f"--root={tmp_path}/real.tsv", f"--samples={tmp_path}/made.jsonl"])
    sentiment.main()
    real, judged = capsys.readouterr().out.splitlines()
    assert real == "real, held out: 1.000 of 1,000"
    assert judged.endswith("made.jsonl: 0.750 of 4")
