"""Read symbols as vectors, and vectors as symbols."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F


class Symbols(nn.Embedding):
    """Read and write symbols by the same weights (arXiv:1608.05859, arXiv:1706.03762, Section 3.4).

    Vectors have a variance of 1 at first, and so have the logits of such vectors.
    """

    def reset_parameters(self) -> None:
        """Draw the weights."""
        nn.init.normal_(self.weight, std=self.embedding_dim**-0.5)

    def forward(self, input: Tensor) -> Tensor:
        """Map symbols (B, t) to vectors (B, t, D)."""
        return super().forward(input) * math.sqrt(self.embedding_dim)

    def logits(self, hidden: Tensor, bias: Tensor | None = None) -> Tensor:
        """Map vectors (B, t, D) to logits (B, t, V), of all symbols or of as many, the first, as there are biases."""
        return F.linear(hidden, self.weight if bias is None else self.weight[: len(bias)], bias)
