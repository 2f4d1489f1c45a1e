"""`aigc data check` and `aigc data pack`, as typed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from packs import write_pictures
from PIL import Image

from aigc_cli.cli import main
from aigc_cli.commands import data as command

GLYPHS = ("data=glyphs", "data.size=16", "data.count=50", "data.workers=0")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    """Run in an empty folder, with the cache in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIGC_CACHE", str(tmp_path / "cache"))
    return tmp_path


def photos(*more: str) -> tuple[str, ...]:
    return ("data=image_folder", "data.root=photos", "data.size=16", "data.workers=0", *more)


def lines(text: str) -> dict[str, str]:
    """Return the indented lines of a report, word -> rest."""
    found = [line.strip().partition(":") for line in text.splitlines() if line.startswith("  ")]
    return {word: rest.strip() for word, _, rest in found}


def test_pack_decodes_and_says_what_there_is(here, capsys):
    assert main(["data", "pack", *GLYPHS]) == 0
    out = capsys.readouterr().out
    assert out.startswith(str(here / "cache" / "glyphs-"))
    assert "packed in" in out.splitlines()[0]
    said = lines(out)
    assert said["samples"] == "image 1x16x16, 256 levels"
    assert said["train"] == "50 (" + ", ".join(f"{digit} 5" for digit in range(10)) + ")"
    assert said["test"].startswith("10 (0 1, 1 1")
    assert "only 50 training pictures" in said["advice"]
    assert "look" not in said
    assert sorted(os.listdir(here)) == ["cache"]


def test_the_second_time_it_was_packed_before(capsys):
    assert main(["data", "pack", *GLYPHS]) == 0
    assert main(["data", "pack", *GLYPHS]) == 0
    assert capsys.readouterr().out.count("packed before") == 1


def test_check_draws_a_grid_with_classes_in_columns(here, capsys):
    assert main(["data", "check", *GLYPHS, "n=20"]) == 0
    said = lines(capsys.readouterr().out)
    assert said["checked"] == "every file is what its checksum says"
    assert said["look"] == "outputs/data/glyphs.png"
    with Image.open(here / said["look"]) as opened:
        assert opened.format == "PNG"
        page = np.asarray(opened)
    assert page.shape == (2 * 66 - 2, 10 * 66 - 2)  # 16 pixels four times, two rows of ten classes
    (samples,) = here.glob("cache/glyphs-*/train.samples")
    stored = np.fromfile(samples, np.uint8).reshape(50, 16, 16)
    tiles = [page[row : row + 64 : 4, column : column + 64 : 4] for row in (0, 66) for column in range(0, 660, 66)]
    indices = [next(i for i, sample in enumerate(stored) if (sample == tile).all()) for tile in tiles]
    assert [index % 10 for index in indices] == [*range(10), *range(10)]
    assert len(set(indices)) == 20


def test_another_seed_draws_others_and_the_same_seed_the_same(here):
    pages = []
    for seed, output in ((0, "a"), (0, "b"), (1, "c")):
        assert main(["data", "check", *GLYPHS, "n=9", f"seed={seed}", f"output={output}"]) == 0
        pages.append((here / output / "glyphs.png").read_bytes())
    assert pages[0] == pages[1] != pages[2]


def test_check_of_a_folder_of_colour_pictures(here, capsys):
    write_pictures(here / "photos", 30, side=20)
    assert main(["data", "check", *photos("n=1000")]) == 0
    said = lines(capsys.readouterr().out)
    assert said["samples"] == "image 3x16x16, 256 levels"
    assert int(said["train"]) + int(said["test"]) == 30
    with Image.open(here / said["look"]) as opened:
        assert opened.mode == "RGB"
    assert "rejected" not in said
    assert "ignored" not in said


def test_what_could_not_be_used_is_counted_and_named(here, capsys):
    write_pictures(here / "photos", 40)
    for number in range(12):
        (here / "photos" / f"bad{number:02}.jpg").write_text("words")
    (here / "photos" / "notes.txt").write_text("words")
    assert main(["data", "check", *photos("data.max_bad=0.5")]) == 0
    out, error = capsys.readouterr()
    assert "  ignored:  1 files that are no pictures\n" in out
    assert "  rejected: 12 files\n" in out
    assert out.count("no picture: it begins with b'words'") == command.LISTED
    (listed,) = here.glob("cache/*/rejected.jsonl")
    assert f"all are in {listed}" in out
    assert error == f"aigc: 12 files cannot be used: {listed}.\n"


def test_check_tells_what_is_bad_however_much_it_is_and_ends_as_training_would(here, capsys):
    write_pictures(here / "photos", 10)
    for number in range(4):
        (here / "photos" / f"bad{number}.jpg").write_text("words")
    for _ in range(2):  # packing, and what is packed already
        assert main(["data", "check", *photos()]) == 2
        out, error = capsys.readouterr()
        assert "  rejected: 4 files\n" in out
        assert out.count("no picture: it begins with b'words'") == 4
        assert "  look:     " in out
        assert error.splitlines()[-1].startswith("aigc: data: more than max_bad=0.01 of the 14 files cannot be used.")
    assert main(["data", "pack", *photos()]) == 2
    assert "rejected" not in capsys.readouterr().out
    assert main(["data", "check", *photos("data.max_bad=2")]) == 2
    assert "data.max_bad: given 2" in capsys.readouterr().err


def test_labels_are_counted_by_class(here, capsys):
    for start, name in enumerate(("ant", "bee")):
        write_pictures(here / "photos" / name, 10, start=start * 10)
    assert main(["data", "pack", *photos("data.labels=true")]) == 0
    said = lines(capsys.readouterr().out)
    assert said["train"].partition(" ")[2].startswith("(ant ")
    assert ", bee " in said["train"]


def test_check_finds_a_flipped_byte(here, capsys):
    assert main(["data", "pack", *GLYPHS]) == 0
    (samples,) = here.glob("cache/*/train.samples")
    content = bytearray(samples.read_bytes())
    content[7] ^= 1
    samples.write_bytes(content)
    assert main(["data", "check", *GLYPHS]) == 2
    error = capsys.readouterr().err
    assert error == f"aigc: {samples.parent}: train.samples differ from their checksums. Remove the folder.\n"


@pytest.mark.parametrize(("words", "message"), [
    (("check", "data=image_folder"), "data.root"),
    (("check", "data=image_folder", "data.root=nowhere"), "data.root: no folder 'nowhere'."),
    (("check", "data=glyphs", "data.augment=[flop]"), "Did you mean 'flip'?"),
    (("check", "data=glyfs"), "Did you mean 'glyphs'?"),
    (("check", "data=glyphs", "n=0"), "n: given 0, allowed: whole number >= 1"),
    (("chekc", "data=glyphs"), "check"),
    ((), "check"),
], ids=str)  # fmt: skip
def test_mistakes_are_lines_without_a_traceback(here, capsys, words, message):
    assert main(["data", *words]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert message in error
    assert all(line.startswith("aigc: ") for line in error.splitlines())
    assert os.listdir(here) == []


def test_a_grid_that_cannot_be_written_is_one_line(here, capsys):
    (here / "file").write_text("")
    assert main(["data", "check", *GLYPHS, "output=file"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("aigc: output: cannot write file/glyphs.png (")
    assert len(error.splitlines()) == 1
