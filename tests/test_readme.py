"""The README is executed: every command in it composes, and the first ones run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from aigc_cli.cli import main, read_arguments
from aigc_cli.composing.compose import compose
from aigc_cli.composing.composition import config_folders
from aigc_cli.composing.overrides import Groups, read
from aigc_cli.sweeping.sweeps import check_jobs, product

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = [
    shlex.split(line.removeprefix("$ "), comments=True)
    for block in re.findall(r"```console\n(.*?)```", README, re.S)
    for line in block.splitlines()
    if line.startswith("$ ")
]
AIGC = [words[1:] for words in COMMANDS if words[0] == "aigc"]
CELLS = [shlex.split(cell) for cell in re.findall(r"`aigc ((?:train|sample|data) [^`]*)`", README)]
SMALL = ["model.generator.widths=[8]", "model.critic.widths=[8]", "data.count=100", "preview.n=16"]


def test_there_are_commands():
    assert ["make", "demo"] in COMMANDS
    assert ["make", "test"] in COMMANDS
    assert len(AIGC) > 8


@pytest.mark.parametrize("words", [w for w in AIGC + CELLS if "..." not in " ".join(w)], ids=" ".join)
def test_every_command_is_understood(words):
    if words[0] in ("list", "show", "completion"):
        assert main(words) == 0
        return
    arguments = read_arguments(words[0], words[1:])
    if arguments.multirun:
        mistakes: list[str] = []
        typed = read(arguments.overrides, Groups(config_folders()), mistakes)
        swept = tuple(override.key for override in typed if override.sweep)
        assert len(check_jobs(words[0], list(product(typed)), swept, None, mistakes)) == 4
    else:
        assert compose(words[0], arguments.overrides).verb == words[0]


def test_the_first_minute(tmp_path, monkeypatch, capsys):
    """Train, continue, sample, walk and sweep, as the README says, at a tiny size."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIGC_CACHE", str(tmp_path / "cache"))
    assert main(["train", "steps=3", "name=gan-glyphs", *SMALL]) == 0
    said = capsys.readouterr().out
    assert "aigc sample ckpt=outputs/gan-glyphs" in said
    assert main(["sample", "ckpt=outputs/gan-glyphs", "n=64"]) == 0
    assert main(["sample", "ckpt=outputs/gan-glyphs", "interpolate=true", "frames=3", "n=4"]) == 0
    assert main(["train", "steps=5", "name=gan-glyphs", *SMALL]) == 0
    assert "continuing at step 3 of 5" in capsys.readouterr().out


@pytest.mark.parametrize("picture", re.findall(r"!\[[^\]]*\]\(([^)]+)\)|src=\"([^\"]+)\"", README))
def test_pictures_are_there_and_small(picture):
    assert 0 < (ROOT / "".join(picture)).stat().st_size < 1_000_000
