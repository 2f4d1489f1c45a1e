"""`aigc sample` from the command line, on tiny models with random weights."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from safetensors.torch import save_file

from aigc_cli import checkpoints
from aigc_cli.cli import main
from aigc_cli.config import bind
from aigc_cli.interfaces import Classes, DataSpec
from aigc_cli.pictures.previews import stacked
from aigc_cli.samplers import SAMPLERS

MLP = {"name": "mlp", "widths": [8], "activation": "relu", "normalisation": "none", "dropout": 0.0}
GAN = {
    "name": "gan",
    "latent": 4,
    "conditional": True,
    "critic_steps": 1,
    "loss": {"name": "hinge"},
    "penalty": {"name": "none"},
    "regulariser": {"name": "none"},
    "augmentation": {"name": "none"},
    "generator": MLP,
    "critic": MLP,
}
VAE = {
    "name": "vae",
    "latent": 2,
    "conditional": False,
    "likelihood": "bernoulli",
    "beta": 1.0,
    "warmup": 0,
    "free_bits": 0.0,
    "halvings": 0,
    "encoder": MLP,
    "decoder": MLP,
}
UNET = {"name": "unet", "patch": 1, "width": 8, "multipliers": [1], "blocks": 1, "attention": [], "dropout": 0.0}
DIFFUSION = {
    "name": "diffusion",
    "conditional": True,
    "first_stage": None,
    "noise": {"name": "linear", "timesteps": 20},
    "clip": True,
    "parametrisation": "epsilon",
    "weighting": "even",
    "self_conditioning": False,
    "label_dropout": 0.1,
    "guidance": 1.0,
    "denoiser": UNET,
    "sampler": {"name": "ancestral", "steps": None, "spacing": "time"},
}
CLOTHES = DataSpec("image", (1, 8, 8), condition=Classes(("shirt", "shoe", "bag")))


def save_run(folder: Path, model: dict, spec: DataSpec = CLOTHES, step: int = 5, spread: float = 1.0, **config) -> Path:
    torch.manual_seed(0)
    built = bind("models", model, "model")(spec)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.normal_(std=spread)
    meta = {"config": {"model": model, **config}, "choices": {"model": model["name"]}, "spec": spec.to_dict()}
    checkpoints.save(folder / "checkpoints", step, built.state_dict(), meta, {}, keep=2)
    return folder


@pytest.fixture
def run(tmp_path, monkeypatch) -> Path:
    """Stand in a folder that holds outputs/clothes, a class-conditional GAN."""
    monkeypatch.chdir(tmp_path)
    return save_run(Path("outputs/clothes"), GAN)


def sampled(capsys, *arguments: str) -> Path:
    """Run the verb and return the path that it prints."""
    assert main(["sample", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("next: aigc sample ckpt=")
    return Path(lines[0].rpartition(": ")[2])


def refused(capsys, *arguments: str) -> str:
    """Run the verb and return the lines that it refuses with."""
    assert main(["sample", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    return said.err.strip()


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_grid_lands_in_the_run_with_every_class_in_its_column(run, capsys):
    path = sampled(capsys, "ckpt=outputs/clothes")
    assert path == Path("outputs/clothes/samples/samples-step-00000005.png")
    with Image.open(path) as page:
        assert page.size == (9 * 66 - 2, 8 * 66 - 2)  # 66 samples, so that all three classes come equally often
        assert page.text["step"] == "5"
        assert json.loads(page.text["config"])["model"]["latent"] == 4
    assert {p.name for p in path.parent.iterdir()} == {path.name}


def test_same_command_same_name_same_bytes_and_another_never_overwrites(run, capsys):
    first = sampled(capsys, "ckpt=outputs/clothes")
    content = first.read_bytes()
    assert sampled(capsys, "ckpt=outputs/clothes") == first
    others = [sampled(capsys, "ckpt=outputs/clothes", extra) for extra in ("seed=1", "label=1", "n=9", "batch_size=7")]
    assert len({first, *others}) == 5
    assert first.read_bytes() == content
    chosen = [sampled(capsys, "ckpt=outputs/clothes", "output=a.png", f"seed={seed}").name for seed in (0, 1, 0)]
    assert chosen == ["a.png", "a-2.png", "a.png"]


def test_run_checkpoint_and_file_draw_the_same(run, capsys):
    folder = next((run / "checkpoints").iterdir())
    whole = sampled(capsys, f"ckpt={run}")
    assert sampled(capsys, f"ckpt={folder}") == whole
    assert sampled(capsys, f"ckpt={folder}/model.safetensors") == whole
    (folder / "model.safetensors").rename("lent.safetensors")
    lone = sampled(capsys, "ckpt=lent.safetensors")
    assert lone == Path("lent-samples-step-00000005.png")
    assert lone.read_bytes() == whole.read_bytes()


def test_another_precision_draws_almost_the_same(run, capsys):
    exact, rough = sampled(capsys, f"ckpt={run}"), sampled(capsys, f"ckpt={run}", "precision=bf16")
    assert rough.stem == f"{exact.stem}-precision-bf16"
    error = np.asarray(Image.open(exact), float) - np.asarray(Image.open(rough), float)
    assert 0 < np.abs(error).mean() < 2  # grey levels


def tiles(path: Path, side: int = 64, gap: int = 2) -> list[np.ndarray]:
    page = np.asarray(Image.open(path))
    rows, columns = (page.shape[0] + gap) // (side + gap), (page.shape[1] + gap) // (side + gap)
    return [page[(side + gap) * r :, (side + gap) * c :][:side, :side] for r in range(rows) for c in range(columns)]


def test_labels_by_index_by_name_and_in_turn(run, capsys):
    one, same, several = (
        sampled(capsys, "ckpt=outputs/clothes", "n=6", f"label={label}") for label in ("1", "shoe", "[bag,1]")
    )
    assert one.read_bytes() == same.read_bytes()
    turns = tiles(several)[:6]
    assert all((turns[i] == tiles(one)[i]).all() == (i % 2 == 1) for i in range(6))  # same noise, bag and shoe in turn


def test_a_name_comes_before_an_index(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save_run(Path("numbers"), GAN, replace(CLOTHES, condition=Classes(("0", "2", "1"))))
    by_name = sampled(capsys, "ckpt=numbers", "n=1", "label=2")
    assert sampled(capsys, "ckpt=numbers", "n=1", "label='2'") == by_name
    files = sampled(capsys, "ckpt=numbers", "n=1", "label=2", "files=true")
    assert [path.name for path in files.iterdir()] == ["00000-label-1.png"]


@pytest.mark.parametrize(("format", "suffix"), [("png", ".png"), ("jpeg", ".jpg"), ("webp", ".webp")])
def test_formats_by_name_and_by_suffix(run, capsys, format, suffix):
    path = sampled(capsys, "ckpt=outputs/clothes", "n=4", f"format={format}")
    assert path.suffix == suffix
    again = sampled(capsys, "ckpt=outputs/clothes", "n=4", f"output=shown/a{suffix}")
    assert again == Path(f"shown/a{suffix}")
    assert again.read_bytes() == path.read_bytes()
    with Image.open(path) as opened:
        assert opened.format == format.upper()


def test_files_one_per_sample_are_the_grid_taken_apart(run, capsys):
    grid = sampled(capsys, "ckpt=outputs/clothes", "n=6", "grid=2x3", "batch_size=4")
    folder = sampled(capsys, "ckpt=outputs/clothes", "n=6", "files=true", "batch_size=4", "output=taken")
    assert folder == Path("taken")
    names = sorted(os.listdir(folder))
    assert names == [f"{i:05d}-label-{i % 3}.png" for i in range(6)]
    for name, tile in zip(names, tiles(grid), strict=True):
        assert (np.asarray(Image.open(folder / name)) == tile[::8, ::8]).all()
    assert sampled(capsys, "ckpt=outputs/clothes", "n=6", "files=true", "batch_size=4", "output=taken") == folder


def test_grid_sets_n_and_its_rows_and_columns(run, capsys):
    with Image.open(sampled(capsys, "ckpt=outputs/clothes", "grid=2x5")) as page:
        assert page.size == (5 * 66 - 2, 2 * 66 - 2)


@pytest.mark.parametrize("format", ["webp", "gif"])
def test_a_walk_is_an_animation_that_moves(run, capsys, format):
    path = sampled(capsys, "ckpt=outputs/clothes", "interpolate=true", "frames=6", "n=3", f"format={format}")
    assert path.name == f"walk-step-00000005-n-3-frames-6.{format}"
    with Image.open(path) as opened:
        frames = [np.asarray(frame.convert("L")).copy() for frame in ImageSequence.Iterator(opened)]
    assert len(frames) == 10
    assert any((frames[0] != frame).any() for frame in frames)


def test_a_walk_in_batches_covers_all(run, capsys):
    arguments = ("ckpt=outputs/clothes", "interpolate=true", "frames=2", "grid=1x3", "batch_size=2")
    with Image.open(sampled(capsys, *arguments)) as opened:
        assert opened.size == (3 * 66 - 2, 64)


def test_settings_of_diffusion_reach_its_sampler(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save_run(Path("noise"), DIFFUSION, spread=0.1)
    settings = ((), ("steps=5",), ("sampler=ddim",), ("sampler=ddim", "eta=0.5"), ("guidance=3",), ("guidance=1",))
    paths = [sampled(capsys, "ckpt=noise", "n=3", *each) for each in settings]
    assert paths[3].name == "samples-step-00000005-n-3-eta-0.5-sampler-ddim.png"
    contents = [path.read_bytes() for path in paths]
    assert contents[0] == contents[5]
    assert len(set(contents)) == 5
    for name in SAMPLERS:
        words = ("n=1", "interpolate=true", "frames=2", "steps=2", f"sampler={name}")
        assert sampled(capsys, "ckpt=noise", *words).suffix == ".webp"
    before = files_below(Path())
    assert "steps: given 21, allowed: 1 to 20" in refused(capsys, "ckpt=noise", "n=3", "steps=21")
    assert "eta: " in refused(capsys, "ckpt=noise", "n=3", "eta=0.5")
    assert "sampler: no 'ddmi' among the samplers. Did you mean 'ddim'" in refused(capsys, "ckpt=noise", "sampler=ddmi")
    assert files_below(Path()) == before


def test_guidance_of_a_model_without_labels(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save_run(Path("noise"), {**DIFFUSION, "conditional": False})
    said = refused(capsys, "ckpt=noise", "guidance=2")
    assert "guidance: model 'diffusion' has no use for it: it was trained without labels." in said
    assert not Path("noise/samples").exists()


def test_the_plane_of_a_two_dimensional_latent(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save_run(Path("plane"), VAE)
    path = sampled(capsys, "ckpt=plane", "manifold=true", "grid=3x3")
    model = bind("models", VAE, "model")(CLOTHES)
    model.load_state_dict(checkpoints.resolve(path.parent.parent).tensors())
    quantile = 0.9674  # of 5/6
    corner, middle = (
        model.render(torch.tensor([z]), None, generator=torch.Generator())[0, 0].numpy()
        for z in ([-quantile, quantile], [0.0, 0.0])
    )
    shown = tiles(path)
    assert np.abs(shown[0][::8, ::8].astype(int) - corner).max() <= 1  # left of, and above, the middle
    assert np.abs(shown[4][::8, ::8].astype(int) - middle).max() <= 1


def test_the_plane_of_a_conditional_model_shows_one_class(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save_run(Path("plane"), {**GAN, "latent": 2})
    first, same, other = (sampled(capsys, "ckpt=plane", "manifold=true", "grid=2x2", *label)
                          for label in ((), ("label=shirt",), ("label=bag",)))  # fmt: skip
    assert first.read_bytes() == same.read_bytes() != other.read_bytes()
    assert "label: a manifold shows one class" in refused(capsys, "ckpt=plane", "manifold=true", "label=[0,1]")


def test_rows_of_data_over_rows_of_reconstructions():
    upper = np.arange(5).reshape(5, 1, 1, 1)
    assert stacked([upper, -upper], 3).flatten().tolist() == [0, 1, 2, 0, -1, -2, 3, 4, 0, -3, -4, 0]
    small_and_grey, large = np.arange(4).reshape(1, 1, 2, 2), np.full((1, 3, 4, 4), 9)
    above, below = stacked([small_and_grey, large], 1)
    assert above[2].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    assert (below == 9).all()


def glyphs_node(cache: Path) -> dict:
    from aigc_cli.composing.compose import compose

    return {**compose("train", ["data=glyphs"]).config["data"], "cache": str(cache)}


# What is refused -----------------------------------------------------------------------------------------------------

PLAIN = {
    "n=0": "n: given 0, allowed: whole number >= 1",
    "n=true": "n: given true",
    "n=1000000000": "n: given 1000000000, allowed",
    "batch_size=100000": "batch_size: given 100000",
    "steps=0": "steps: given 0",
    "frames=1": "frames: given 1",
    "format=bmp": "format: given 'bmp' (text), allowed: png, jpeg, webp, gif",
    "format=gif": "Type interpolate=true for an animation",
    "interpolate=true format=png": "allowed: webp, gif, txt, jsonl, html (a walk is an animation, or texts)",
    "interpolate=true output=a.png": "output: given a.png, allowed: a folder or a name that ends in .webp, .gif",
    "output=a.bmp": "output: given a.bmp, allowed: a folder or a name that ends in .png",
    "output=a.png format=webp": "format: given webp, but output=a.png says png",
    "output=a.png files=true": "files=true makes a folder",
    "grid=8": "grid: given 8, allowed: text",
    "grid=axb": "grid: given 'axb', allowed: rows x columns",
    "grid=0x8": "grid: given '0x8', allowed: rows x columns",
    "grid=9999x9999": "grid: given '9999x9999', allowed: rows x columns, each 1 to 1000",
    "grid=3x3 n=10": "n: given 10, but grid=3x3 holds 9",
    "grid=3x3 files=true": "grid: not with files=true",
    "label=[]": "label: given an empty list",
    "interpolate=true manifold=true": "interpolate=true, manifold=true exclude each other",
    "manifold=true files=true": "files: not with manifold=true",
    "manifold=true n=10": "a manifold is a square",
    "frames=9": "frames: only of a walk. Type interpolate=true as well",
    "lable=7": "Did you mean 'label'?",
}
BY_MODEL = {
    "label=3": "label: no class 3. Allowed: 0 to 2, or shirt, shoe, bag.",
    "label=-1": "label: no class -1.",
    "label=shos": "label: no class 'shos'. Did you mean 'shoe'?",
    "steps=10": "steps: model 'gan' has no use for it: its settings are truncation. Leave steps out.",
    "manifold=true": "manifold: the latents of model 'gan' have 4 dimensions, allowed: 2.",
    "grid=1000x1000": "allowed: 65535 a side and 268,435,456 pixels in all. Type a smaller n, or files=true.",
    "n=100000 format=webp": "allowed: 16383 a side",
    "device=cudda": "device: given 'cudda'",
}


@pytest.mark.parametrize("arguments", [*PLAIN, *BY_MODEL])
def test_mistakes_are_answered_in_a_line_and_leave_nothing(run, capsys, arguments):
    before = files_below(Path())
    said = refused(capsys, "ckpt=outputs/clothes", *arguments.split())
    assert {**PLAIN, **BY_MODEL}[arguments] in said
    assert len(said.splitlines()) == 1
    assert files_below(Path()) == before
    assert not (run / "samples").exists()


def test_plain_mistakes_are_all_told_at_once_before_torch_is_imported(run):
    script = "import sys; from aigc_cli.cli import main; c = main(sys.argv[1:]); print('torch' in sys.modules); exit(c)"
    command = [sys.executable, "-c", script, "sample", "ckpt=outputs/nothing", "grid=8by8", "format=gif"]
    root = Path(__file__).parents[1]
    answer = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(root)})
    assert answer.returncode == 2
    assert answer.stdout.strip() == "False"
    assert "no such file or folder: outputs/nothing" in answer.stderr
    assert "Type ckpt=outputs/clothes" in answer.stderr
    assert "grid: given '8by8'" in answer.stderr
    assert "format: given gif" in answer.stderr


def test_without_a_checkpoint_the_newest_run_is_proposed(run, tmp_path, monkeypatch, capsys):
    assert "ckpt: not set" in refused(capsys)
    assert "Type ckpt=outputs/clothes" in refused(capsys)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert "Train one first: aigc train" in refused(capsys)


def test_a_label_for_a_model_without_labels(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save_run(Path("plain"), VAE)
    said = refused(capsys, "ckpt=plain", "label=1")
    assert "label: this model was trained without labels" in said
    assert "model.conditional=true" in said


def test_an_output_that_takes_no_files(run, capsys):
    (run / "afile").write_text("")
    assert "output: " in refused(capsys, "ckpt=outputs/clothes", f"output={run}/afile/below")


# Strangers' files ----------------------------------------------------------------------------------------------------


def stranger(path: Path, tensors: dict, **meta) -> str:
    """Write a .safetensors file whose digest is right and whose metadata are what a stranger likes."""
    ours = {"format": 1, "aigc": "0.1.0", "step": 5, "choices": {}, "spec": CLOTHES.to_dict(), "config": {"model": GAN}}
    meta = json.loads(json.dumps({**ours, **meta}))
    meta["sha256"] = checkpoints.content_digest(meta, tensors)
    save_file(tensors, path, {"aigc": json.dumps(meta)})
    return f"ckpt={path}"


def gan_tensors() -> dict:
    return bind("models", GAN, "model")(CLOTHES).state_dict()


EVIL = {
    "no model": {"config": {}},
    "a class path": {"config": {"model": {"_target_": "os.system", "command": "touch canary"}}},
    "a name outside the table": {"config": {"model": {"name": "os:system"}}},
    "a class path within": {"config": {"model": {**GAN, "generator": {"_target_": "os.mkdir", "path": "canary"}}}},
    "a surplus setting": {"config": {"model": {**GAN, "command": "touch canary"}}},
    "an absurd size": {"config": {"model": {**GAN, "generator": {**MLP, "widths": [1_000_000, 1_000_000]}}}},
    "no spec": {"spec": None},
    "an absurd spec": {"spec": {**CLOTHES.to_dict(), "shape": [3, 1_000_000, 1_000_000]}},
    "a negative shape": {"spec": {**CLOTHES.to_dict(), "shape": [1, -8, 8]}},
    "texts for sizes": {"spec": {**CLOTHES.to_dict(), "shape": ["1", "8", "8"]}},
    "numbers for names": {"spec": {**CLOTHES.to_dict(), "classes": [1, 2, 3]}},
    "other sizes": {"config": {"model": {**GAN, "latent": 5}}},
}


@pytest.mark.parametrize("what", EVIL)
def test_a_strangers_file_can_name_only_what_is_ours(tmp_path, monkeypatch, capsys, what):
    monkeypatch.chdir(tmp_path)
    said = refused(capsys, stranger(tmp_path / "a.safetensors", gan_tensors(), **EVIL[what]))
    assert "a.safetensors" in said
    assert os.listdir(tmp_path) == ["a.safetensors"]


def test_a_strangers_class_names_stay_out_of_paths(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    spec = {**CLOTHES.to_dict(), "classes": ["../../up", "/etc/x", "bag"]}
    file = stranger(tmp_path / "a.safetensors", gan_tensors(), spec=spec)
    folder = sampled(capsys, file, "n=2", "files=true", "label=../../up")
    assert sorted(os.listdir(folder)) == ["00000-label-0.png", "00001-label-0.png"]
    assert folder.resolve().parent == tmp_path
    assert re.fullmatch(r"[\w.+-]+", folder.name)
