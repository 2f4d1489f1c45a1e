"""Let places gather from each other."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

# Places up to which torch 2.11's fused kernel for CPUs is the slower way in bf16. Its backward pass takes 5 to 13 times
# as long as this one at 50 places, 3 times at 200, and as long at 1,000; forth alone they are alike up to 200.
SHORT_FOR_LEARNING, SHORT = 512, 128


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    causal: bool = False,
    mask: Tensor | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Return softmax(query key^T / sqrt(D)) value: (B, heads, T, D) with (B, heads, S, D) to (B, heads, T, D).

    With `causal` the T places are the newest of the S, and each gathers from itself and those before it; with `mask`
    (B, 1, 1 or T, S) from those that are true, and there must be one; not with both. `dropout` is the share of the
    weights left out. Error: written out in bf16, scores are rounded to 1/256 of themselves: 0.4 to 3 % of the result
    for scores of 5 to 300, where the kernel keeps to 0.2 %. arXiv:1706.03762, Eq. 1.
    """
    key, value = key.to(query.dtype), value.to(query.dtype)  # a cache may hold them more exactly
    short = key.shape[-2] <= (SHORT_FOR_LEARNING if torch.is_grad_enabled() else SHORT)
    new, seen = query.shape[-2], key.shape[-2]
    if query.device.type != "cpu" or query.dtype != torch.bfloat16 or not short:
        if causal and new < seen:  # torch's own is of the oldest places
            mask = past(new, seen, query.device)
        only = causal and mask is None
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=only)
    with torch.autocast("cpu", enabled=False):  # which would have the softmax in fp32 and copy twice
        scores = (query / math.sqrt(query.shape[-1])) @ key.transpose(-1, -2)
        if causal:
            mask = past(new, seen, query.device)
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = scores.softmax(-1)
        return (F.dropout(weights, dropout) if dropout else weights) @ value


def past(new: int, seen: int, device: torch.device) -> Tensor:
    """Tell of the newest places which of all they may gather from: (new, seen), bool."""
    return torch.ones(new, seen, dtype=torch.bool, device=device).tril(seen - new)
