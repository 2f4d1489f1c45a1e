"""Compare two sets of features (N, D): how far apart, how faithful, how varied. Sums and kernels by torchmetrics."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

SUBSET, SUBSETS = 1000, 100  # samples of a kernel distance's subset, and how many subsets (arXiv:1801.01401)
BLOCK = 2048  # rows whose distances to all others are in memory at once


def frechet(samples: Tensor, data: Tensor) -> float:
    """Return the Fréchet distance of two normal distributions fitted to the features (arXiv:1706.08500, Eq. 6).

    Unit: squared features. It is biased upwards by few samples: compare only figures of the same N.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=Given(samples.shape[1])).set_dtype(torch.float64)
    metric.update(samples.double(), real=False)
    metric.update(data.double(), real=True)
    return max(float(metric.compute()), 0.0)  # in this order NaN stays NaN


def kernel(samples: Tensor, data: Tensor) -> float:
    """Return the kernel distance, the mean of 100 subsets' (arXiv:1801.01401, Eq. 4): unbiased for any N."""
    from torchmetrics.image.kid import KernelInceptionDistance

    size = min(SUBSET, len(samples), len(data))
    with warnings.catch_warnings(), torch.random.fork_rng([]):
        warnings.simplefilter("ignore")  # that it keeps the features
        torch.manual_seed(0)
        metric = KernelInceptionDistance(feature=Given(samples.shape[1]), subsets=SUBSETS, subset_size=size)
        metric.update(samples.double(), real=False)
        metric.update(data.double(), real=True)
        return float(metric.compute()[0])


def precision_recall(samples: Tensor, data: Tensor, *, k: int = 3) -> tuple[float, float]:
    """Return the share of samples among the data, and of data among the samples (arXiv:1904.06991, Eq. 1 and 2).

    One lies among others where it is no farther from one of them than that one's k-th nearest neighbour of its own.
    """
    return _share_among(samples.float(), data.float(), k), _share_among(data.float(), samples.float(), k)


def _share_among(points: Tensor, others: Tensor, k: int) -> float:
    inside = torch.zeros(len(points), dtype=torch.bool)
    for block in others.split(BLOCK):
        inside |= (torch.cdist(block, points) <= _radii(block, others, k)[:, None]).any(0)
    return float(inside.float().mean())


def _radii(block: Tensor, points: Tensor, k: int) -> Tensor:
    """Return the distance of each row to its k-th nearest neighbour; the nearest of all is the row itself."""
    return torch.cdist(block, points).kthvalue(k + 1, dim=1).values


def density_coverage(samples: Tensor, data: Tensor, *, k: int = 5) -> tuple[float, float]:
    """Return how densely samples lie among the data, and the share of the data that has one near (arXiv:2002.09797).

    A data point's neighbourhood reaches to its k-th nearest neighbour among the data. Density may exceed 1 (Eq. 3).
    """
    samples, data = samples.float(), data.float()
    density, covered = 0.0, 0
    for block in data.split(BLOCK):
        radius = _radii(block, data, k)
        distances = torch.cdist(block, samples)
        density += float((distances < radius[:, None]).sum())
        covered += int((distances.amin(1) < radius).sum())
    return density / (k * len(samples)), covered / len(data)


class Given(nn.Module):
    """Stand where torchmetrics wants a network: the features are there already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        """Return the features (N, D)."""
        return features
