"""The peer of `aigc train`'s start: import torch, map the same pack, build the same layers, take one step, leave."""

from __future__ import annotations

import os
import sys
import time

import numpy as np
import torch

from benchmarks.plain_dcgan import PlainDCGAN


def main(samples: str, batch: int, width: int) -> None:
    """Take one step on a file of uint8 samples (N, 3, 64, 64)."""
    pictures = np.memmap(samples, np.uint8, "r").reshape(-1, 3, 64, 64)
    model = PlainDCGAN(width)
    chosen = np.random.default_rng(0).permutation(len(pictures))[:batch]
    real = torch.from_numpy(pictures[chosen]).float().div_(127.5).sub_(1)
    start = time.time()
    model.step(real)
    print("MARKS", start, time.time(), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
