"""A codebook: vectors are replaced by the nearest of K codes, and the codes follow the vectors. arXiv:1711.00937."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aigc_cli.interfaces import Logs

FEWEST = 1e-5  # vectors a step on average, below which a code's mean is not worth computing


class Codebook(nn.Module):
    """Keep each code at the running mean of the vectors that choose it: arXiv:1711.00937, appendix A.1.

    A code that few choose moves onto a vector of the batch (as arXiv:2005.00341, Section 3.1); so does, at the
    first step, every code. Nothing here is a parameter: the codes are buffers, which `update` changes.
    """

    def __init__(self, size: int, width: int, *, decay: float, revive: float) -> None:
        super().__init__()
        self.decay, self.revive = decay, revive
        self.codes: Tensor
        self.counts: Tensor
        self.sums: Tensor
        self.register_buffer("codes", torch.randn(size, width))
        self.register_buffer("counts", torch.zeros(size))  # vectors a step, averaged
        self.register_buffer("sums", torch.zeros(size, width))  # of those vectors

    def choose(self, vectors: Tensor) -> Tensor:
        """Return the index of the code nearest to each vector: (N, D) to (N,)."""
        with torch.autocast(vectors.device.type, enabled=False):  # small differences of large squares
            vectors = vectors.detach().float()
            distances = torch.addmm(self.codes.square().sum(1), vectors, self.codes.T, alpha=-2)
        return distances.argmin(1)

    def look_up(self, ids: Tensor) -> Tensor:
        """Return the codes of indices: (...) to (..., D)."""
        return F.embedding(ids, self.codes)

    def update(self, vectors: Tensor, ids: Tensor) -> None:
        """Let the codes follow the vectors (N, D), float32, that chose them."""
        counts = torch.zeros_like(self.counts).index_add_(0, ids, torch.ones_like(vectors[:, 0]))
        self.counts.lerp_(counts, 1 - self.decay)
        self.sums.lerp_(torch.zeros_like(self.sums).index_add_(0, ids, vectors), 1 - self.decay)
        means = self.sums / self.counts.clamp(min=FEWEST)[:, None]
        self.codes.copy_(torch.where(self.counts[:, None] > FEWEST, means, self.codes))
        if self.revive:
            self._revive(vectors)

    def _revive(self, vectors: Tensor) -> None:
        """Move codes chosen less than `revive` times as often as on average; they then count as chosen evenly."""
        even = len(vectors) / len(self.codes)
        dead = self.counts < self.revive * even
        picked = vectors[torch.randint(len(vectors), (len(self.codes),), device=vectors.device)]
        self.codes.copy_(torch.where(dead[:, None], picked, self.codes))
        self.sums.copy_(torch.where(dead[:, None], picked * even, self.sums))
        self.counts.copy_(torch.where(dead, even, self.counts))

    def logs(self, ids: Tensor) -> Logs:
        """Return how many codes the vectors used: as the perplexity of their choice, and as a share of all."""
        counts = torch.zeros_like(self.counts).index_add_(0, ids, torch.ones_like(ids, dtype=torch.float32))
        shares = counts / len(ids)
        return {"perplexity": torch.special.entr(shares).sum().exp(), "codes_used": (counts > 0).float().mean()}
