"""A small folder of configs and a verb that only pretends, for the tests of composing and sweeping."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Gt

from aigc_cli.errors import TrainingError
from aigc_cli.runs.names import run_directory

FILES = {
    "train.yaml": """
        defaults:
          - _self_
          - data: dots
          - optimizer: adam
          - schedule: constant
          - model: gan
          - optional pair: ${model}_${data}
          - recipe: null
        steps: 100      # training steps
        seed: 0         # of everything random
        output: outputs # where runs are written
        name: null      # the run's folder
        init: null      # weights to start from
        objective: null # what sweeps compare
        trainer:
          ema: 0.5      # decay of the average
          fused: true   # faster
    """,
    "data/dots.yaml": """
        # Dots on a grid
        name: glyphs
        size: 28    # pixels
        count: 100  # samples
        cache: null # where packs are kept
        augment: [] # names
    """,
    "data/folder.yaml": """
        # Your own pictures
        defaults: [dots, _self_]
        root: ???   # where they lie
    """,
    "data/lines.yaml": """
        # Lines on a grid
        defaults: [dots, _self_]
        size: 32
    """,
    "data/_hidden.yaml": "cache: null",
    "optimizer/adam.yaml": """
        # Adam
        name: adam
        lr: 1e-3             # learning rate
        betas: [0.9, 0.999]  # decays
        eps: 1e-8            # keeps the root away from zero
        weight_decay: 0.0    # L2
        phases: {}           # per phase
    """,
    "optimizer/adam_gan.yaml": """
        # Adam for GANs
        defaults: [adam, _self_]
        lr: 2e-4             # learning rate (arXiv:1511.06434)
    """,
    "schedule/constant.yaml": """
        name: constant
        warmup: 0 # steps
    """,
    "model/network/small.yaml": """
        name: small
        width: 8   # channels
    """,
    "model/network/large.yaml": """
        name: large
        width: 64  # channels
    """,
    "model/gan.yaml": """
        # @package _global_
        # A GAN
        defaults:
          - network@model.generator: small
          - override /optimizer: adam_gan
          - _self_
        model:
          name: gan
          latent: 64         # size of the noise
          conditional: false # by label
          penalty: null      # of the critic
    """,
    "model/dcgan.yaml": """
        # @package _global_
        # A convolutional GAN
        defaults:
          - gan
          - override network@model.generator: large
          - _self_
        model:
          latent: 100
    """,
    "model/vae.yaml": """
        # @package _global_
        # A VAE
        defaults:
          - network@model.encoder: small
          - _self_
        model:
          name: vae
          latent: 20 # size of the code
          beta: 1.0  # weight of the divergence
    """,
    "pair/dcgan_lines.yaml": """
        # @package _global_
        model: {latent: 101}
        optimizer: {lr: 0.3}
        steps: 300
    """,
    "recipe/lines.yaml": """
        # @package _global_
        # Lines as they are known to work
        defaults:
          - override /model: dcgan
          - override /data: lines
        steps: 400
    """,
}


def write_configs(folder: Path) -> Path:
    """Write the small folder of configs."""
    from textwrap import dedent

    for name, text in FILES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text).lstrip())
    return folder


def train(
    run: Any,
    *,
    steps: Annotated[int, Gt(0)] | None,
    seed: int,
    output: str,
    name: str | None,
    init: str | None,
    objective: Literal["sum"] | None,
    trainer: Mapping[str, Any],
    data: Mapping[str, Any],
    optimizer: Mapping[str, Any],
    schedule: Mapping[str, Any],
    model: Mapping[str, Any],
) -> float | None:
    """Pretend to train: draw a grey picture and leave a summary; 13 brings bad luck, 15 a Ctrl-C."""
    from PIL import Image

    folder = run_directory(run, Path(output))
    (folder / "samples").mkdir(parents=True, exist_ok=True)
    count = folder / "count"
    count.write_text(str(int(count.read_text()) + 1 if count.exists() else 1))
    if model["latent"] == 13:
        raise TrainingError("the loss is <NaN> at step 3.")
    if model["latent"] == 15:
        raise SystemExit(130)
    Image.new("L", (32, 32), 128).save(folder / "samples" / "grid.png")
    figure = model["latent"] * optimizer["lr"]
    summary = {"status": "finished", "objective": figure, "step": steps, "minutes": 0.1, "grid": "samples/grid.png"}
    (folder / "summary.json").write_text(json.dumps(summary))
    return figure
