"""Learn by maximising a lower bound of the likelihood: the variational autoencoder, arXiv:1312.6114.

log p(x) >= E_q(z|x) [log p(x|z)] - KL(q(z|x) || p(z)),    p(z) = N(0, I),    q(z|x) = N(mean, exp(log_variance))
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from aigc_cli.interfaces import Batch, DataSpec, Decoder, Encoder, Logs, Model, Phase, Shapes
from aigc_cli.models.likelihoods import LIKELIHOODS
from aigc_cli.models.suitability import count_classes, halved

SCORE_DRAWS = 4  # latents for each sample: their spread is small beside that between samples


class VAE(Model):
    """Encode data into a normal distribution of latents, and decode latents into a distribution of data."""

    kinds = ("image", "audio")
    generative = ("encoder", "decoder")
    bound_names = ("elbo", "importance_weighted")

    def __init__(
        self,
        spec: DataSpec,
        *,
        latent: Annotated[int, Gt(0)],
        conditional: bool,
        likelihood: Literal["bernoulli", "gaussian"],
        beta: Annotated[float, Ge(0)],
        warmup: Annotated[int, Ge(0)],
        free_bits: Annotated[float, Ge(0)],
        halvings: Annotated[int, Ge(0), Le(6)],
        encoder: Encoder,
        decoder: Decoder,
    ) -> None:
        super().__init__()
        classes = count_classes(spec, kinds=self.kinds, conditional=conditional)
        self.spec, self.conditional = spec, conditional
        self.beta, self.warmup, self.free_bits = beta, warmup, free_bits
        self.latent_shape = halved(spec, latent, halvings) if halvings else (latent,)
        self.encoder = encoder(Shapes(spec.shape, (2, *self.latent_shape), classes))
        self.decoder = decoder(Shapes(self.latent_shape, spec.shape, classes))
        self.likelihood = LIKELIHOODS[likelihood](spec)

    def phases(self) -> tuple[Phase, ...]:
        """Return the one update: every parameter descends the same bound."""
        return (Phase("autoencoder", list(self.parameters()), self.loss),)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """Return the negative bound, in nats per sample, summed over the sample's dimensions.

        With beta other than 1 it bounds no likelihood, but trades sharpness for independent latents (beta-VAE, Higgins
        et al. 2017).
        """
        x = self.spec.encode(batch.x)
        mean, log_variance = self.posterior(x, batch.condition)
        z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        reconstruction = self.likelihood.nats(self.decode(z, batch.condition), x).mean()
        divergence = kl_of_each(mean, log_variance).mean(0)
        loss = reconstruction + cost_of(divergence, batch.step, self.beta, self.warmup, self.free_bits)
        return loss, {"loss": loss.detach(), "reconstruction": reconstruction.detach(), "kl": divergence.sum().detach()}

    def posterior(self, x: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the mean and the log variance of q(z | x): (B, *latent_shape) each, float32."""
        mean, log_variance = self.encoder(x, condition if self.conditional else None).float().unbind(1)
        return mean, log_variance

    def decode(self, z: Tensor, condition: Tensor | None) -> Tensor:
        """Return the decoder's output, the parameters of p(x | z): (B, *spec.shape)."""
        return self.decoder(z, condition if self.conditional else None)

    def latent(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw latents from the prior: (n, *latent_shape)."""
        return torch.randn(n, *self.latent_shape, generator=generator, device=generator.device)

    def render(self, latent: Tensor, condition: Tensor | None, *, generator: torch.Generator) -> Tensor:
        """Return the mean of p(x | z), as stored integers."""
        return self.expand(latent, condition)

    def sample(self, n: int, condition: Tensor | None, *, generator: torch.Generator) -> Tensor:
        """Decode latents drawn from the prior."""
        return self.render(self.latent(n, generator=generator), condition, generator=generator)

    @torch.no_grad()
    def compress(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Return the posterior's mean: (B, *latent_shape)."""
        return self.posterior(self.spec.encode(x), condition)[0]

    @torch.no_grad()
    def expand(self, latent: Tensor, condition: Tensor | None) -> Tensor:
        """Return the mean of p(x | z), as stored integers: a draw would only add noise to every pixel."""
        return self.spec.decode(self.likelihood.mean(self.decode(latent, condition)))

    def encode(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Return the posterior's mean, flat."""
        return self.compress(x, condition).flatten(1)

    def reconstruct(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Decode the posterior's mean."""
        return self.expand(self.compress(x, condition), condition)

    def score(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Return the negative bound in nats, the higher the less likely: (B,)."""
        return -self.bounds(x, condition, draws=SCORE_DRAWS)["elbo"]

    @torch.no_grad()
    def bounds(self, x: Tensor, condition: Tensor | None, *, draws: int) -> dict[str, Tensor]:
        """Return the bound that training raises (with beta 1), and a tighter one: arXiv:1509.00519, Eq. 8."""
        signal = self.spec.encode(x)
        mean, log_variance = self.posterior(signal, condition)

        def nats(z: Tensor) -> Tensor:
            return self.likelihood.nats_of_levels(self.decode(z, condition), signal)

        return bounds_from(mean, log_variance, nats, draws)


def kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(mean, exp(log_variance)) || N(0, I)) per sample, in nats: (B,); arXiv:1312.6114, appendix B."""
    return kl_of_each(mean, log_variance).flatten(1).sum(1)


def kl_of_each(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the divergence of each dimension of each sample, in nats: (B, ...)."""
    return (mean.square() + log_variance.exp() - 1 - log_variance) / 2


def cost_of(divergence: Tensor, step: Tensor, beta: float, warmup: int, free_bits: float) -> Tensor:
    """Return what the mean divergence of each dimension costs at a step, in nats: a scalar.

    So many nats of each dimension cost nothing: arXiv:1606.04934, Eq. 15. While warming up the weight grows to beta in
    even steps: arXiv:1602.02282, Section 2.3.
    """
    cost = divergence.clamp(min=free_bits).sum() if free_bits else divergence.sum()
    return (beta * ((step + 1) / warmup).clamp(max=1) if warmup else beta) * cost


def bounds_from(mean: Tensor, log_variance: Tensor, nats: Callable[[Tensor], Tensor], draws: int) -> dict[str, Tensor]:
    """Return the bounds of log p(x) that so many latents of q(z | x) give: (B,) each; nats: z to -log p(x | z)."""
    weights = []
    for _ in range(draws):
        noise = torch.randn_like(mean)
        z = mean + (log_variance / 2).exp() * noise
        ratio = (noise.square() + log_variance - z.square()).flatten(1).sum(1) / 2  # log p(z) - log q(z | x)
        weights.append(ratio - nats(z))
    log_weights = torch.stack(weights)
    return {"elbo": log_weights.mean(0), "importance_weighted": log_weights.logsumexp(0) - math.log(draws)}
