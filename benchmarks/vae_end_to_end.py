"""Measure training a VAE on MNIST end to end: aigc against PyTorch's example, its loader included."""

from __future__ import annotations

import struct
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, RandomSampler

from aigc_cli.composing.compose import compose
from aigc_cli.data.pack import open_data
from aigc_cli.data.tensor_data import TensorData
from aigc_cli.devices import choose
from aigc_cli.trainer import Trainer
from benchmarks.measuring import Report, in_turn, parsed, parser
from benchmarks.workloads import trainer_for

FOREVER = 1 << 40  # samples: one endless epoch
LATENT = 20
OURS, PEER = "aigc", "plain PyTorch loop"


class PlainVAE(nn.Module):
    """784-400-20-400-784, as https://github.com/pytorch/examples/tree/main/vae has it, written anew."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.enter = nn.Linear(784, hidden)
        self.mean, self.log_variance = nn.Linear(hidden, LATENT), nn.Linear(hidden, LATENT)
        self.widen, self.leave = nn.Linear(LATENT, hidden), nn.Linear(hidden, 784)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map pictures (B, 784) in [0, 1] to their reconstruction, and the posterior's mean and log variance."""
        hidden = torch.relu(self.enter(x))
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
        return torch.sigmoid(self.leave(torch.relu(self.widen(z)))), mean, log_variance


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    made = parser(__doc__, rounds=15)
    made.add_argument("--root", help="folder that holds MNIST, as torchvision lays it out (None: noise in its place)")
    made.add_argument("--batch", type=int, default=128)
    made.add_argument("--steps", type=int, default=100, help="training steps a round")
    made.add_argument("--hidden", type=int, default=400)
    options = parsed(made, arguments)
    report = Report("vae_end_to_end", options, arguments)
    peer = PlainVAE(options.hidden)
    with tempfile.TemporaryDirectory(prefix="aigc-benchmark-") as scratch:
        options.root = options.root or noise(Path(scratch))
        trainer, turn = ours(options, Path(scratch))
        values = in_turn({OURS: turn, PEER: plain(peer, options)}, options.rounds)
    counts = [sum(p.numel() for p in model.parameters()) for model in (trainer.model, peer)]
    assert counts[0] == counts[1], "two networks of one size"
    report.settings = {"batch": options.batch, "steps": options.steps, "parameters": counts[0]}
    for label, rates in values.items():
        report.figure(label, "images/s", rates)
    label = f"{OURS} / {PEER}"
    report.require(label, report.ratio(label, values[OURS], values[PEER]), least=3)
    report.write()


def noise(folder: Path, count: int = 2000) -> str:
    """Write noise as MNIST's files (the IDX format); return their folder."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix in ("train", "t10k"):
        for name, shape, most in (("images-idx3", (count, 28, 28), 256), ("labels-idx1", (count,), 10)):
            values = np.random.default_rng(0).integers(most, size=shape, dtype=np.uint8)
            head = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)
            (raw / f"{prefix}-{name}-ubyte").write_bytes(head + values.tobytes())
    return str(folder)


def ours(options: Namespace, scratch: Path) -> tuple[Trainer, Callable[[], float]]:
    """Return the trainer and what trains it from a pack, as `aigc train model=vae data=mnist` does."""
    device = choose("cpu", "fp32")
    widths = [f"model.{part}.widths=[{options.hidden}]" for part in ("encoder", "decoder")]
    overrides = ["model=vae", f"model.latent={LATENT}", *widths, "data=mnist", f"data.root={options.root}",
                 f"data.cache={scratch}"]  # fmt: skip
    pack = open_data(compose("train", overrides).config["data"], progress=False)
    data = TensorData(pack, batch_size=options.batch, seed=0, device=device.torch)
    trainer = trainer_for(overrides, pack.spec, device)

    def measure() -> float:
        torch.set_flush_denormal(True)  # as choose() did
        start = time.perf_counter()
        for _ in range(options.steps):
            trainer.step(data.batch(trainer.steps))
        trainer.losses.check()  # what a log interval costs, each round
        return options.steps * options.batch / (time.perf_counter() - start)

    return trainer, measure


def plain(model: PlainVAE, options: Namespace) -> Callable[[], float]:
    """Train from torchvision's MNIST through a DataLoader, as the example does: no workers on a CPU."""
    from torchvision import transforms
    from torchvision.datasets import MNIST

    digits = MNIST(options.root, train=True, transform=transforms.ToTensor())
    sampler = RandomSampler(digits, num_samples=FOREVER)
    batches: Iterator[tuple[Tensor, Tensor]] = iter(DataLoader(digits, options.batch, sampler=sampler))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def measure() -> float:
        torch.set_flush_denormal(False)  # torch's default
        start, total = time.perf_counter(), 0.0
        for _ in range(options.steps):
            x = next(batches)[0].view(-1, 784)
            optimizer.zero_grad()
            drawn, mean, log_variance = model(x)
            divergence = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
            loss = F.binary_cross_entropy(drawn, x, reduction="sum") + divergence
            loss.backward()
            total += loss.item()
            optimizer.step()
        return options.steps * options.batch / (time.perf_counter() - start)

    return measure


if __name__ == "__main__":
    main()
