"""Grids, files and animations of pictures."""

from __future__ import annotations

import io
import json
import os
import sys

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from aigc_cli.inference.drawing import draw, progress
from aigc_cli.inference.placing import put_in_place
from aigc_cli.inference.walking import slerp, walk
from aigc_cli.pictures import previews
from aigc_cli.pictures.animations import save_animation
from aigc_cli.pictures.previews import default_columns, grid, grid_size, save_grid, save_image
from aigc_cli.randomness import mix


class Noise:
    """A model that draws what its generator gives."""

    calls: list[int]

    def __init__(self):
        self.calls = []

    def sample(self, n, condition, *, generator, brightness=256):
        self.calls.append(n)
        pictures = torch.randint(brightness, (n, 1, 8, 8), generator=generator, dtype=torch.uint8)
        return pictures if condition is None else pictures * 0 + condition.view(-1, 1, 1, 1).to(torch.uint8)

    def latent(self, n, *, generator):
        return torch.randn(n, 3, generator=generator)

    def render(self, latent, condition, *, generator):
        shade = (128 + 40 * latent[:, :1]).clamp(0, 255).to(torch.uint8)
        return shade.view(-1, 1, 1, 1).expand(-1, 1, 8, 8).contiguous()


CPU = torch.device("cpu")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("of", [torch.from_numpy, np.asarray], ids=["tensor", "array"])
def test_grid_shows_every_pixel_of_every_picture(channels, of):
    pictures = np.random.default_rng(0).integers(0, 256, (7, channels, 16, 24), np.uint8)
    page = np.asarray(grid(of(pictures), columns=3))
    page = page if channels == 3 else page[..., None]
    assert page.shape == (3 * 48 + 4, 3 * 72 + 4, channels)  # 24 pixels three times are about 64
    for index, picture in enumerate(pictures):
        top, left = (index // 3) * 50, (index % 3) * 74
        tile = page[top : top + 48, left : left + 72]
        assert (tile[1::3, 1::3] == picture.transpose(1, 2, 0)).all()
    assert (page[100:, 74:] == previews.BACKGROUND).all()  # where no picture is left


@pytest.mark.parametrize(("side", "scale"), [(8, 8), (16, 4), (28, 2), (32, 2), (64, 1), (128, 1), (300, 1)])
def test_small_pictures_are_enlarged_to_about_64_pixels(side, scale):
    assert grid_size(1, side, side) == (side * scale, side * scale)


@pytest.mark.parametrize(("shape", "kind"), [((2, 2, 8, 8), "uint8"), ((2, 1, 8, 8), "float32"),
                                             ((0, 1, 8, 8), "uint8"), ((1, 8, 8), "uint8")])  # fmt: skip
def test_grid_refuses_what_is_no_row_of_pictures(shape, kind):
    with pytest.raises(ValueError, match="allowed: uint8"):
        grid(np.zeros(shape, kind))


@pytest.mark.parametrize(
    ("n", "cycle", "columns"),
    [(64, 1, 8), (5, 1, 3), (1, 1, 1), (70, 10, 10), (64, 2, 8), (66, 3, 9), (64, 200, 8), (4, 4, 4)],
)
def test_columns_are_near_square_and_labels_stand_in_columns(n, cycle, columns):
    assert default_columns(n, cycle) == columns


def test_png_carries_step_config_and_software_and_the_same_pixels(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (4, 3, 64, 64), np.uint8)
    page = save_grid(pictures, tmp_path / "new" / "a.png", metadata={"step": "7", "config": '{"name": "ü"}'})
    with Image.open(tmp_path / "new" / "a.png") as opened:
        assert opened.text["step"] == "7"
        assert opened.text["config"] == '{"name": "ü"}'
        assert opened.text["software"].startswith("aigc ")
        assert (np.asarray(opened) == np.asarray(page)).all()
    assert os.listdir(tmp_path / "new") == ["a.png"]


@pytest.mark.parametrize("suffix", ["jpg", "webp", "gif"])
def test_other_formats_carry_the_same_metadata(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    save_image(grid(np.full((1, 3, 64, 64), 200, np.uint8)), path, metadata={"step": "7", "config": "ü" * 300})
    with Image.open(path) as opened:
        about = opened.info["comment"] if suffix == "gif" else opened.getexif()[previews.IMAGE_DESCRIPTION]
        assert json.loads(about)["step"] == "7"
        assert json.loads(about)["config"] == "ü" * 300


def test_a_failed_write_leaves_the_old_picture_and_no_litter(tmp_path, monkeypatch):
    save_grid(np.zeros((1, 1, 8, 8), np.uint8), tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space"):
        save_grid(np.ones((1, 1, 8, 8), np.uint8), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == before
    assert os.listdir(tmp_path) == ["a.png"]


def test_draw_goes_chunk_by_chunk_and_whole_chunks_do_not_depend_on_n():
    model = Noise()
    many, few = (draw(model, n, None, seed=3, device=CPU, chunk=4) for n in (10, 8))
    assert model.calls == [4, 4, 2, 4, 4]
    assert torch.equal(many[:8], few)
    assert not torch.equal(many[:4], many[4:8])
    assert not torch.equal(draw(model, 8, None, seed=4, device=CPU, chunk=4), few)


def test_draw_hands_each_sample_its_label_and_settings_on():
    labels = torch.arange(6)
    assert torch.equal(draw(Noise(), 6, labels, seed=0, device=CPU, chunk=4)[:, 0, 0, 0], labels.to(torch.uint8))
    assert draw(Noise(), 6, None, seed=0, device=CPU, brightness=2).max() == 1


def test_draw_neither_reads_nor_disturbs_the_default_generator():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = draw(Noise(), 4, None, seed=0, device=CPU)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert torch.equal(draw(Noise(), 4, None, seed=0, device=CPU), first)


def test_slerp_meets_its_ends_and_keeps_the_norm():
    start, end = torch.nn.functional.normalize(torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0)), dim=2)
    assert torch.allclose(slerp(start, end, 0.0), start, atol=1e-6)
    assert torch.allclose(slerp(start, end, 1.0), end, atol=1e-6)
    middle = slerp(start, end, 0.5)
    assert torch.allclose(middle.norm(dim=1), torch.ones(5), atol=1e-5)
    assert torch.allclose((middle * start).sum(1), (middle * end).sum(1), atol=1e-5)
    assert torch.allclose(slerp(start, start, 0.3), start)  # no angle to divide by


def test_walk_begins_and_ends_at_drawn_latents_and_moves_smoothly():
    model = Noise()
    moments = torch.stack(list(walk(model, 4, None, frames=31, seed=5, device=CPU)))
    for moment, number in ((0, 0), (15, 1), (30, 2)):  # two legs of fifteen
        latent = model.latent(4, generator=torch.Generator().manual_seed(mix(5, number)))
        drawn = model.render(latent, None, generator=torch.Generator())
        assert (moments[moment].int() - drawn.int()).abs().max() <= 1
    assert (moments[1:].int() - moments[:-1].int()).abs().max() < 40  # of 256 shades, at most a turn of pi in a leg


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_animation_plays_there_and_back_for_ever(tmp_path, suffix, mode):
    frames = [Image.new("L", (32, 32), 40 * i).convert(mode) for i in range(5)]
    path = tmp_path / f"a.{suffix}"
    save_animation(frames, path, metadata={"step": "1"})
    with Image.open(path) as opened:
        shades = [int(np.asarray(frame.convert("L"))[5, 5]) for frame in ImageSequence.Iterator(opened)]
        assert opened.info["loop"] == 0
    assert np.allclose(shades, [0, 40, 80, 120, 160, 120, 80, 40], atol=4)  # and round to 0: no frame twice in a row


def test_the_same_again_stays_and_something_else_gets_a_name_of_its_own(tmp_path):
    def put(content):
        with put_in_place(tmp_path / "a.txt") as place:
            place.aside.write_text(content)
        return place.path.name

    assert [put(content) for content in ("x", "x", "y", "x", "y")] == ["a.txt", "a.txt", "a-2.txt", "a.txt", "a-2.txt"]
    assert sorted(os.listdir(tmp_path)) == ["a-2.txt", "a.txt"]


def test_folders_are_put_in_place_too(tmp_path):
    def put(**files):
        with put_in_place(tmp_path / "folder") as place:
            place.aside.mkdir()
            for name, content in files.items():
                (place.aside / name).write_text(content)
        return place.path.name

    (tmp_path / "folder").mkdir()  # an empty one is free
    contents = ({"a": "1"}, {"a": "1"}, {"a": "2"}, {"a": "1", "b": "1"})
    assert [put(**files) for files in contents] == ["folder", "folder", "folder-2", "folder-3"]


def test_nothing_is_left_when_the_making_fails(tmp_path):
    def fail():
        with put_in_place(tmp_path / "new.txt") as place:
            place.aside.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not os.listdir(tmp_path)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_counts_the_passes_of_a_slow_model_on_a_terminal(monkeypatch):
    model = torch.nn.Module()
    model.generative = ("last",)  # type: ignore[assignment]
    model.last = torch.nn.Linear(2, 2)
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress(model, "preview") as bar:
        for _ in range(3):
            model.last(torch.zeros(1, 2))
        assert bar.n == 3
        assert bar.desc.startswith("preview")
    model.last(torch.zeros(1, 2))
    assert bar.n == 3
