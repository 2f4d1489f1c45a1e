"""A small classifier of a data set's labels, trained once and kept beside the pack: features that know the data."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from filelock import FileLock
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from aigc_cli.data.pack import Pack
from aigc_cli.data.tensor_data import TensorData
from aigc_cli.errors import ConfigError
from aigc_cli.evaluating.listening import FEATURES, Listener, varied
from aigc_cli.files import atomic_write, file_digest
from aigc_cli.interfaces import DataSpec
from aigc_cli.sounds.notes import are_notes

WIDTHS = (32, 64, 128)
EPOCHS, MOST_STEPS, RATE = 4, 4000, 4e-3


@dataclass(frozen=True)
class Learning:
    """Say how the classifier of a kind of data learns."""

    version: int  # raised when network or training change, so that old figures are not compared with new ones
    batch_size: int
    fewest_steps: int
    dropout: float  # share of features left out


OF_PICTURES = Learning(version=2, batch_size=128, fewest_steps=600, dropout=0.0)
OF_SOUNDS = Learning(version=3, batch_size=64, fewest_steps=1000, dropout=0.4)  # they are few, their speakers fewer


def learning_of(spec: DataSpec) -> Learning:
    """Return how the classifier of such data learns."""
    return OF_SOUNDS if spec.sound else OF_PICTURES


class Looker(nn.Sequential):
    """Map pictures (B, C, H, W) in [-1, 1] to features (B, 128): convolutions, and the largest value of all places."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        channels, side, layers = shape[0], max(shape[1:]), []
        larger = max(0, (side // 64).bit_length())
        widths = [*WIDTHS, *[WIDTHS[-1]] * larger]  # larger pictures are halved more often, the largest before all else
        layers += [nn.AvgPool2d(2, ceil_mode=True)] * (larger - 1)
        for index, width in enumerate(widths):
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            layers += [nn.MaxPool2d(2, ceil_mode=True)] if index < len(widths) - 1 else []
            channels = width
        super().__init__(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures (B, C, H, W) to features (B, 128)."""
        return super().forward(x).amax((2, 3))


class Classifier(nn.Module):
    """Map pictures, or sounds as pictures, to the logits of their labels; the layer before is the features."""

    def __init__(self, spec: DataSpec) -> None:
        super().__init__()
        self.spec, self.notes = spec, are_notes(spec.class_names)
        self.layers = Listener(spec.shape) if spec.sound else Looker(spec.shape)
        self.dropout = nn.Dropout(learning_of(spec).dropout)
        self.head = nn.Linear(FEATURES, spec.classes)

    def forward(self, stored: Tensor) -> tuple[Tensor, Tensor]:
        """Map stored integers (B, C, H, W) to features (B, 128) and logits (B, classes), float32.

        In training sounds are varied: other voices say them, unless voices are what the labels tell apart, as notes.
        """
        x = self.spec.encode(stored)
        features = self.layers(varied(x, voices=not self.notes) if self.training and self.spec.sound else x)
        return features, self.head(self.dropout(features))


def classifier(pack: Pack, folder: Path, device: torch.device) -> tuple[Classifier, str]:
    """Return the data set's classifier from the folder, trained first where there is none, and its weights' digest."""
    if not pack.spec.classes:
        raise ConfigError("features: the classifier needs labels, which these data have not. Type features=pixels.")
    if pack.counts["train"] < 2:
        raise ConfigError("features: the classifier learns from two samples or more. Type features=pixels.")
    path = folder / f"classifier-{learning_of(pack.spec).version}.safetensors"
    with FileLock(folder / ".lock-classifier"):
        model = _read(path, pack.spec) or _trained(pack, path, device)
        digest = file_digest(path)[:12]
    return model.to(device).eval(), digest


def accuracy(path: Path) -> float:
    """Return the share of held-out data that a stored classifier gets right."""
    return json.loads(path.with_suffix(".json").read_text())["accuracy"]


def _read(path: Path, spec: DataSpec) -> Classifier | None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    model = Classifier(spec)
    try:
        model.load_state_dict(load_file(path))
        accuracy(path)
    except (OSError, SafetensorError, RuntimeError, ValueError, KeyError):  # absent, cut off, of other data
        return None
    return model


def _trained(pack: Pack, path: Path, device: torch.device) -> Classifier:
    from safetensors.torch import save

    print("aigc: training a classifier of these data for the features, once: some minutes on a CPU.", file=sys.stderr)
    with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.enable_grad():
        model = _train(pack, device)
    right = _accuracy(model, pack, device)
    atomic_write(path, save({name: value.cpu().contiguous() for name, value in model.state_dict().items()}))
    atomic_write(path.with_suffix(".json"), json.dumps({"accuracy": right, "of": pack.counts["test"]}).encode())
    print(f"aigc: trained a classifier for the features: {right:.2%} right on held-out data.", file=sys.stderr)
    return model


def _train(pack: Pack, device: torch.device) -> Classifier:
    """Train by AdamW, its rate rising and falling (arXiv:1708.07120)."""
    torch.manual_seed(0)
    learning = learning_of(pack.spec)
    data = TensorData(pack, batch_size=min(learning.batch_size, pack.counts["train"]), seed=0, device=device)
    steps = min(max(EPOCHS * data.batches_per_epoch, learning.fewest_steps), MOST_STEPS)
    model = Classifier(pack.spec).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for step in tqdm(range(steps), desc="training a classifier", leave=False, disable=None, dynamic_ncols=True):
        batch = data.batch(step)
        assert batch.condition is not None
        optimizer.zero_grad()
        F.cross_entropy(model(batch.x)[1], batch.condition).backward()
        optimizer.step()
        schedule.step()
    return model


@torch.no_grad()
def _accuracy(model: Classifier, pack: Pack, device: torch.device) -> float:
    samples, labels = pack.split("test")
    assert labels is not None
    model.eval()
    right = 0
    for start in range(0, len(samples), 1000):
        logits = model(torch.from_numpy(samples[start : start + 1000]).to(device))[1]
        right += int((logits.argmax(1).cpu() == torch.from_numpy(labels[start : start + 1000])).sum())
    return right / max(1, len(samples))
