"""Attention written out against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from aigc_cli.networks.attention import SHORT_FOR_LEARNING, attend


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-6), (torch.bfloat16, 0.03)])
@pytest.mark.parametrize("length", [7, SHORT_FOR_LEARNING + 1])
def test_attention_and_its_gradients_are_torchs(causal, dtype, error, length):
    torch.manual_seed(0)
    given = [torch.randn(2, 3, length, 8, dtype=dtype) for _ in range(3)]
    grown = torch.randn(2, 3, length, 8)
    mine, exact = ([x.to(kind, copy=True).requires_grad_() for x in given] for kind in (dtype, torch.float32))
    ours, right = (
        attend(*mine, causal=causal),
        F.scaled_dot_product_attention(exact[0], exact[1], exact[2], is_causal=causal),
    )
    assert ours.dtype == dtype
    ours.backward(grown.to(dtype))
    right.backward(grown)
    assert (ours.float() - right).norm() <= error * right.norm()
    for x, y in zip(mine, exact, strict=True):
        assert x.grad is not None
        assert y.grad is not None
        assert (x.grad.float() - y.grad).norm() <= error * y.grad.norm()


def test_dropout_leaves_the_mean_and_a_cache_may_be_more_exact():
    torch.manual_seed(0)
    query, key, value = (torch.randn(4, 1, 32, 8, dtype=torch.bfloat16) for _ in range(3))
    drops = torch.stack([attend(query, key.float(), value.float(), dropout=0.5) for _ in range(400)]).float()
    whole = attend(query, key, value).float()
    assert not torch.equal(drops[0], drops[1])
    assert (drops.mean(0) - whole).norm() < 0.15 * whole.norm()
