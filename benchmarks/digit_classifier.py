"""A small classifier of digits, trained on the real ones, that grades generated ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aigc_cli.data.pack import Pack
from aigc_cli.data.tensor_data import TensorData

BATCH = 100


def network(size: int) -> nn.Sequential:
    """Map digits (B, 1, size, size) to logits (B, 10)."""
    side = size // 4
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * side * side, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def train_classifier(pack: Pack, epochs: int) -> nn.Module:
    """Train on the train split by Adam, its rate falling to nothing."""
    torch.manual_seed(0)
    data = TensorData(pack, batch_size=BATCH, seed=0, device=torch.device("cpu"))
    model, steps = network(pack.spec.shape[-1]), epochs * data.batches_per_epoch
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for step in range(steps):
        batch = data.batch(step)
        assert batch.condition is not None
        optimizer.zero_grad()
        F.cross_entropy(model(pack.spec.encode(batch.x)), batch.condition).backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def accuracy(classifier: nn.Module, pack: Pack) -> float:
    """Return the share of the test split that is classified right."""
    samples, labels = pack.split("test")
    assert labels is not None
    _, digits = confidences(classifier, pack.spec.encode(torch.from_numpy(samples)))
    return float((digits == torch.from_numpy(labels)).double().mean())


@torch.no_grad()
def confidences(classifier: nn.Module, signals: Tensor) -> tuple[Tensor, Tensor]:
    """Return the largest probability (N,) and its digit (N,) for signals in [-1, 1]."""
    probabilities = torch.cat([classifier(part).softmax(1) for part in signals.split(500)])
    confidence, digits = probabilities.max(1)
    return confidence, digits
