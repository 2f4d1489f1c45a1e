"""Bounds of the likelihood, where the likelihood is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from aigc_cli.composing.compose import compose
from aigc_cli.config import bind
from aigc_cli.interfaces import DataSpec
from aigc_cli.models.diffusion import Diffusion
from aigc_cli.models.noise_schedules import Discrete
from aigc_cli.models.vae import VAE

D = 16
SPEC = DataSpec("image", (1, 4, 4))
WIDTH = 2 / 255  # of a level, in signals


def gaussian_data(n: int, deviation: float) -> Tensor:
    torch.manual_seed(0)
    return SPEC.decode(deviation * torch.randn(n, *SPEC.shape))


class Linear(nn.Module):
    """Decode one latent z to signals z w; encode by the exact posterior, or one that is off by a factor."""

    def __init__(self, w: Tensor, deviation: float, off: float = 1.0) -> None:
        super().__init__()
        self.w, self.deviation, self.off = w, deviation, off

    def encode(self, x: Tensor, condition: None) -> Tensor:
        precision = 1 + self.w.square().sum() / self.deviation**2
        mean = x.flatten(1) @ self.w / self.deviation**2 / precision
        spread = torch.full_like(mean, float(-precision.log()) + math.log(self.off))
        return torch.stack([mean, spread], 1)[:, :, None]

    def forward(self, z: Tensor, condition: None) -> Tensor:
        return (z * self.w).reshape(-1, *SPEC.shape)


def linear_vae(off: float = 1.0) -> tuple[VAE, Tensor, Tensor]:
    """Return a VAE whose likelihood is that of N(0, s^2 I + w w'), some data of it and their exact log likelihood."""
    config = compose("train", ["model=vae", "model.latent=1", "model.likelihood=gaussian"]).config["model"]
    vae: VAE = bind("models", config, "model")(SPEC)
    torch.manual_seed(1)
    w, deviation = torch.full((D,), 0.1), 0.05
    toy = Linear(w, deviation, off)
    vae.encoder, vae.decoder = nn.Identity(), toy  # type: ignore[assignment]
    vae.encoder.forward = toy.encode  # type: ignore[method-assign]
    with torch.no_grad():
        vae.likelihood.log_deviation.fill_(math.log(deviation - WIDTH))
    covariance = deviation**2 * torch.eye(D) + torch.outer(w, w)
    truth = torch.distributions.MultivariateNormal(torch.zeros(D), covariance)
    x = SPEC.decode(truth.sample((50,)).reshape(-1, *SPEC.shape))
    return vae, x, truth.log_prob(SPEC.encode(x).flatten(1)) + D * math.log(WIDTH)


def test_with_the_exact_posterior_the_bound_is_the_likelihood():
    vae, x, exact = linear_vae()
    bounds = vae.bounds(x, None, draws=3)
    assert torch.allclose(bounds["elbo"], exact, atol=2e-2)
    assert torch.allclose(bounds["importance_weighted"], exact, atol=2e-2)


def test_more_draws_close_the_gap_that_a_wrong_posterior_opens():
    vae, x, exact = linear_vae(off=4.0)
    few, many = (vae.bounds(x, None, draws=draws)["importance_weighted"].mean() for draws in (2, 500))
    elbo = vae.bounds(x, None, draws=500)["elbo"].mean()
    assert elbo < few < many
    assert many == pytest.approx(exact.mean().item(), abs=0.05)
    assert exact.mean() - elbo == pytest.approx((4 - 1 - math.log(4)) / 2, abs=0.1)  # KL(q || posterior)


class Optimal(nn.Module):
    """Predict the noise in data of N(0, s^2), which is linear in the noisy data."""

    def __init__(self, noise: nn.Module, deviation: float) -> None:
        super().__init__()
        self.noise, self.variance = noise, deviation**2

    def forward(self, x: Tensor, time: Tensor, condition: None = None) -> Tensor:
        discrete = isinstance(self.noise, Discrete)
        sigmas = self.noise.sigmas[time.round().long()] if discrete else (time / 100).exp()
        bar = 1 / (1 + sigmas.reshape(-1, 1, 1, 1).square())
        return (1 - bar).sqrt() / (bar * self.variance + 1 - bar) * x


@pytest.mark.parametrize("schedule", ["linear", "cosine", "sigmoid", "log_normal"])
def test_the_bound_of_an_optimal_denoiser_is_what_its_error_implies(schedule):
    """It lies above the entropy by what few reverse steps lose: sum (r - 1 - ln r) / 2 over ratios r of the signal."""
    words = ["model=ddpm", f"model/noise={schedule}", "model.denoiser.multipliers=[1]", "model.denoiser.width=4",
             "model.denoiser.attention=[]"]  # fmt: skip
    model: Diffusion = bind("models", compose("train", words).config["model"], "model")(SPEC)
    deviation = 0.25
    model.denoiser = Optimal(model.noise, deviation)
    x = gaussian_data(400, deviation)
    torch.manual_seed(2)
    bound = -model.bounds(x, None, draws=100)["elbo"].mean().item()
    entropy = D * (0.5 * math.log(2 * math.pi * math.e * deviation**2) - math.log(WIDTH))
    sigmas, s2 = model.noise.table(), deviation**2
    bars, ratios = 1 / (1 + sigmas.square()), sigmas.pow(-2)
    error = s2 / (1 + s2 * ratios)  # of the optimal guess of the data, at each timestep
    prior = (bars[-1] * s2 - bars[-1] - (1 - bars[-1]).log()) / 2
    reverse = torch.distributions.Normal(error[0].sqrt() * torch.randn(100_000).double(), (1 - bars[0]).sqrt())
    last = -(reverse.cdf(torch.tensor(WIDTH / 2)) - reverse.cdf(torch.tensor(-WIDTH / 2))).log().mean()
    expected = D * (prior + last + ((ratios[:-1] - ratios[1:]) * error[1:] / 2).sum()).item()
    assert bound == pytest.approx(expected, rel=0.01)
    assert entropy < bound < entropy + 0.7 * D
