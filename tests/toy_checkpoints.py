"""Small checkpoints for tests: each tells its step by its weights."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from aigc_cli import checkpoints
from aigc_cli.checkpoints.reading import MANIFEST

META = {"config": {"model": {"name": "toy", "width": 4}}, "choices": {"model": "toy"}, "spec": {"shape": [1, 2, 2]}}


def save(folder: Path, step: int, *, keep: int = 9, scale: float = 1.0, **settings) -> Path:
    """Save weights that tell their step."""
    tensors = {"net.weight": torch.full((3, 4), float(step)) * scale, "net.bias": torch.arange(3)}
    state = {"step": step, "moments": [torch.full((3, 4), step / 7)], "scaler": {}}
    return checkpoints.save(folder, step, tensors, META, state, keep=keep, **settings)


def rewrite_manifest(folder: Path, **values) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, **values}))
