"""Find what samples were copied from: the nearest training data, pixel by pixel."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

ROUNDING = 0.1  # levels, below which two pictures are one
BLOCK = 4096  # training samples whose distances are in memory at once


def nearest(queries: Tensor, data: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """Return each query's distance to its nearest neighbour in the data, and that one's index: (N,) each.

    queries (N, ...) and data (M, ...) are stored integers. Unit: root mean squared difference of a value, in levels.
    """
    rows = queries.flatten(1).float()
    best, index = torch.full((len(rows),), torch.inf), torch.zeros(len(rows), dtype=torch.int64)
    for start in range(0, len(data), BLOCK):
        block = torch.from_numpy(np.array(data[start : start + BLOCK])).flatten(1).float()
        distance, where = torch.cdist(rows, block).min(1)
        closer = distance < best
        best, index = torch.where(closer, distance, best), torch.where(closer, where + start, index)
    return best / rows.shape[1] ** 0.5, index


def memorisation(samples: Tensor, held_out: Tensor, data: NDArray[np.uint8]) -> tuple[float, Tensor, Tensor]:
    """Return the ratio of the samples' median distance to the training data to that of held-out data, and the nearest.

    About 1: as far from the training data as fresh data are. Far below 1: copies. Also each sample's distance and the
    index of its neighbour.
    """
    distances, index = nearest(samples, data)
    fresh = nearest(held_out, data)[0].median()
    ratio = float(distances.median() / fresh) if fresh > ROUNDING else float("nan")  # held-out data that are copies
    return ratio, distances, index
