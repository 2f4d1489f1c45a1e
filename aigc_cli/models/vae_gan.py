"""Learn an autoencoder whose likeness is judged by a critic's inner features: VAE/GAN, arXiv:1512.09300."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Protocol, runtime_checkable

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from aigc_cli.config import Choice
from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Batch, DataSpec, Decoder, Encoder, Logs, Network, Phase, Shapes
from aigc_cli.models.adversarial import AdversarialLoss
from aigc_cli.models.adversarial_model import AdversarialModel
from aigc_cli.models.augmentations import Augmentation
from aigc_cli.models.penalties import Penalty
from aigc_cli.models.suitability import count_classes
from aigc_cli.models.vae import kl


@runtime_checkable
class HasFeatures(Protocol):
    """A critic that shows the feature maps which its verdict is made from: pictures to (B, C, H, W)."""

    def features(self, x: Tensor, condition: Tensor | None) -> Tensor: ...


class VAEGAN(AdversarialModel):
    """Encode data into latents; decode them into data that a critic takes for real and for the same.

    Departures: likeness is the mean squared error of features, so that its weight does not depend on their number; the
    critic's two kinds of fakes, reconstructions and samples, count half each.
    """

    kinds = ("image",)
    generative = ("encoder", "decoder")

    def __init__(
        self,
        spec: DataSpec,
        *,
        latent: Annotated[int, Gt(0)],
        conditional: bool,
        beta: Annotated[float, Ge(0)],
        likeness: Annotated[float, Gt(0)],
        critic_steps: Annotated[int, Gt(0)],
        loss: Annotated[Callable[[], AdversarialLoss], Choice("losses")],
        penalty: Annotated[Callable[[], Penalty], Choice("penalties")],
        augmentation: Annotated[Callable[[], Augmentation], Choice("augmentations")],
        encoder: Encoder,
        decoder: Decoder,
        critic: Annotated[Network, Choice("networks", "critic with inner features")],
    ) -> None:
        classes = count_classes(spec, kinds=self.kinds, conditional=conditional)
        super().__init__(spec, critic_steps=critic_steps, loss=loss(), penalty=penalty(), augmentation=augmentation())
        self.latent_size, self.conditional, self.beta, self.likeness = latent, conditional, beta, likeness
        self.encoder = encoder(Shapes(spec.shape, (2, latent), classes))
        self.decoder = decoder(Shapes((latent,), spec.shape, classes))
        self.critic = critic(Shapes(spec.shape, (), classes))
        if not isinstance(self.critic, HasFeatures):
            raise ConfigError(
                "model.critic: its inner features are compared, which this network does not show. "
                "Type model/network@model.critic=dcgan_critic or resnet_critic."
            )

    def phases(self) -> tuple[Phase, ...]:
        """Return the three updates of arXiv:1512.09300, Algorithm 1; the last two run once in critic_steps."""
        return (
            *self.critic_phases(),
            Phase("encoder", list(self.encoder.parameters()), self.encoder_loss, every=self.critic_steps),
            Phase("decoder", list(self.decoder.parameters()), self.decoder_loss, every=self.critic_steps),
        )

    def critic_loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """Tell data from reconstructions and from samples."""
        x, condition = self.spec.encode(batch.x), self._condition(batch.condition)
        with torch.no_grad():
            again = self._decode(self._draw(x, condition)[0], condition)
            fresh = self._decode(self._noise(batch), condition)
        shown = [self.augmented(signals)[0] for signals in (x, again, fresh)]
        return self.contest(lambda signals: self.critic(signals, condition), *shown)

    def penalty_loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """Take the critic's penalty apart from its loss, less often."""
        condition = self._condition(batch.condition)
        (real,) = self.augmented(self.spec.encode(batch.x))
        return self.penalised(lambda signals: self.critic(signals, condition), real)

    def encoder_loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """Return the KL divergence per latent, weighted, and the unlikeness of reconstructions."""
        x, condition = self.spec.encode(batch.x), self._condition(batch.condition)
        z, divergence = self._draw(x, condition)
        unlikeness = self._unlikeness(self._decode(z, condition), x, condition)
        loss = self.beta * divergence / self.latent_size + unlikeness
        return loss, {"loss": loss.detach(), "kl": divergence.detach(), "unlikeness": unlikeness.detach()}

    def decoder_loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """Return what the critic says of reconstructions and samples, and the unlikeness, weighted."""
        x, condition = self.spec.encode(batch.x), self._condition(batch.condition)
        with torch.no_grad():
            z, _ = self._draw(x, condition)
        again, fresh = self._decode(z, condition), self._decode(self._noise(batch), condition)
        shown = [self.augmented(signals)[0] for signals in (again, fresh)]
        verdict = [self.loss.generator(self.critic(signals, condition)) for signals in shown]
        game = (verdict[0] + verdict[1]) / 2
        unlikeness = self._unlikeness(again, x, condition)
        loss = game + self.likeness * unlikeness
        return loss, {"loss": loss.detach(), "game": game.detach(), "unlikeness": unlikeness.detach()}

    def latent(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw latents from the prior: (n, latent)."""
        return torch.randn(n, self.latent_size, generator=generator, device=generator.device)

    @torch.no_grad()
    def render(self, latent: Tensor, condition: Tensor | None, *, generator: torch.Generator) -> Tensor:
        """Decode latents into stored integers."""
        return self.spec.decode(self._decode(latent, self._condition(condition)))

    def sample(self, n: int, condition: Tensor | None, *, generator: torch.Generator) -> Tensor:
        """Decode latents drawn from the prior."""
        return self.render(self.latent(n, generator=generator), condition, generator=generator)

    @torch.no_grad()
    def encode(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Return the mean of q(z | x): (B, latent), float32."""
        return self._posterior(self.spec.encode(x), self._condition(condition))[0]

    @torch.no_grad()
    def reconstruct(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Decode the posterior's mean."""
        return self.spec.decode(self._decode(self.encode(x, condition), self._condition(condition)))

    def _posterior(self, x: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.encoder(x, condition).float().unbind(1)
        return mean, log_variance

    def _draw(self, x: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return latents drawn from q(z | x), (B, latent), and the mean of its KL divergence from the prior."""
        mean, log_variance = self._posterior(x, condition)
        return mean + (log_variance / 2).exp() * torch.randn_like(mean), kl(mean, log_variance).mean()

    def _unlikeness(self, again: Tensor, x: Tensor, condition: Tensor | None) -> Tensor:
        """Return the mean squared error of the critic's features, half: arXiv:1512.09300, Eq. 7 and 8."""
        assert isinstance(self.critic, HasFeatures)
        with torch.no_grad():
            target = self.critic.features(x, condition).float()
        return (self.critic.features(again, condition).float() - target).square().mean() / 2

    def _noise(self, batch: Batch) -> Tensor:
        return torch.randn(len(batch.x), self.latent_size, device=batch.x.device)

    def _decode(self, z: Tensor, condition: Tensor | None) -> Tensor:
        return torch.tanh(self.decoder(z, condition))

    def _condition(self, labels: Tensor | None) -> Tensor | None:
        return labels if self.conditional else None
