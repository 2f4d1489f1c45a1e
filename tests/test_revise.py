"""`aigc sample start=... mask=...`: pictures to begin with, from the command line, on a tiny model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aigc_cli.cli import main
from aigc_cli.samplers import SAMPLERS
from tests.test_sample import DIFFUSION, GAN, files_below, refused, sampled, save_run


@pytest.fixture
def run(tmp_path, monkeypatch) -> Path:
    """Stand in a folder that holds a diffusion model of 8 x 8 pixels, a picture and masks."""
    monkeypatch.chdir(tmp_path)
    picture = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    Image.fromarray(picture).save("picture.png")
    mask = np.zeros((8, 8), np.uint8)
    mask[:, 4:] = 255
    Image.fromarray(mask).save("mask.png")
    Image.fromarray(mask).convert("1").save("mask-1.png")
    Image.fromarray(np.stack([mask] * 3, 2)).convert("P").save("mask-P.gif")
    Image.fromarray(np.stack([mask] * 4, 2)).save("mask-RGBA.png")
    Image.fromarray(np.stack([mask * 0 + 255] * 3 + [mask], 2)).save("mask-transparent.png")  # as paint programs do
    Image.fromarray(mask.astype(np.uint16) * 257).save("mask-16.png")
    Image.new("L", (9, 8), 255).save("other-size.png")
    Image.new("L", (8, 8)).save("black.png")
    Path("broken.png").write_bytes(Path("picture.png").read_bytes()[:60])
    Path("words.png").write_text("no picture")
    save_run(Path("gan"), GAN)
    return save_run(Path("noise"), {**DIFFUSION, "conditional": False}, spread=0.1)


def drawn(folder: Path) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.iterdir())])


def revisions(capsys, *arguments: str) -> np.ndarray:
    return drawn(sampled(capsys, "ckpt=noise", "n=3", "files=true", "start=picture.png", *arguments))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_what_is_black_in_the_mask_is_kept_exactly_and_the_rest_is_new(run, capsys, sampler):
    picture = np.asarray(Image.open("picture.png"))
    made = revisions(capsys, "mask=mask.png", f"sampler={sampler}", "steps=4")
    assert (made[:, :, :4] == picture[:, :4]).all()
    assert (made[:, :, 4:] != picture[:, 4:]).any(axis=(1, 2)).all()
    assert (made[0] != made[1]).any()


@pytest.mark.parametrize("mask", ["mask-1.png", "mask-P.gif", "mask-16.png", "mask-RGBA.png", "mask-transparent.png"])
def test_a_mask_of_any_mode(run, capsys, mask):
    picture = np.asarray(Image.open("picture.png"))
    made = revisions(capsys, f"mask={mask}")
    assert (made[:, :, :4] == picture[:, :4]).all()  # what is black, or transparent, is kept
    assert (made[:, :, 4:] != picture[:, 4:]).any()


def test_taking_each_step_again_costs_as_many_passes_and_keeps_what_is_kept(run, capsys):
    picture = np.asarray(Image.open("picture.png"))
    once, again = (revisions(capsys, "mask=mask.png", "steps=4", *more) for more in ((), ("resample=3",)))
    assert (once != again).any()
    assert (again[:, :, :4] == picture[:, :4]).all()


def test_the_less_noise_the_more_is_like_the_picture(run, capsys):
    picture = np.asarray(Image.open("picture.png")).astype(float)
    near, far, farther = (np.abs(revisions(capsys, f"strength={share}") - picture).mean() for share in (0.01, 0.5, 1.0))
    assert near < 10
    assert near < far < farther


def test_revisions_have_names_that_say_so(run, capsys):
    path = sampled(capsys, "ckpt=noise", "start=picture.png", "mask=mask.png", "strength=0.5")
    assert path.name == "revisions-step-00000005-start-picture-mask-mask-strength-0.5.png"


def test_what_is_done_to_a_picture_of_another_size_is_said(run, capsys):
    turned = Image.Exif()
    turned[0x0112] = 6  # on its side: 8 wide and 12 high as it is to be looked at
    Image.new("L", (12, 8), 200).save("phone.png", exif=turned)
    Image.new("L", (8, 12), 255).save("upright.png")
    assert main(["sample", "ckpt=noise", "n=1", "start=phone.png", "mask=upright.png"]) == 0
    said = capsys.readouterr().err
    assert "start: 8x12 pixels, cut to its middle square and scaled to the 8x8 that the model draws." in said
    assert main(["sample", "ckpt=noise", "n=1", "start=picture.png"]) == 0
    assert "start:" not in capsys.readouterr().err


REFUSED = {
    "start=nothing.png": "start: no such file: nothing.png",
    "start=broken.png": "start: broken.png cannot be read (",
    "start=words.png": "start: words.png cannot be read (",
    "start=picture.png mask=nothing.png": "mask: no such file: nothing.png",
    "start=picture.png mask=words.png": "mask: words.png cannot be read (",
    "start=picture.png mask=other-size.png": "mask: it is 9x8 pixels, the start picture 8x8.",
    "start=picture.png mask=black.png": "mask: nothing of it is white",
    "start=picture.png strength=0": "strength: given 0",
    "start=picture.png strength=1.5": "strength: given 1.5",
    "start=picture.png resample=3": "resample: only where a part is kept. Type mask=PICTURE",
    "mask=mask.png": "mask: only of a picture to begin with. Type start=PICTURE",
    "strength=0.5": "strength: only of a picture to begin with.",
    "start=picture.png interpolate=true": "interpolate=true, start=PICTURE exclude each other",
    "start=picture.png frames=9": "frames: only of a walk.",
    "start=picture.png eta=0.5": "eta: ancestral has no such setting",
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_mistakes_are_answered_in_a_line_and_leave_nothing(run, capsys, arguments):
    before = files_below(Path())
    said = refused(capsys, "ckpt=noise", *arguments.split())
    assert REFUSED[arguments] in said
    assert len(said.splitlines()) == 1
    assert files_below(Path()) == before


def test_a_model_that_begins_with_no_picture(run, capsys):
    said = refused(capsys, "ckpt=gan", "start=picture.png")
    assert "start: model 'gan' begins with no picture (diffusion does). Leave start out." in said
