"""The wheel carries its configs: `pip install .` and `aigc train` work from an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Build the wheel and unpack it, as an installation would."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*command, str(ROOT)], check=True)
    (wheel,) = folder.glob("aigc-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_holds_every_config_and_module(site):
    for folder, suffix, inside in (("configs", "yaml", "aigc_cli/configs"), ("aigc_cli", "py", "aigc_cli")):
        there = {path.relative_to(ROOT / folder) for path in (ROOT / folder).rglob(f"*.{suffix}")}
        packed = {path.relative_to(site / inside) for path in (site / inside).rglob(f"*.{suffix}")}
        assert there == packed


def test_it_trains_from_an_empty_folder(site, tmp_path):
    variables = {**os.environ, "PYTHONPATH": str(site), "AIGC_CACHE": str(tmp_path / "cache")}
    small = ["steps=2", "data.count=100", "data.workers=0", "preview.tensorboard=false"]
    run = subprocess.run(
        [sys.executable, "-m", "aigc_cli", "train", *small],
        cwd=tmp_path, env=variables, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "outputs").is_dir()
    where = subprocess.run(
        [sys.executable, "-c", "import aigc_cli; print(aigc_cli.__file__)"],
        cwd=tmp_path, env=variables, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert str(site) in where.stdout
