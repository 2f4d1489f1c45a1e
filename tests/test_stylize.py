"""aigc stylize: by pixels and by a trained network; what it writes, and what it says of every mistake."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from aigc_cli.cli import main
from aigc_cli.perception.style import StyleLoss
from aigc_cli.pictures.files import as_signal
from aigc_cli.pictures.neural_style import CONTENT_LAYERS, STYLE_LAYERS, paint, with_colours_of
from tests.narrow_vgg import narrow_weights, stripes, style_files


def disc(width: int = 40, height: int = 36) -> Image.Image:
    """Return a white disc on green."""
    y, x = np.mgrid[:height, :width]
    inside = ((x - width / 2) ** 2 + (y - height / 2) ** 2 < 12**2)[..., None]
    return Image.fromarray(np.where(inside, 255, np.array([20, 120, 60])).astype(np.uint8))


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """Work in a folder that holds a picture, a folder of pictures, a style and weights."""
    monkeypatch.chdir(tmp_path)
    disc().save("photo.jpg")
    Path("photos/inner").mkdir(parents=True)
    disc(48, 32).save("photos/wide.png")
    disc(33, 50).save("photos/inner/tall.bmp")
    for name, file in zip(("style.png", "vgg.pth"), style_files(), strict=True):
        Path(name).write_bytes(file.read_bytes())
    return tmp_path


STYLE = ["style=style.png", "weights=vgg.pth", "size=40", "steps=4"]


def size_of(path: str) -> tuple[int, int]:
    with Image.open(path) as picture:
        picture.load()
        return picture.size


def refused(capsys, *words: str) -> str:
    assert main(["stylize", *words]) == 2
    said = capsys.readouterr().err.removesuffix("\n")
    assert not Path("outputs").exists()
    return said


def test_pixels_descend_towards_the_style_and_keep_the_content():
    content = as_signal(disc())
    judge = StyleLoss(narrow_weights(), as_signal(stripes()), STYLE_LAYERS, CONTENT_LAYERS, "average")
    settings = {"style_weight": 100.0, "content_weight": 1.0, "smoothness": 0.0, "seed": 3, "name": "disc"}
    painting, again, noise, other = (
        paint(content, judge, steps=20, start=start, **{**settings, "seed": seed})
        for start, seed in (("content", 3), ("content", 3), ("noise", 3), ("noise", 4))
    )
    assert painting.style[1] < 0.3 * painting.style[0]
    assert painting.content[0] == 0 < painting.content[1]
    assert noise.style[1] < 0.7 * noise.style[0]
    assert torch.equal(painting.signal, again.signal)
    assert not torch.equal(noise.signal, other.signal)
    assert painting.signal.abs().max() <= 1
    assert (painting.signal - content).abs().mean() > 0.05
    faithful = paint(content, judge, steps=20, start="content", **{**settings, "content_weight": 1e6})
    assert (faithful.signal - content).abs().mean() < (painting.signal - content).abs().mean()
    assert faithful.content[1] < painting.content[1]


def test_colours_can_be_kept():
    content, painted = disc(), stripes(36).resize((40, 36))
    mixed = with_colours_of(content, painted)
    for channel, like in ((0, painted), (1, content), (2, content)):
        ours, theirs = (np.asarray(each.convert("YCbCr"), int)[..., channel] for each in (mixed, like))
        assert np.median(np.abs(ours - theirs)) <= 2  # some mixtures lie outside of RGB


def test_a_picture_gets_a_sensible_name_and_its_proportions(here, capsys):
    assert main(["stylize", "content=photo.jpg", *STYLE]) == 0
    out = capsys.readouterr().out
    assert "photo.jpg: error of style" in out
    assert size_of("outputs/stylized/photo-style.jpg") == (40, 36)
    assert "outputs/stylized/photo-style.jpg" in out
    assert main(["stylize", "content=photo.jpg", *STYLE, "preserve_colour=true", "output=made.png"]) == 0
    assert size_of("made.png") == (40, 36)


def test_a_folder_becomes_a_folder_of_the_same_names(here, capsys):
    Path("photos/bad.png").write_text("words")
    assert main(["stylize", "content=photos", *STYLE[:2], "size=48", "steps=1", "output=made"]) == 0
    assert size_of("made/wide.png") == (48, 32)
    assert size_of("made/inner/tall.png") == (32, 48)
    assert sorted(path.name for path in Path("made").rglob("*.*")) == ["tall.png", "wide.png"]
    assert "content: 'photos/bad.png' cannot be read (no picture: it begins with b'words'" in capsys.readouterr().err


MISTAKES = {
    "nothing": ([], ["content: not set", "style, ckpt: they are both not set"]),
    "both": (["content=photo.jpg", "style=style.png", "ckpt=run"], ["style, ckpt: they exclude each other"]),
    "no content": (["content=foto.jpg", *STYLE], ["no picture or folder 'foto.jpg'. Did you mean 'photo.jpg'?"]),
    "no style": (["content=photo.jpg", "style=styl.png"], ["style: no picture 'styl.png'. Did you mean 'style.png'?"]),
    "style of words": (["content=photo.jpg", "style=vgg.pth"], ["style: 'vgg.pth' cannot be read (no picture"]),
    "no weights": (["content=photo.jpg", "style=style.png", "weights=no.pth"], ["weights: 'no.pth' is no such file"]),
    "small": (["content=photo.jpg", "style=thin.png", "weights=vgg.pth"], ["style: 'thin.png' is 512x10, allowed: 32"]),
    "seed": (["content=photo.jpg", *STYLE, "seed=4"], ["seed: of no use where painting starts from the content"]),
    "of ckpt": (["content=photo.jpg", "ckpt=run", "steps=4"], ["steps: of no use with ckpt"]),
    "no weight": (["content=photo.jpg", *STYLE, "style_weight=0.0", "content_weight=0.0"], ["both are 0"]),
    "folder to file": (["content=photos", *STYLE, "output=made.png"], ["output: given made.png, but content is"]),
    "ending": (["content=photo.jpg", *STYLE, "output=made.gif"], ["output: given made.gif, allowed: a folder"]),
    "no pictures": (["content=empty", *STYLE], ["content: no pictures in 'empty'"]),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_told_in_a_line_each(here, capsys, case):
    words, lines = MISTAKES[case]
    Image.new("RGB", (512, 10)).save("thin.png")
    Path("empty").mkdir()
    said = refused(capsys, *words).splitlines()
    assert len(said) == len(lines)
    for given, wanted in zip(said, lines, strict=True):
        assert wanted in given
    assert not list(here.rglob(".tmp-*"))


TRAIN = [
    "train", "model=fast_style", "data=image_folder", "data.root=many", "data.cache=cache", "data.size=32",
    "model.style=style.png", "model.weights=vgg.pth", "model.style_size=32", "model.network.width=2",
    "model.network.blocks=0", "steps=2", "batch_size=2", "preview.n=2", "name=striped", "preview.tensorboard=false",
]  # fmt: skip


@pytest.fixture
def many(here) -> Path:
    Path("many").mkdir()
    for number in range(8):
        disc(40 + number, 40).save(f"many/{number}.png")
    return here


def test_a_trained_style_needs_neither_its_picture_nor_vgg(many, capsys):
    assert main(TRAIN) == 0
    stored = yaml.safe_load(Path("outputs/striped/config.yaml").read_text())
    assert {key: len(digest) for key, digest in stored["files"].items()} == {"model.style": 64, "model.weights": 64}
    assert [path.name for path in Path("outputs/striped/samples").iterdir()] == ["step-00000002.png"]
    (weights,) = Path("outputs/striped/checkpoints").glob("*/model.safetensors")
    assert weights.stat().st_size < 100_000
    Path("style.png").unlink()
    Path("vgg.pth").unlink()
    assert main(["stylize", "content=photos", "ckpt=outputs/striped", "output=painted"]) == 0
    assert size_of("painted/wide.png") == (48, 32)
    assert size_of("painted/inner/tall.png") == (33, 50)
    assert main(["stylize", "content=photo.jpg", "ckpt=outputs/striped", "size=64"]) == 0
    assert size_of("outputs/stylized/photo-striped.jpg") == (64, 58)


def test_a_run_goes_on_with_the_same_files_only(many, capsys):
    assert main(TRAIN) == 0
    longer = [word for word in TRAIN if not word.startswith("steps")] + ["steps=3"]
    disc(48, 48).save("style.png")
    capsys.readouterr()
    assert main(longer) == 2
    said = capsys.readouterr().err
    assert "model.style: not what outputs/striped began with (digest " in said
    assert "add restart=true" in said
    Path("style.png").write_bytes(style_files()[0].read_bytes())
    assert main(longer) == 0


@pytest.mark.parametrize(("changes", "said"), [
    (["model.style=null"], "model.style: not set. It is the picture whose style is to be learnt. Type model.style="),
    (["model.style=nowhere.png"], "model.style: no picture 'nowhere.png'."),
    (["model.style=vgg.pth"], "model.style: 'vgg.pth' cannot be read (no picture"),
    (["model.weights=nowhere.pth"], "model.weights: 'nowhere.pth' is no such file"),
    (["data.size=16"], "16 pixels a side are too few for VGG-19"),
])  # fmt: skip
def test_training_without_its_files_is_refused_before_anything_is_written(many, capsys, changes, said):
    keys = [change.partition("=")[0] for change in changes]
    words = [word for word in TRAIN if word.partition("=")[0] not in keys]
    assert main([*words, *changes]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if said in line]) == 1
    assert not Path("outputs").exists()


def test_a_model_that_learnt_no_style_is_refused(many, capsys):
    small = ["model.generator.widths=[8]", "model.critic.widths=[8]", "data.count=100", "batch_size=8", "preview.n=4"]
    assert main(["train", "steps=1", *small, "data.cache=cache", "name=plain", "preview.tensorboard=false"]) == 0
    assert main(["stylize", "content=photo.jpg", "ckpt=outputs/plain"]) == 2
    assert "ckpt: model 'gan' has learnt no style (aigc train model=fast_style does)" in capsys.readouterr().err
