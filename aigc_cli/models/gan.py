"""Learn by a game: a critic tells real from generated, a generator learns to pass for real. arXiv:1406.2661."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from aigc_cli.config import Choice
from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Batch, Critic, DataSpec, Generator, Logs, Model, Phase, Shapes, nothing
from aigc_cli.models.adversarial import AdversarialLoss, chance, verdicts
from aigc_cli.models.augmentations import Augmentation, NoAugmentation
from aigc_cli.models.path_length import NoRegulariser, PathLength, Styled
from aigc_cli.models.penalties import Penalty
from aigc_cli.models.suitability import count_classes

Truncation: TypeAlias = Annotated[float, Ge(0), Le(1)] | None  # a setting of `aigc sample`; null: none


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
        penalty: Annotated[Callable[[], Penalty], Choice("penalties")],
        regulariser: Annotated[Callable[[], NoRegulariser | PathLength], Choice("regularisers")],
        augmentation: Annotated[Callable[[], Augmentation], Choice("augmentations")],
        generator: Generator,
        critic: Critic,
    ) -> None:
        super().__init__()
        classes = count_classes(spec, kinds=self.kinds, conditional=conditional)
        self.spec, self.latent_size, self.conditional = spec, latent, conditional
        self.critic_steps, self.loss, self.penalty = critic_steps, loss(), penalty()
        self.augmentation, self.regulariser = augmentation(), regulariser()
        self.generator = generator(Shapes((latent,), spec.shape, classes))
        self.critic = critic(Shapes(spec.shape, (), classes))
        if spec.kind != "image" and not isinstance(self.augmentation, NoAugmentation):
            raise ConfigError("model.augmentation: it is for pictures. Type model/augmentation=none.")
        if self.augmentation.adapts and self.loss.threshold is None:
            raise ConfigError(
                "model.augmentation: adaptive reads how sure the critic is, which a wasserstein score does not say. "
                "Type model/augmentation=diffaugment."
            )
        if isinstance(self.regulariser, PathLength) and not isinstance(self.generator, Styled):
            raise ConfigError(
                "model.regulariser: path_length is for a generator with styles. Type model/regulariser=none or "
                "model=stylegan2."
            )

    def phases(self) -> tuple[Phase, ...]:
        """Return the critic's update, and the generator's, which runs once in critic_steps; each with its lazy part.

        Departure from arXiv:1912.04958, appendix B: lazy parts are updates of their own at the full rate of learning.
        """
        critic, generator = list(self.critic.parameters()), list(self.generator.parameters())
        settles = self.augmentation.adapts or self.penalty.constrain is not None
        phases = [Phase("critic", critic, self.critic_loss, after=self._settle if settles else nothing)]
        if self.penalty.every > 1:
            phases.append(Phase("penalty", critic, self.penalty_loss, every=self.penalty.every, optimizer="critic"))
        phases.append(Phase("generator", generator, self.generator_loss, every=self.critic_steps))
        if isinstance(self.regulariser, PathLength):
            every = self.critic_steps * self.regulariser.every
            phases.append(Phase("path", generator, self.path_loss, every=every, optimizer="generator"))
        return tuple(phases)

    def critic_loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """Judge real and generated signals apart: a batch-norm critic must not see them mixed (as arXiv:1511.06434)."""
        condition, real = self._condition(batch.condition), self.augmentation(self.spec.encode(batch.x))
        with torch.no_grad():
            fake = self.augmentation(self._generate(self._noise(batch), condition))
        real_logits, fake_logits = self.critic(real, condition), self.critic(fake, condition)
        self.augmentation.observe(real_logits - (self.loss.threshold or 0.0))
        loss = self.loss.critic(real_logits, fake_logits)
        if self.penalty.every == 1:
            loss = loss + self.penalty.loss(lambda x: self.critic(x, condition), real, fake)
        logs = {"loss": loss.detach(), **verdicts(real_logits, fake_logits)}
        if self.augmentation.adapts:
            logs["augmented"] = self.augmentation.probability.clone()  # type: ignore[attr-defined]
        return loss, logs

    def penalty_loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """Take the critic's penalty apart from its loss, less often."""
        condition, real = self._condition(batch.condition), self.augmentation(self.spec.encode(batch.x))
        loss = self.penalty.loss(lambda x: self.critic(x, condition), real, real)
        return loss, {"loss": loss.detach()}

    def generator_loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """Let the critic judge what the generator makes of fresh noise."""
        condition = self._condition(batch.condition)
        fake = self.augmentation(self._generate(self._noise(batch), condition))
        logits = self.critic(fake, condition)
        loss = self.loss.generator(logits)
        return loss, {"loss": loss.detach(), "fake": chance(logits)}

    def path_loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """Take the generator's regulariser apart from its loss, less often."""
        assert isinstance(self.regulariser, PathLength)
        loss = self.regulariser.loss(self.generator, self._noise(batch), self._condition(batch.condition))
        return loss, {"loss": loss.detach(), "length": self.regulariser.mean()}

    def latent(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw standard normal latents: (n, latent)."""
        return torch.randn(n, self.latent_size, generator=generator, device=generator.device)

    @torch.no_grad()
    def render(
        self,
        latent: Tensor,
        condition: Tensor | None,
        *,
        generator: torch.Generator,
        truncation: Truncation = None,
    ) -> Tensor:
        """Return what the generator makes of the latents, as stored integers.

        truncation: how far styles are let from their mean (arXiv:1812.04948, appendix B); of other generators, the
        latents' scale: less variety, fewer failures.
        """
        condition = self._condition(condition)
        if truncation is None:
            return self.spec.decode(self._generate(latent, condition))
        if isinstance(self.generator, Styled):
            styles = self.generator.styles(latent, condition, truncation)
            return self.spec.decode(torch.tanh(self.generator.synthesise(styles)))
        return self.spec.decode(self._generate(latent * truncation, condition))

    def sample(
        self,
        n: int,
        condition: Tensor | None,
        *,
        generator: torch.Generator,
        truncation: Truncation = None,
    ) -> Tensor:
        """Render fresh latents."""
        latent = self.latent(n, generator=generator)
        return self.render(latent, condition, generator=generator, truncation=truncation)

    def _settle(self, batch: Batch) -> None:
        if self.penalty.constrain is not None:
            self.penalty.constrain(self.critic)
        self.augmentation.adapt()

    def _noise(self, batch: Batch) -> Tensor:
        return torch.randn(len(batch.x), self.latent_size, device=batch.x.device)

    def _generate(self, latent: Tensor, condition: Tensor | None) -> Tensor:
        return torch.tanh(self.generator(latent, condition))

    def _condition(self, labels: Tensor | None) -> Tensor | None:
        return labels if self.conditional else None
