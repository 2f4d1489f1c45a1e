"""`aigc reconstruct`, `encode`, `anomaly`, `denoise` and `upscale`, on tiny models with random weights."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from aigc_cli.cli import main
from aigc_cli.commands.anomaly import area_under_curve
from aigc_cli.commands.encode import plane_of
from aigc_cli.data.pack import open_data
from aigc_cli.interfaces import DataSpec
from tests.test_sample import CLOTHES, DIFFUSION, GAN, MLP, VAE, glyphs_node, save_run, tiles

AUTOENCODER = {"name": "autoencoder", "latent": 5, "reconstruction": "mse", "encoder": MLP, "decoder": MLP}
DENOISER = {**AUTOENCODER, "name": "denoising_autoencoder", "corruption": {"name": "masking", "share": 0.5}}
ENLARGER = {"name": "super_resolution", "scale": 2, "downscale": "area",
            "network": {"name": "edsr", "width": 4, "blocks": 1}}  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def digits(here) -> tuple[Path, dict]:
    """Save an autoencoder of glyphs."""
    node = {**glyphs_node(here / "cache"), "count": 200, "size": 16}
    return save_run(Path("digits"), AUTOENCODER, open_data(node, progress=False).spec, data=node), node


def folder_of(name: str, sizes: list[tuple[int, int]], mode: str = "L") -> Path:
    Path(name).mkdir(parents=True)
    for number, size in enumerate(sizes):
        values = np.random.default_rng(number).integers(0, 256, (*size[::-1], 3)).astype(np.uint8)
        Image.fromarray(values).convert(mode).save(Path(name) / f"{number}.png")
    return Path(name)


def size_of(path: Path | str) -> tuple[int, int]:
    with Image.open(path) as opened:
        return opened.size


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def said_by(capsys, *words: str) -> str:
    assert main([*words]) == 0
    return capsys.readouterr().out


def refused(capsys, *words: str) -> str:
    assert main([*words]) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


def test_reconstructions_of_held_out_data(digits, capsys):
    run, node = digits
    said = said_by(capsys, "reconstruct", f"ckpt={run}", "n=5")
    path = run / "samples" / "reconstructions-step-00000005.png"
    assert str(path) in said
    test = {picture.tobytes() for picture in open_data(node, progress=False).split("test")[0][:, 0]}
    found = [tile[::4, ::4].tobytes() in test for tile in tiles(path)]
    assert found == [True] * 4 + [False] * 4 + [True] + [False] * 7
    assert main(["reconstruct", f"ckpt={run}", "n=3", "label=7", "output=sevens.png"]) == 0
    x, labels = open_data(node, progress=False).split("test")
    assert tiles(Path("sevens.png"))[0][::4, ::4].tobytes() in {each.tobytes() for each in x[labels == 7][:, 0]}
    assert "data.root: 'glyphs' is not read" in refused(capsys, "reconstruct", f"ckpt={run}", "data.root=/nowhere")


def test_reconstructions_of_a_folder(here, capsys):
    save_run(Path("clothes"), VAE)
    folder_of("mine", [(8, 8), (30, 20), (9, 9)])
    (here / "mine" / "bad.png").write_bytes(b"no picture")
    assert main(["reconstruct", "ckpt=clothes", "samples=mine"]) == 0
    assert "bad.png" in capsys.readouterr().err
    assert len(tiles(Path("clothes/samples/reconstructions-step-00000005-mine.png"))) == 6


def test_codes_with_names_and_labels(digits, capsys):
    run, node = digits
    assert "20 codes of 5 numbers" in said_by(capsys, "encode", f"ckpt={run}")
    codes = np.load(run / "codes" / "test-step-00000005.npy", allow_pickle=False)
    assert codes.shape == (20, 5)
    assert codes.dtype == np.float32
    rows = rows_of(run / "codes" / "test-step-00000005.csv")
    labels = open_data(node, progress=False).split("test")[1]
    assert [row["label"] for row in rows] == [str(label) for label in labels]
    assert rows[3]["name"] == "test/00003"
    with Image.open(run / "codes" / "test-step-00000005.png") as page:
        assert page.mode == "RGB"
    assert main(["encode", f"ckpt={run}", "map=false", "output=all.safetensors"]) == 0  # as its name ends
    with safe_open("all.safetensors", "np") as file:
        assert np.array_equal(file.get_tensor("codes"), codes)
        assert np.array_equal(file.get_tensor("labels"), labels)
        assert json.loads(file.metadata()["names"])[3] == "test/00003"
    assert not Path("all.png").exists()
    assert main(["encode", f"ckpt={run}", "n=7", "seed=1", "output=some.npy"]) == 0
    assert len(np.load("some.npy", allow_pickle=False)) == 7


def test_the_plane_is_that_of_the_principal_components():
    generator = torch.Generator().manual_seed(0)
    axes, _ = torch.linalg.qr(torch.randn(6, 6, generator=generator))
    codes = torch.randn(500, 6, generator=generator) * torch.tensor([9.0, 4.0, 0.1, 0.1, 0.1, 0.1]) @ axes.T
    points, share = plane_of(codes, seed=0)
    centred = codes - codes.mean(0)
    best = torch.linalg.svd(centred).S[:2]
    assert torch.allclose(points.norm(dim=0), best, rtol=1e-4)
    assert share == pytest.approx(float(best.square().sum() / centred.square().sum()), rel=1e-4)


@pytest.mark.parametrize(("unusual", "usual", "area"), [
    ([3.0, 4.0], [1.0, 2.0], 1.0), ([1.0, 2.0], [3.0, 4.0], 0.0), ([1.0, 1.0], [1.0], 0.5),
    ([2.0, 0.0], [1.0, 1.0], 0.5), ([2.0, 3.0], [1.0, 2.0], 0.875),
])  # fmt: skip
def test_the_area_is_the_chance_that_an_unusual_one_scores_higher(unusual, usual, area):
    assert area_under_curve(np.array(unusual), np.array(usual)) == area


@pytest.mark.parametrize("model", [AUTOENCODER, VAE])
def test_the_least_usual_come_first(here, capsys, model):
    save_run(Path("clothes"), model, spread=0.1)  # which makes everything grey
    Path("parts/bad").mkdir(parents=True)
    Path("parts/good").mkdir()
    for number in range(4):
        Image.new("L", (8, 8), 120 + number).save(f"parts/good/{number}.png")
    Image.new("L", (8, 8), 255).save("parts/bad/white.png")
    said = said_by(capsys, "anomaly", "ckpt=clothes", "samples=parts", "usual=good")
    folder = Path("clothes/anomaly/parts-step-00000005")
    rows = rows_of(folder / "scores.csv")
    assert len(rows) == 5
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    if model is AUTOENCODER:  # to whom white is farthest from grey; a Bernoulli variable likes no greys
        assert rows[0]["name"] == "bad/white.png"
        assert rows[0]["label"] == "bad"
        assert "area under the curve: 1.0000" in said
    assert json.loads((folder / "scores.json").read_text())["n"] == 5
    assert (folder / "histogram.png").exists()
    assert "no class 'god'. Did you mean 'good'" in refused(
        capsys, "anomaly", "ckpt=clothes", "samples=parts", "usual=god"
    )


def test_anomalies_among_held_out_data(digits, capsys):
    run, _ = digits
    said = said_by(capsys, "anomaly", f"ckpt={run}", "usual=[1,7]", "n=15")
    assert "area under the curve" in said
    assert "15" in said
    assert "usual: all of them are" in refused(capsys, "anomaly", f"ckpt={run}", "usual=[0,1,2,3,4,5,6,7,8,9]")


def test_a_folder_is_denoised_under_its_own_names(here, capsys):
    save_run(Path("clean"), DENOISER)
    folder_of("scans/below", [(8, 8), (20, 30)])
    Path("scans/below/1.jpg").write_bytes(Path("scans/below/0.png").read_bytes())
    said = said_by(capsys, "denoise", "ckpt=clean", "samples=scans", "output=out", "batch_size=2")
    assert "3 pictures" in said
    found = {str(path.relative_to("out")): size_of(path) for path in Path("out").rglob("*.png")}
    assert found == {f"below/{name}.png": (8, 8) for name in ("0", "1", "1.png")}
    assert said_by(capsys, "denoise", "ckpt=clean", "samples=scans").endswith("clean/denoise/scans\n")


def test_pictures_of_any_size_are_enlarged(here):
    save_run(Path("large"), ENLARGER, DataSpec("image", (3, 16, 16)), spread=0.01)
    folder_of("small", [(8, 8), (8, 8), (21, 10)], "RGB")
    assert main(["upscale", "ckpt=large", "samples=small", "output=out"]) == 0
    assert [size_of(f"out/{number}.png") for number in range(3)] == [(16, 16), (16, 16), (42, 20)]
    with Image.open("out/2.png") as made, Image.open("small/2.png") as given:
        near = np.asarray(given.resize((42, 20), Image.Resampling.BICUBIC)).astype(int)
        assert np.abs(np.asarray(made).astype(int) - near).mean() < 30  # a network of small weights adds little


MISTAKES = {
    "sample ckpt=clothes": "ckpt: model 'autoencoder' draws no samples. Type aigc reconstruct ckpt=clothes",
    "sample ckpt=clothes interpolate=true": "interpolate: model 'autoencoder' draws no samples.",
    "sample ckpt=noise manifold=true": "manifold: the latents of model 'diffusion' have 1 x 8 x 8",
    "reconstruct ckpt=gan": "ckpt: model 'gan' has no bottleneck to pass pictures through (autoencoders have). It can",
    "reconstruct ckpt=clothes output=a.txt": "output: given a.txt, but this model makes pictures. Allowed: a name",
    "reconstruct ckpt=clothes": "ckpt: its config names no data",
    "reconstruct ckpt=clothes samples=nowhere": "samples: no folder 'nowhere'",
    "reconstruct ckpt=clothes samples=empty": "samples: no pictures in 'empty'",
    "reconstruct ckpt=clothes samples=mine data.root=x": "data: samples=mine are read already.",
    "reconstruct ckpt=clothes samples=mine label=1": "label: of the model's own data only",
    "encode ckpt=gan": "ckpt: model 'gan' encodes nothing",
    "encode ckpt=clothes output=a.npz": "output: given a.npz, but format=npy",
    "encode ckpt=clothes format=pickle": "format: given 'pickle' (text), allowed: npy, safetensors",
    "anomaly ckpt=gan": "ckpt: model 'gan' scores nothing",
    "anomaly ckpt=clothes samples=mine usual=good": "usual: these samples have no labels.",
    "anomaly": "ckpt: not set",
    "denoise ckpt=clothes samples=mine": "ckpt: model 'autoencoder' does not denoise. It can: aigc",
    "denoise ckpt=clean": "samples: not set. It is: a picture, or a folder of pictures, to denoise.",
    "denoise ckpt=clean samples=mine output=mine": "output: mine is the folder that is read.",
    "upscale ckpt=clean samples=mine": "ckpt: model 'denoising_autoencoder' does not upscale. Type aigc denoise",
    "upscale ckpt=clean samples=mine lable=3": "lable: no such setting.",
    "encode ckpt=named samples=mine": "samples: the model knows its data by label, so sub-folders must be named after",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_mistakes_are_answered_in_a_line(here, capsys, words):
    runs = {
        "clothes": AUTOENCODER,
        "gan": GAN,
        "clean": DENOISER,
        "noise": DIFFUSION,
        "named": {**VAE, "conditional": True},
    }
    for name, model in runs.items():
        if f"={name}" in words:
            save_run(Path(name), model, CLOTHES)
    folder_of("mine", [(8, 8)])
    Path("empty").mkdir()
    said = refused(capsys, *words.split())
    assert MISTAKES[words] in said
    assert len(said.splitlines()) == 1
