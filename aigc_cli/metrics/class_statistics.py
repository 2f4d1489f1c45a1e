"""What a classifier says of samples: how sure, how varied, how obedient."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def inception_score(logits: Tensor, *, splits: int = 10) -> float:
    """Return exp E KL(p(y|x) || p(y)): 1 to the number of classes (arXiv:1606.03498, Section 4).

    It is the mean of ten parts, or of fewer where N is small.

    Of logits (N, classes); the name stays with the field where the classifier is not the Inception network.
    """
    order = torch.randperm(len(logits), generator=torch.Generator().manual_seed(0))
    parts = (
        logits.double().cpu()[order].log_softmax(1).chunk(max(1, min(splits, len(logits) // (10 * logits.shape[1]))))
    )
    divergences = [(part.exp() * (part - part.exp().mean(0).clamp(min=1e-300).log())).sum(1).mean() for part in parts]
    return float(torch.stack(divergences).exp().mean())


def class_shares(logits: Tensor) -> list[float]:
    """Return the share of samples that fall to each class, (classes,)."""
    return (torch.bincount(logits.argmax(1), minlength=logits.shape[1]) / len(logits)).tolist()


def class_entropy(shares: list[float]) -> float:
    """Return the entropy of the classes' shares over that of equal ones: 1 where all come equally often, 0 for one."""
    entropy = sum(-share * math.log(share) for share in shares if 0 < share < 1)
    return entropy / math.log(len(shares)) if len(shares) > 1 else 1.0


def agreement(logits: Tensor, labels: Tensor) -> float:
    """Return the share of samples that the classifier takes for the label they were asked for."""
    return float((logits.argmax(1).cpu() == labels.cpu()).float().mean())
