"""Compare two sets of features (N, D): how far apart, how faithful, how varied. Arithmetic by torch-fidelity."""

from __future__ import annotations

import torch
from torch import Tensor

SUBSET = 1000  # samples of a kernel distance's subsets, as arXiv:1801.01401
BLOCK = 2048  # rows whose distances to all others are in memory at once


def frechet(samples: Tensor, data: Tensor) -> float:
    """Return the Fréchet distance of two normal distributions fitted to the features (arXiv:1706.08500, Eq. 6).

    Unit: squared features. It is biased upwards by few samples: compare only figures of the same N.
    """
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

    statistics = [fid_features_to_statistics(each.double().cpu()) for each in (samples, data)]
    return max(0.0, fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID])


def kernel(samples: Tensor, data: Tensor) -> float:
    """Return the kernel distance, the mean of 100 subsets' (arXiv:1801.01401, Eq. 4): unbiased for any N."""
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    size = min(SUBSET, len(samples), len(data))
    found = kid_features_to_metric(samples.double(), data.double(), kid_subset_size=size, verbose=False)
    return found[KEY_METRIC_KID_MEAN]


def precision_recall(samples: Tensor, data: Tensor, *, k: int = 3) -> tuple[float, float]:
    """Return the share of samples among the data, and of data among the samples (arXiv:1904.06991, Eq. 1 and 2)."""
    from torch_fidelity.metric_prc import calculate_precision_recall_part

    return calculate_precision_recall_part(samples.float(), data.float(), k, BLOCK)


def density_coverage(samples: Tensor, data: Tensor, *, k: int = 5) -> tuple[float, float]:
    """Return how densely samples lie among the data, and the share of the data that has one near (arXiv:2002.09797).

    A data point's neighbourhood reaches to its k-th nearest neighbour among the data. Density may exceed 1 (Eq. 3).
    """
    samples, data = samples.float(), data.float()
    density, covered = 0.0, 0
    for block in data.split(BLOCK):
        radius = torch.cdist(block, data).kthvalue(k + 1, dim=1).values  # the nearest of all is the point itself
        distances = torch.cdist(block, samples)
        density += float((distances < radius[:, None]).sum())
        covered += int((distances.amin(1) < radius).sum())
    return density / (k * len(samples)), covered / len(data)
