"""Learn by a game: a critic tells real from generated, a generator learns to pass for real. arXiv:1406.2661."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor

from aigc_cli.config import Choice
from aigc_cli.interfaces import Batch, DataSpec, Logs, Model, Network, Phase, Shapes
from aigc_cli.models.adversarial import AdversarialLoss
from aigc_cli.models.suitability import count_classes


class GAN(Model):
    """Turn latents into data through a generator that is taught by a critic.

    The trainer confines each phase's gradient to the phase's own parameters; here the critic's phase merely saves the
    work of remembering how the generator came to its samples.
    """

    kinds = ("image", "audio")
    generative = ("generator",)

    def __init__(
        self,
        spec: DataSpec,
        *,
        latent: Annotated[int, Gt(0)],
        conditional: bool,
        critic_steps: Annotated[int, Gt(0)],
        loss: Annotated[Callable[[], AdversarialLoss], Choice("losses")],
        penalty: Annotated[Callable[..., Tensor], Choice("penalties")],
        generator: Network,
        critic: Network,
    ) -> None:
        super().__init__()
        classes = count_classes(spec, kinds=self.kinds, conditional=conditional)
        self.spec, self.latent_size, self.conditional = spec, latent, conditional
        self.critic_steps, self.loss, self.penalty = critic_steps, loss(), penalty
        self.generator = generator(Shapes((latent,), spec.shape, classes))
        self.critic = critic(Shapes(spec.shape, (), classes))

    def phases(self) -> tuple[Phase, ...]:
        """Return the critic's update, and the generator's, which runs once in critic_steps."""
        return (
            Phase("critic", list(self.critic.parameters()), self.critic_loss),
            Phase("generator", list(self.generator.parameters()), self.generator_loss, every=self.critic_steps),
        )

    def critic_loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """Judge real and generated signals apart: a batch-norm critic must not see them mixed (as arXiv:1511.06434)."""
        condition, real = self._condition(batch.condition), self.spec.encode(batch.x)
        with torch.no_grad():
            fake = self._generate(self._noise(batch), condition)
        real_logits, fake_logits = self.critic(real, condition), self.critic(fake, condition)
        loss = self.loss.critic(real_logits, fake_logits)
        loss = loss + self.penalty(lambda x: self.critic(x, condition), real, fake)
        return loss, {"loss": loss.detach(), "real": _score(real_logits), "fake": _score(fake_logits)}

    def generator_loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """Let the critic judge what the generator makes of fresh noise."""
        condition = self._condition(batch.condition)
        logits = self.critic(self._generate(self._noise(batch), condition), condition)
        loss = self.loss.generator(logits)
        return loss, {"loss": loss.detach(), "fake": _score(logits)}

    def latent(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw standard normal latents: (n, latent)."""
        return torch.randn(n, self.latent_size, generator=generator, device=generator.device)

    @torch.no_grad()
    def render(self, latent: Tensor, condition: Tensor | None, *, generator: torch.Generator) -> Tensor:
        """Return what the generator makes of the latents, as stored integers."""
        return self.spec.decode(self._generate(latent, self._condition(condition)))

    def sample(self, n: int, condition: Tensor | None, *, generator: torch.Generator) -> Tensor:
        """Render fresh latents."""
        return self.render(self.latent(n, generator=generator), condition, generator=generator)

    def _noise(self, batch: Batch) -> Tensor:
        return torch.randn(len(batch.x), self.latent_size, device=batch.x.device)

    def _generate(self, latent: Tensor, condition: Tensor | None) -> Tensor:
        return torch.tanh(self.generator(latent, condition))

    def _condition(self, labels: Tensor | None) -> Tensor | None:
        return labels if self.conditional else None


def _score(logits: Tensor) -> Tensor:
    """Return the mean probability of being real, for the log."""
    return logits.detach().float().sigmoid().mean()
