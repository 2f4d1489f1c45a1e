"""What is proven on paper holds in code: closed forms, known solutions, end points."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from aigc_cli.interfaces import DataSpec
from aigc_cli.models import adversarial, penalties
from aigc_cli.models.likelihoods import Bernoulli, Gaussian
from aigc_cli.models.vae import kl
from aigc_cli.networks.embeddings import embed_time
from aigc_cli.networks.normalisation import group_norm
from aigc_cli.networks.unet import Attention

PICTURES = DataSpec("image", (1, 8, 8))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed))


# Storage -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [2, 16, 256, 65536])
def test_decoding_undoes_encoding(levels):
    spec = DataSpec("image", (1, 8, 8), levels)
    stored = torch.arange(levels, dtype=torch.uint8 if levels <= 256 else torch.int32)
    signal = spec.encode(stored)
    assert torch.equal(spec.decode(signal), stored)
    assert signal[0] == -1
    assert signal[-1] == pytest.approx(1, abs=1e-6)


def test_decoding_clamps():
    assert PICTURES.decode(torch.tensor([-5.0, 5.0])).tolist() == [0, 255]


# Variational autoencoders --------------------------------------------------------------------------------------------


def test_kl_of_the_prior_with_itself_is_nothing():
    assert torch.equal(kl(torch.zeros(2, 5), torch.zeros(2, 5)), torch.zeros(2))


def test_kl_equals_torchs_and_its_monte_carlo_estimate():
    mean, log_variance = normal(1, 3, seed=1), normal(1, 3, seed=2)
    posterior = torch.distributions.Normal(mean, (log_variance / 2).exp())
    prior = torch.distributions.Normal(torch.zeros(3), torch.ones(3))
    given = kl(mean, log_variance)
    assert given == pytest.approx(torch.distributions.kl_divergence(posterior, prior).sum(1), rel=1e-5)
    z = mean + (log_variance / 2).exp() * normal(200_000, 3)
    estimate = (posterior.log_prob(z) - prior.log_prob(z)).sum(1)
    assert given.item() == pytest.approx(estimate.mean().item(), abs=4 * estimate.std().item() / 200_000**0.5)


def test_bernoulli_of_even_odds_costs_a_bit_a_pixel():
    nats = Bernoulli(PICTURES).nats(torch.zeros(3, 1, 8, 8), torch.ones(3, 1, 8, 8))
    assert nats == pytest.approx(torch.full((3,), 64 * math.log(2)), rel=1e-6)


def test_bernoulli_is_cheapest_at_the_grey_value_itself():
    x = torch.linspace(-0.9, 0.9, 64).reshape(1, 1, 8, 8)
    likelihood = Bernoulli(PICTURES)
    output = torch.log((1 + x) / (1 - x)).requires_grad_()
    (gradient,) = torch.autograd.grad(likelihood.nats(output, x).sum(), output)
    assert gradient == pytest.approx(torch.zeros_like(x), abs=1e-6)
    assert likelihood.mean(output.detach()) == pytest.approx(x, abs=1e-6)


def test_gaussian_equals_torchs_density():
    likelihood = Gaussian(PICTURES)
    output, x = normal(2, 1, 8, 8, seed=1), normal(2, 1, 8, 8, seed=2)
    deviation = likelihood.log_deviation.exp() + 2 / 255  # one stored level
    expected = -torch.distributions.Normal(output, deviation).log_prob(x).flatten(1).sum(1)
    assert likelihood.nats(output, x).detach() == pytest.approx(expected.detach(), rel=1e-5)


# Games ---------------------------------------------------------------------------------------------------------------


def test_losses_at_known_points():
    zero, two = torch.zeros(4), torch.full((4,), 2.0)
    cross_entropy, hinge, squares = (
        adversarial.CrossEntropy(smoothing=0.0), adversarial.Hinge(), adversarial.LeastSquares()
    )  # fmt: skip
    assert cross_entropy.critic(zero, zero).item() == pytest.approx(2 * math.log(2))
    assert cross_entropy.generator(zero).item() == pytest.approx(math.log(2))
    assert hinge.critic(two, -two).item() == 0
    assert hinge.critic(zero, zero).item() == 2
    assert hinge.generator(two).item() == -2
    assert squares.critic(torch.ones(4), zero).item() == 0
    assert squares.generator(two).item() == 0.5


def test_smoothing_moves_the_best_logit_of_real_data_to_that_share():
    logit = torch.tensor([math.log(0.9 / 0.1)], requires_grad=True)
    loss = adversarial.CrossEntropy(smoothing=0.1).critic(logit, torch.zeros(1))
    assert torch.autograd.grad(loss, logit)[0].item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", ["CrossEntropy", "Hinge", "LeastSquares"])
def test_losses_never_overflow(name):
    loss = getattr(adversarial, name)(**({"smoothing": 0.0} if name == "CrossEntropy" else {}))
    huge = torch.full((2,), 1e4)
    assert all(torch.isfinite(loss.critic(sign * huge, -sign * huge)) for sign in (1, -1))


def test_r1_of_a_linear_critic_is_half_its_weights_square():
    weight = normal(12, seed=3)
    critic = lambda x: x.flatten(1) @ weight  # noqa: E731
    penalty = penalties.R1(weight=10.0, every=1).loss(critic, normal(5, 3, 2, 2), normal(5, 3, 2, 2))
    assert penalty.item() == pytest.approx(5 * weight.square().sum().item(), rel=1e-5)
    assert penalties.NoPenalty().loss(lambda x: x, normal(2, 2), normal(2, 2)).item() == 0


# Networks ------------------------------------------------------------------------------------------------------------


def test_attention_matches_a_softmax_by_hand():
    torch.manual_seed(0)
    attention = Attention(8)
    x = normal(2, 8, 3, 5)
    tokens = attention.norm(x).flatten(2).transpose(1, 2)
    query, key, value = attention.query_key_value(tokens).chunk(3, -1)
    weights = torch.softmax(query @ key.transpose(1, 2) / 8**0.5, -1)
    expected = x + attention.project(weights @ value).transpose(1, 2).reshape(2, 8, 3, 5)
    assert attention(x).detach() == pytest.approx(expected.detach(), abs=1e-5)
    last = attention(x.contiguous(memory_format=torch.channels_last))
    assert last.detach() == pytest.approx(expected.detach(), abs=1e-5)


def test_time_embedding():
    embedded = embed_time(torch.tensor([0, 1, 999]), 16)
    assert embedded.shape == (3, 16)
    assert embedded[0] == pytest.approx(torch.cat([torch.zeros(8), torch.ones(8)]))
    assert embedded[1, 0].item() == pytest.approx(math.sin(1))
    assert embedded[2, 15].item() == pytest.approx(math.cos(0.0999), abs=1e-6)  # the slowest turns once in 2 pi 10,000
    assert embedded.square().reshape(3, 2, 8).sum(1) == pytest.approx(torch.ones(3, 8), abs=1e-5)


@pytest.mark.parametrize("channels", [1, 4, 6, 32, 48, 96, 128, 384])
def test_group_norm_keeps_what_is_added_to_a_channel(channels):
    norm = group_norm(channels)
    assert channels % norm.num_groups == 0
    assert norm.num_groups <= 32
    if channels < 4:
        return
    x, added = normal(2, channels, 4, 4), normal(2, channels, 1, 1, seed=1)
    assert not torch.allclose(norm(x + added), norm(x), atol=0.1)


def test_mean_squared_error_of_no_prediction_is_the_noises_variance():
    epsilon = normal(100_000)
    assert F.mse_loss(torch.zeros_like(epsilon), epsilon).item() == pytest.approx(1, abs=0.02)
