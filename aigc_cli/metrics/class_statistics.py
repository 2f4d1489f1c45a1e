"""What a classifier says of samples: how sure, how varied, how obedient."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def inception_score(logits: Tensor, *, splits: int = 10) -> float:
    """Return exp E KL(p(y|x) || p(y)), the mean of ten parts (arXiv:1606.03498, Section 4): 1 to the number of classes.

    Of logits (N, classes); the name stays with the field where the classifier is not the Inception network.
    """
    from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric

    return isc_features_to_metric(logits.double().cpu(), splits=min(splits, len(logits)))[KEY_METRIC_ISC_MEAN]


def class_shares(logits: Tensor) -> list[float]:
    """Return the share of samples that fall to each class, (classes,)."""
    return (torch.bincount(logits.argmax(1), minlength=logits.shape[1]) / len(logits)).tolist()


def class_entropy(shares: list[float]) -> float:
    """Return the entropy of the classes' shares over that of equal ones: 1 where all come equally often, 0 for one."""
    entropy = -sum(share * math.log(share) for share in shares if share)
    return entropy / math.log(len(shares)) if len(shares) > 1 else 1.0


def agreement(logits: Tensor, labels: Tensor) -> float:
    """Return the share of samples that the classifier takes for the label they were asked for."""
    return float((logits.argmax(1).cpu() == labels.cpu()).float().mean())
