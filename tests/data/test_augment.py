"""Augmentations: what happens to a sample hangs on the seed, the epoch and the sample, never on its company."""

from __future__ import annotations

import pytest
import torch
from packs import glyphs_node

from aigc_cli.config import load
from aigc_cli.data import AUGMENTS, FOR_SOUNDS
from aigc_cli.data.augment import sample_keys, uniform
from aigc_cli.data.pack import open_data
from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import DataSpec

SHAPES = [(1, 28, 28), (3, 32, 32), (3, 16, 24), (1, 1, 1)]
COUNT = 64


def pictures(shape: tuple[int, ...], count: int = COUNT) -> torch.Tensor:
    return torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def smooth(shape: tuple[int, ...], count: int = COUNT) -> torch.Tensor:
    """Return blobs: what resampling does to noise says nothing."""
    rows, columns = (torch.linspace(-1, 1, side) for side in shape[1:])
    blob = torch.exp(-4 * (rows[:, None] ** 2 + (columns - 0.3) ** 2))
    return (255 * blob).round().to(torch.uint8).expand(count, *shape).clone()


def changed(name: str, x: torch.Tensor, *, seed=0, epoch=0, index=None) -> torch.Tensor:
    index = torch.arange(len(x)) if index is None else index
    spec = DataSpec("image", tuple(x.shape[1:]))
    return load(AUGMENTS[name])(x, sample_keys(seed, epoch, index, name), spec)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", [each for each in AUGMENTS if each not in FOR_SOUNDS])
def test_shape_and_dtype_are_kept_and_the_input_is_not_touched(name, shape):
    x = pictures(shape)
    before = x.clone()
    after = changed(name, x)
    assert (after.shape, after.dtype) == (x.shape, torch.uint8)
    assert torch.equal(x, before)


@pytest.mark.parametrize("name", [each for each in AUGMENTS if each not in FOR_SOUNDS])
def test_a_sample_is_changed_alike_in_any_company(name):
    x = pictures((3, 16, 16))
    whole = changed(name, x)
    some = torch.tensor([40, 3, 17])
    assert torch.equal(changed(name, x[some], index=some), whole[some])
    assert torch.equal(changed(name, x[5:6], index=torch.tensor([5])), whole[5:6])


@pytest.mark.parametrize("name", [each for each in AUGMENTS if each not in FOR_SOUNDS])
def test_seed_epoch_and_sample_each_make_a_difference_and_nothing_else_does(name):
    x = smooth((3, 32, 32))
    first = changed(name, x, seed=3, epoch=5)
    torch.manual_seed(1)
    assert torch.equal(changed(name, x, seed=3, epoch=5), first)
    assert not torch.equal(changed(name, x, seed=4, epoch=5), first)
    assert not torch.equal(changed(name, x, seed=3, epoch=6), first)
    assert len(first.unique(dim=0)) > 1  # the pictures are the same, what happens to them is not


@pytest.mark.parametrize("shape", SHAPES[:3], ids=str)
def test_flip_mirrors_about_half_of_the_samples_exactly(shape):
    x = pictures(shape, 400)
    after = changed("flip", x)
    mirrored = (after == x.flip(-1)).flatten(1).all(1)
    untouched = (after == x).flatten(1).all(1)
    assert (mirrored ^ untouched).all()
    assert 160 < mirrored.sum() < 240


@pytest.mark.parametrize("shape", SHAPES[:3], ids=str)
def test_crop_shifts_by_whole_pixels_in_both_directions(shape):
    x = pictures(shape, 200)
    after = changed("crop", x)
    found = []
    for before, moved in zip(x, after, strict=True):
        found += [shift for shift in shifts(*shape[1:]) if is_shifted(before, moved, *shift)]
    assert len(found) == 200  # each by one shift, and not more than an eighth
    assert len(set(found)) > 0.8 * len(shifts(*shape[1:]))  # both directions on their own
    for side, moves in zip(shape[1:], zip(*found, strict=True), strict=True):
        assert set(moves) == set(range(-(side // 8), side // 8 + 1))


def shifts(height: int, width: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(-(height // 8), height // 8 + 1) for j in range(-(width // 8), width // 8 + 1)]


def is_shifted(before: torch.Tensor, after: torch.Tensor, down: int, right: int) -> bool:
    _, height, width = before.shape
    rows = slice(max(0, -down), height - max(0, down)), slice(max(0, down), height + min(0, down))
    columns = slice(max(0, -right), width - max(0, right)), slice(max(0, right), width + min(0, right))
    return torch.equal(after[:, rows[0], columns[0]], before[:, rows[1], columns[1]])


def test_the_gap_of_a_crop_shows_a_reflection():
    x = torch.arange(16, dtype=torch.uint8).expand(100, 1, 16, 16).clone()
    rows = {tuple(picture[0, 0].tolist()) for picture in changed("crop", x)}
    assert rows == {tuple(15 - abs(15 - abs(i + shift)) for i in range(16)) for shift in (-2, -1, 0, 1, 2)}


@pytest.mark.parametrize("name", ["rotate", "scale"])
def test_moved_pictures_stay_near_and_constant_ones_stay_as_they_are(name):
    x = smooth((3, 32, 32))
    difference = (changed(name, x).float() - x.float()).abs()
    assert 0.3 < difference.mean() < 12
    flat = torch.full((8, 3, 32, 32), 200, dtype=torch.uint8)
    assert torch.equal(changed(name, flat), flat)


def test_rotate_turns_and_does_not_shear_in_pictures_that_are_not_square():
    # A disc stays a disc under a turn about its middle, and would not under a shear.
    rows, columns = torch.arange(32) - 15.5, torch.arange(64) - 31.5
    disc = ((rows[:, None] ** 2 + columns**2) < 100).to(torch.uint8) * 255
    x = disc.expand(32, 1, 32, 64).clone()
    assert (changed("rotate", x).float() - x.float()).abs().mean(dim=(1, 2, 3)).max() < 5
    spots = torch.zeros(2, 32, 1, 32, 64, dtype=torch.uint8)
    spots[0, :, :, 14:18, 50:54] = 255  # 20 pixels right of the middle
    spots[1, :, :, 24:28, 30:34] = 255  # 10 pixels below it
    moved = torch.stack([changed("rotate", spot).float()[:, 0] for spot in spots])
    mass = moved.sum(dim=(2, 3))
    down_first, down_second = (moved.sum(3) @ rows) / mass
    right_first, right_second = (moved.sum(2) @ columns) / mass
    assert torch.allclose((down_first**2 + right_first**2).sqrt(), torch.full((32,), 20.0), atol=0.3)
    assert torch.allclose((down_second**2 + right_second**2).sqrt(), torch.full((32,), 10.0), atol=0.3)
    angles = torch.rad2deg(torch.atan2(down_first, right_first))
    assert torch.allclose(angles, torch.rad2deg(torch.atan2(-right_second, down_second)), atol=0.6)
    assert 8 < angles.abs().max() < 10.3


def test_scale_makes_larger_and_smaller_by_a_tenth_at_most():
    rows = torch.arange(64) - 31.5
    disc = ((rows[:, None] ** 2 + rows**2) < 400).to(torch.uint8) * 255
    x = disc.expand(64, 1, 64, 64).clone()
    factors = (changed("scale", x).float().sum(dim=(1, 2, 3)) / x[0].float().sum()).sqrt()
    assert 0.89 < factors.min() < 0.95
    assert 1.05 < factors.max() < 1.11


def test_colour_changes_brightness_by_a_fifth_at_most_and_stays_in_range():
    flat = torch.full((200, 1, 8, 8), 100, dtype=torch.uint8)
    values = changed("colour", flat).float().mean(dim=(1, 2, 3))
    assert 79 <= values.min() < 90
    assert 110 < values.max() <= 121
    light = torch.full((200, 3, 8, 8), 250, dtype=torch.uint8)
    assert changed("colour", light).float().min() >= 199  # nothing wrapped around


def test_colour_keeps_greys_grey():
    x = smooth((3, 16, 16))
    after = changed("colour", x).int()
    assert (after.max(1).values - after.min(1).values).max() <= 1


def test_uniform_numbers_fill_the_interval_evenly_and_draws_are_independent():
    keys = sample_keys(0, 0, torch.arange(100_000), "flip")
    first, second = uniform(keys, 0), uniform(keys, 1)
    assert 0 <= first.min() < 1e-3
    assert 1 - 1e-3 < first.max() < 1
    assert torch.histc(first, 10, 0, 1).sub(10_000).abs().max() < 500
    assert torch.corrcoef(torch.stack([first, second]))[0, 1].abs() < 0.02
    assert torch.corrcoef(torch.stack([first[1:], first[:-1]]))[0, 1].abs() < 0.02  # neighbours
    other = uniform(sample_keys(0, 0, torch.arange(100_000), "crop"), 0)
    assert torch.corrcoef(torch.stack([first, other]))[0, 1].abs() < 0.02
    assert len(keys.unique()) == len(keys)


@pytest.mark.parametrize(("names", "message"), [
    (["flop"], r"data\.augment: no 'flop' among the augments\. Did you mean 'flip'\? Names: flip, crop, jitter"),
    (["color"], r"data\.augment: no 'color' among the augments\. Did you mean 'colour'\?"),
    (["flip", "crop", "flip"], r"data\.augment: flip is there twice"),
    ("flip", r"data\.augment: given 'flip' \(text\), allowed: list of texts"),
])  # fmt: skip
def test_mistakes_are_told_before_anything_is_packed(tmp_path, names, message):
    with pytest.raises(ConfigError, match=message):
        open_data(glyphs_node(tmp_path / "cache", augment=names))
    assert not (tmp_path / "cache").exists()
