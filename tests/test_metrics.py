"""What the figures must say where the answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from aigc_cli.metrics.class_statistics import agreement, class_entropy, class_shares, inception_score
from aigc_cli.metrics.feature_distances import density_coverage, frechet, kernel, precision_recall
from aigc_cli.metrics.neighbours import memorisation, nearest


def normal(n: int, d: int = 4, *, seed: int = 0, mean: float = 0.0, deviation: float = 1.0) -> torch.Tensor:
    return mean + deviation * torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_frechet_is_the_distance_of_the_normal_distributions():
    """|m|^2 + sum (s1 - s2)^2 for axis-parallel normal distributions (arXiv:1706.08500, Eq. 6)."""
    found = frechet(normal(200_000, mean=0.5, deviation=2.0), normal(200_000, seed=1))
    assert found == pytest.approx(4 * 0.25 + 4 * 1.0, rel=0.02)


def test_frechet_equals_the_formula_by_another_way_to_three_digits():
    """The root of the product of covariances by eigenvectors of symmetric matrices, as no part of the library does."""
    mixing = torch.randn(16, 16, generator=torch.Generator().manual_seed(2))
    one, two = normal(500, 16) @ mixing, normal(400, 16, seed=1, mean=0.3).exp()
    means = one.double().mean(0), two.double().mean(0)
    first, second = one.double().T.cov(), two.double().T.cov()
    values, vectors = torch.linalg.eigh(first)
    root = vectors @ values.clamp(min=0).sqrt().diag() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ second @ root).clamp(min=0).sqrt().sum()
    expected = (means[0] - means[1]).square().sum() + first.trace() + second.trace() - 2 * cross
    assert frechet(one, two) == pytest.approx(float(expected), rel=1e-3)


def test_frechet_of_fewer_samples_than_features_is_still_a_distance():
    few = normal(20, 64)
    assert frechet(few, few) == pytest.approx(0, abs=1e-3)


def test_kernel_distance_is_unbiased_and_sees_a_shift():
    assert abs(kernel(normal(1500), normal(1500, seed=1))) < 0.02
    assert kernel(normal(1500, mean=0.5), normal(1500, seed=1)) > 0.1
    assert abs(np.mean([kernel(normal(20, seed=2 * i), normal(20, seed=2 * i + 1)) for i in range(200)])) < 0.1


def test_precision_falls_with_strangers_and_recall_with_what_is_left_out():
    near, far = normal(400, seed=1), normal(400, seed=2, mean=50)
    data = torch.cat([near, far])
    assert precision_recall(data, data) == (1.0, 1.0)
    precision, recall = precision_recall(normal(400, seed=3), data)  # one of the two modes is missing
    assert precision > 0.85
    assert recall == pytest.approx(0.5, abs=0.06)
    precision, recall = precision_recall(torch.cat([normal(400, seed=3), normal(400, seed=4, mean=-50)]), near)
    assert precision == pytest.approx(0.5, abs=0.06)
    assert recall > 0.85


def test_density_and_coverage_of_the_data_themselves():
    """Density expects 1, coverage 1 - 2^-k, where both are of one distribution (arXiv:2002.09797, Section 3.3)."""
    density, coverage = density_coverage(normal(1500), normal(1500, seed=1))
    assert density == pytest.approx(1, abs=0.05)
    assert coverage == pytest.approx(1 - 2**-5, abs=0.02)
    assert density_coverage(normal(500, mean=50), normal(500, seed=1)) == (0.0, 0.0)


def test_scores_of_a_classifier():
    sure = torch.eye(10).repeat(500, 1) * 100
    assert inception_score(sure) == pytest.approx(10, rel=0.01)
    assert inception_score(torch.zeros(300, 10)) == pytest.approx(1)
    assert class_shares(sure) == pytest.approx([0.1] * 10)
    assert class_entropy([0.1] * 10) == pytest.approx(1)
    assert class_entropy([1.0] + [0.0] * 9) == 0
    assert class_entropy([0.5, 0.5, 0.0, 0.0]) == pytest.approx(math.log(2) / math.log(4))
    assert agreement(sure, torch.arange(10).repeat(500)) == 1
    assert agreement(sure, torch.zeros(5000)) == pytest.approx(0.1)


def test_copies_are_found_out():
    data = np.random.default_rng(0).integers(0, 256, (5000, 1, 4, 4)).astype(np.uint8)
    fresh = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (100, 1, 4, 4)).astype(np.uint8))
    distances, index = nearest(torch.from_numpy(data[4500:4510]), data)
    assert distances.tolist() == pytest.approx([0] * 10, abs=0.05)
    assert index.tolist() == list(range(4500, 4510))
    assert memorisation(torch.from_numpy(data[:100]), fresh, data)[0] == pytest.approx(0, abs=0.01)
    other = torch.from_numpy(np.random.default_rng(2).integers(0, 256, (100, 1, 4, 4)).astype(np.uint8))
    assert memorisation(other, fresh, data)[0] == pytest.approx(1, abs=0.1)


def test_the_nearest_is_the_root_mean_squared_difference():
    distance, _ = nearest(torch.full((1, 2, 2), 10), np.full((1, 2, 2), 14, np.uint8))
    assert distance.item() == pytest.approx(4)


def test_the_reference_implementation_says_the_same_to_three_digits():
    """torch-fidelity's arithmetic, checked against the original TensorFlow code, on the same activations."""
    fid = pytest.importorskip("torch_fidelity.metric_fid", reason="aigc[inception]")
    kid = pytest.importorskip("torch_fidelity.metric_kid")
    prc = pytest.importorskip("torch_fidelity.metric_prc")
    isc = pytest.importorskip("torch_fidelity.metric_isc")
    mixing = torch.randn(32, 32, generator=torch.Generator().manual_seed(2))
    one, two = normal(1200, 32) @ mixing, normal(1100, 32, seed=1, mean=0.2).abs() @ mixing
    statistics = [fid.fid_features_to_statistics(each.double()) for each in (one, two)]
    theirs = fid.fid_statistics_to_metric(*statistics, verbose=False)[fid.KEY_METRIC_FID]
    assert frechet(one, two) == pytest.approx(theirs, rel=5e-4)
    theirs = kid.kid_features_to_metric(one.double(), two.double(), kid_subset_size=1000, verbose=False)
    assert kernel(one, two) == pytest.approx(theirs[kid.KEY_METRIC_KID_MEAN], rel=0.05)  # other subsets
    assert precision_recall(one, two) == pytest.approx(prc.calculate_precision_recall_full(one, two), abs=5e-4)
    logits = normal(5000, 10, deviation=3)
    theirs = isc.isc_features_to_metric(logits, shuffle=True)[isc.KEY_METRIC_ISC_MEAN]
    assert inception_score(logits) == pytest.approx(theirs, rel=5e-3)  # other parts
