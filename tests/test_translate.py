"""aigc translate: from pairs in a folder to a trained model, its preview, and translated pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aigc_cli.cli import main

TRAIN = [
    "train", "model=pix2pix", "data=picture_pairs", "data.root=pairs", "data.cache=cache", "data.size=16",
    "data.source_channels=1", "model.generator.width=2", "model.critic.width=2", "model.critic.halvings=1", "steps=2",
    "batch_size=4", "preview.n=3", "name=pairs", "preview.tensorboard=false",
]  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """Hold a folder of pairs and a run that learnt from them."""
    folder = tmp_path_factory.mktemp("translate")
    for name in ("a", "b"):
        (folder / "pairs" / name).mkdir(parents=True)
        for number in range(12):
            grey = 20 * number if name == "a" else 255 - 20 * number
            Image.new("L" if name == "a" else "RGB", (16, 16), grey if name == "a" else (grey, 0, 0)).save(
                folder / "pairs" / name / f"{number}.png"
            )
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        assert main(TRAIN) == 0
        assert main(TRAIN) == 0  # finished, and says so
    return folder


@pytest.fixture
def here(trained, monkeypatch) -> Path:
    monkeypatch.chdir(trained)
    return trained


def test_a_run_previews_sources_translations_and_targets(here):
    with Image.open("outputs/pairs/samples/step-00000002.png") as page:
        shown = np.asarray(page.convert("RGB"), int)
    assert shown.shape[0] // 3 == pytest.approx(shown.shape[1], abs=2)  # one pair is held out: a column of three
    middle = shown.shape[1] // 2
    source, target = shown[middle, middle], shown[-middle, middle]
    assert target[1:].tolist() == [0, 0]  # red
    assert source[0] == source[1] == source[2] == 255 - target[0]


def test_training_goes_on(here, capsys):
    assert main([*[word for word in TRAIN if not word.startswith("steps")], "steps=3"]) == 0
    assert "continuing at step 2 of 3" in capsys.readouterr().out


def test_a_folder_and_a_picture_are_translated(here, capsys):
    assert main(["translate", "ckpt=outputs/pairs", "samples=pairs/a", "output=made", "batch_size=5"]) == 0
    assert sorted(path.name for path in Path("made").iterdir()) == sorted(f"{number}.png" for number in range(12))
    with Image.open("made/3.png") as picture:
        assert (picture.size, picture.mode) == ((16, 16), "RGB")
    Path("mixed").mkdir(exist_ok=True)
    Image.new("RGB", (40, 20)).save("mixed/wide.jpg")
    Path("mixed/bad.png").write_text("words")
    capsys.readouterr()
    assert main(["translate", "ckpt=outputs/pairs", "samples=mixed", "output=of_mixed"]) == 0
    assert len(list(Path("of_mixed").iterdir())) == 1
    assert "1 files cannot be used: bad.png (no picture" in capsys.readouterr().err


MISTAKES = {
    "no samples": (["ckpt=outputs/pairs"], "samples: not set"),
    "no ckpt": (["samples=pairs/a"], "ckpt: "),
    "nowhere": (["ckpt=outputs/pairs", "samples=nowhere"], "samples: no folder 'nowhere'"),
    "onto itself": (["ckpt=outputs/pairs", "samples=pairs/a", "output=pairs/a"], "is the folder that is read"),
    "of another verb": (["ckpt=outputs/plain", "samples=pairs/a"], "model 'gan' does not translate."),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_one_line(here, capsys, case):
    words, said = MISTAKES[case]
    if "outputs/plain" in words[0]:
        small = ["model.generator.widths=[8]", "model.critic.widths=[8]", "data.count=100", "batch_size=8"]
        assert main(["train", "steps=1", *small, "data.cache=cache", "name=plain", "preview.tensorboard=false"]) == 0
    capsys.readouterr()
    assert main(["translate", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_a_model_of_pairs_draws_no_samples(here, capsys):
    assert main(["sample", "ckpt=outputs/pairs"]) == 2
    assert "model 'pix2pix' draws no samples" in capsys.readouterr().err
