"""Learn by a game: a critic tells real from generated, a generator learns to pass for real. arXiv:1406.2661."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from aigc_cli.config import Choice
from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Batch, Critic, DataSpec, Generator, Logs, Phase, Shapes
from aigc_cli.models.adversarial import AdversarialLoss, chance
from aigc_cli.models.adversarial_model import AdversarialModel
from aigc_cli.models.augmentations import Augmentation
from aigc_cli.models.path_length import NoRegulariser, PathLength, Styled
from aigc_cli.models.penalties import Penalty
from aigc_cli.models.suitability import count_classes

Truncation: TypeAlias = Annotated[float, Ge(0), Le(1)] | None  # a setting of `aigc sample`; null: none


class GAN(AdversarialModel):
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
        classes = count_classes(spec, kinds=self.kinds, conditional=conditional)
        super().__init__(spec, critic_steps=critic_steps, loss=loss(), penalty=penalty(), augmentation=augmentation())
        self.latent_size, self.conditional, self.regulariser = latent, conditional, regulariser()
        self.generator = generator(Shapes((latent,), spec.shape, classes))
        self.critic = critic(Shapes(spec.shape, (), classes))
        if isinstance(self.regulariser, PathLength) and not isinstance(self.generator, Styled):
            raise ConfigError(
                "model.regulariser: path_length is for a generator with styles. Type model/regulariser=none or "
                "model=stylegan2."
            )

    def phases(self) -> tuple[Phase, ...]:
        """Return the critic's update, and the generator's, which runs once in critic_steps; each with its lazy part."""
        generator, phases = list(self.generator.parameters()), self.critic_phases()
        phases.append(Phase("generator", generator, self.generator_loss, every=self.critic_steps))
        if isinstance(self.regulariser, PathLength):
            every = self.critic_steps * self.regulariser.every
            settle = self.regulariser.settle
            phases.append(
                Phase("path", generator, self.path_loss, every, optimizer="generator", after=lambda batch: settle())
            )
        return tuple(phases)

    def critic_loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """Tell real signals from those that the generator makes of fresh noise."""
        condition = self._condition(batch.condition)
        (real,) = self.augmented(self.spec.encode(batch.x))
        with torch.no_grad():
            (fake,) = self.augmented(self._generate(self._noise(batch), condition))
        return self.contest(lambda x: self.critic(x, condition), real, fake)

    def penalty_loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """Take the critic's penalty apart from its loss, less often."""
        condition = self._condition(batch.condition)
        (real,) = self.augmented(self.spec.encode(batch.x))
        return self.penalised(lambda x: self.critic(x, condition), real)

    def generator_loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """Let the critic judge what the generator makes of fresh noise."""
        condition = self._condition(batch.condition)
        (fake,) = self.augmented(self._generate(self._noise(batch), condition))
        logits = self.critic(fake, condition)
        loss = self.loss.generator(logits)
        return loss, {"loss": loss.detach(), "fake": chance(logits)}

    def path_loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """Take the generator's regulariser apart from its loss, less often."""
        assert isinstance(self.regulariser, PathLength)
        loss, length = self.regulariser.loss(self.generator, self._noise(batch), self._condition(batch.condition))
        return loss, {"loss": loss.detach(), "length": length}

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

    def _noise(self, batch: Batch) -> Tensor:
        return torch.randn(len(batch.x), self.latent_size, device=batch.x.device)

    def _generate(self, latent: Tensor, condition: Tensor | None) -> Tensor:
        return torch.tanh(self.generator(latent, condition))

    def _condition(self, labels: Tensor | None) -> Tensor | None:
        return labels if self.conditional else None
