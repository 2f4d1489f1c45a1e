"""Pairs of pictures stay pairs: through packing, splits, shuffling and augmentation; what is no pair is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from packs import node, write_pictures
from PIL import Image

from aigc_cli.cli import main
from aigc_cli.data import AUGMENTS, FOR_SOUNDS
from aigc_cli.data.pack import open_data
from aigc_cli.data.tensor_data import TensorData
from aigc_cli.errors import DataError
from aigc_cli.interfaces import Classes, DataSpec

COUNT, SIDE = 40, 8


def pairs_node(folder: Path, cache: Path, **settings) -> dict:
    defaults = {"root": str(folder), "source": "a", "target": "b", "direction": "a_to_b", "size": SIDE, "channels": 3,
                "source_channels": 1, "fit": "crop"}  # fmt: skip
    return node("picture_pairs", cache, **{**defaults, **settings})


def patterns(count: int = COUNT) -> np.ndarray:
    """Return grey pictures, each of its own noise: (count, SIDE, SIDE)."""
    return np.random.default_rng(0).integers(0, 200, (count, SIDE, SIDE), np.uint8)


@pytest.fixture
def folders(tmp_path) -> Path:
    """Hold grey sources in a, and in b the same 50 lighter, in colour, under other endings."""
    for name, added, mode in (("a", 0, "L"), ("b", 50, "RGB")):
        (tmp_path / "pairs" / name / "inner").mkdir(parents=True)
        for number, pattern in enumerate(patterns()):
            picture = Image.fromarray(pattern + np.uint8(added)).convert(mode)
            picture.save(tmp_path / "pairs" / name / "inner" / f"{number}.{'png' if added else 'bmp'}")
    return tmp_path / "pairs"


@pytest.fixture
def side_by_side(tmp_path) -> Path:
    (tmp_path / "wide").mkdir()
    for number, pattern in enumerate(patterns()):
        both = np.concatenate([pattern, pattern + 50], axis=1)
        Image.fromarray(both).convert("RGB").save(tmp_path / "wide" / f"{number}.png")
    return tmp_path / "wide"


def of_one_pair(sources: np.ndarray, samples: np.ndarray, difference: int = 50) -> bool:
    return bool((sources.astype(int) + difference == samples.astype(int)).all())


HALVES = {"source": None, "target": None}


@pytest.mark.parametrize(("fixture", "settings"), [("folders", {}), ("side_by_side", HALVES)])
@pytest.mark.parametrize("direction", ["a_to_b", "b_to_a"])
def test_both_of_a_pair_are_packed_beside_each_other(fixture, settings, direction, cache, request):
    root = request.getfixturevalue(fixture)
    pack = open_data(pairs_node(root, cache, direction=direction, **settings))
    assert sum(pack.counts.values()) == COUNT
    assert pack.counts["test"] >= 1
    for split in ("train", "test"):
        samples, sources = pack.split(split)
        assert samples.shape == (pack.counts[split], 3, SIDE, SIDE)
        assert sources is not None
        assert sources.shape == (pack.counts[split], 1, SIDE, SIDE)
        assert of_one_pair(sources, samples, 50 if direction == "a_to_b" else -50)
    assert pack.damage() == []
    assert pack.spec.condition == DataSpec("image", (1, SIDE, SIDE))
    assert open_data(pairs_node(root, cache, direction=direction, **settings)).fresh is False


def test_the_pack_notices_a_partner_that_changed(folders, cache):
    before = open_data(pairs_node(folders, cache)).fingerprint
    Image.new("L", (SIDE, SIDE), 7).save(folders / "a" / "inner" / "3.bmp")
    assert open_data(pairs_node(folders, cache)).fingerprint != before


@pytest.mark.parametrize("name", [each for each in AUGMENTS if each not in (*FOR_SOUNDS, "colour")])
def test_augmentation_treats_both_alike(folders, cache, name):
    pack = open_data(pairs_node(folders, cache))
    data = TensorData(pack, batch_size=16, seed=3, device=torch.device("cpu"), augment=[name])
    plain = TensorData(pack, batch_size=16, seed=3, device=torch.device("cpu"))
    batch = data.batch(0)
    assert batch.condition is not None
    difference = batch.x.int() - batch.condition.int()
    assert (difference - 50).abs().max() <= 1  # resampling rounds each by itself
    assert not torch.equal(batch.x, plain.batch(0).x)
    again = TensorData(pack, batch_size=16, seed=3, device=torch.device("cpu"), augment=[name]).batch(0)
    assert torch.equal(again.x, batch.x)
    assert torch.equal(again.condition, batch.condition)


def test_batches_hold_pairs_and_a_condition_of_the_sources_spec(folders, cache):
    data = TensorData(open_data(pairs_node(folders, cache)), batch_size=8, seed=0, device=torch.device("cpu"))
    seen = [data.batch(step) for step in range(2 * data.batches_per_epoch)]
    for batch in seen:
        assert batch.condition is not None
        assert batch.condition.dtype == torch.uint8
        if batch is seen[-1]:
            assert of_one_pair(batch.condition.numpy(), batch.x.numpy())


def test_what_is_no_pair_is_listed_and_skipped(folders, cache):
    inner = folders / "b" / "inner"
    (inner / "0.png").unlink()  # a's has no partner
    Image.new("RGB", (SIDE, SIDE + 2)).save(inner / "1.png")
    (folders / "a" / "inner" / "2.bmp").write_bytes(b"words")
    Image.new("RGB", (SIDE, SIDE)).save(inner / "3.jpg")  # beside 3.png
    (inner / "4.png").write_bytes(b"")
    write_pictures(folders / "b", 1, start=99)
    pack = open_data(pairs_node(folders, cache, max_bad=1.0))
    assert sum(pack.counts.values()) == COUNT - 5
    reasons = dict(pack.rejections())
    assert reasons["a/inner/0.bmp"] == "no partner of this name in b"
    assert reasons["b/0099.png"] == "no partner of this name in a"
    assert reasons["b/inner/1.png"] == "8x10 pixels, but its partner in inner has 8x8"
    assert reasons["b/inner/2.png"].startswith("its partner inner/2.bmp: no picture: it begins with b'words'")
    assert reasons["b/inner/3.jpg"] == "its name is there twice, with different endings"
    assert reasons["b/inner/4.png"] == "an empty file"


def test_a_picture_of_odd_width_has_no_halves(side_by_side, cache):
    Image.new("RGB", (2 * SIDE + 1, SIDE)).save(side_by_side / "odd.png")
    pack = open_data(pairs_node(side_by_side, cache, max_bad=0.1, **HALVES))
    ((path, reason),) = pack.rejections()
    assert path == "odd.png"
    assert reason == "17 pixels wide, an odd number: no two pictures of one size side by side"
    with pytest.raises(DataError, match=r"more than max_bad=0\.01 of the 41 files.* odd\.png \(17 pixels wide"):
        open_data(pairs_node(side_by_side, cache, **HALVES))


REFUSED = {
    "no partner folder": ({"target": "nowhere"}, "data.target: no folder 'nowhere' in"),
    "one folder only": ({"source": None}, "data.source: null, but data.target names a folder. Type data.source="),
    "no root": ({"root": "nowhere/at/all"}, "data.root: no folder 'nowhere/at/all'"),
    "no name in common": ({"target": "others"}, "have no name in common"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_mistakes_are_one_line(folders, cache, case):
    settings, said = REFUSED[case]
    write_pictures(folders / "others", 3, start=500)
    with pytest.raises(DataError) as caught:
        open_data(pairs_node(folders, cache, **settings))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not cache.exists() or not [each for each in cache.iterdir() if not each.name.startswith(".lock")]


def test_side_by_side_pictures_are_suspected_where_the_folders_are_missing(side_by_side, cache):
    with pytest.raises(DataError, match=r"no folder 'a' in .* type data\.source=null data\.target=null"):
        open_data(pairs_node(side_by_side, cache))


def test_a_spec_of_pairs_survives_json_and_old_ones_are_read():
    labelled = DataSpec("image", (1, 4, 4), condition=Classes(("a", "b")))
    paired = DataSpec("image", (3, 4, 4), condition=DataSpec("image", (1, 4, 4)))
    for spec in (labelled, paired, DataSpec("image", (1, 4, 4))):
        assert DataSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    assert (paired.classes, paired.class_names) == (0, ())
    assert DataSpec.from_dict({"kind": "image", "shape": [1, 4, 4], "levels": 256, "classes": ["a", "b"]}) == labelled


def test_aigc_data_shows_sources_over_targets(folders, cache, tmp_path, capsys):
    words = [f"data.root={folders}", f"data.cache={cache}", f"data.size={SIDE}", "data.source_channels=1"]
    assert main(["data", "check", "data=picture_pairs", *words, f"output={tmp_path / 'look'}", "n=4"]) == 0
    shown = capsys.readouterr().out
    assert f"samples:  image 3x{SIDE}x{SIDE}, 256 levels" in shown
    assert f"from:     image 1x{SIDE}x{SIDE}, 256 levels" in shown
    (page,) = (tmp_path / "look").glob("*.png")
    with Image.open(page) as picture:
        assert picture.height > picture.width  # three columns, two rows of sources and two of targets
