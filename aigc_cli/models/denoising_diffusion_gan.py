"""Take noise away in a few large steps, each drawn by a generator that a critic teaches: arXiv:2112.07804.

A small step of diffusion is a normal distribution, a large one is not: the generator turns x_t and a latent into a
guess of the data, from which x_{t-1} is drawn as diffusion does; the critic compares pairs (x_{t-1}, x_t).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor

from aigc_cli.config import Choice
from aigc_cli.interfaces import Batch, DataSpec, Logs, Network, Phase, Shapes
from aigc_cli.models.adversarial import AdversarialLoss, chance
from aigc_cli.models.adversarial_model import AdversarialModel
from aigc_cli.models.augmentations import Augmentation
from aigc_cli.models.penalties import Penalty
from aigc_cli.models.suitability import count_classes

LEAST_RATE, MOST_RATE = 0.1, 20.0  # of noise over all steps: beta_min and beta_max of arXiv:2112.07804, appendix C


class DenoisingDiffusionGAN(AdversarialModel):
    """Draw data in so many steps as there are timesteps, each one pass through the generator."""

    kinds = ("image",)
    generative = ("generator",)

    def __init__(
        self,
        spec: DataSpec,
        *,
        conditional: bool,
        timesteps: Annotated[int, Gt(0)],
        latent: Annotated[int, Gt(0)],
        critic_steps: Annotated[int, Gt(0)],
        loss: Annotated[Callable[[], AdversarialLoss], Choice("losses")],
        penalty: Annotated[Callable[[], Penalty], Choice("penalties")],
        augmentation: Annotated[Callable[[], Augmentation], Choice("augmentations")],
        generator: Annotated[Network, Choice("networks", "denoiser with latents")],
        critic: Annotated[Network, Choice("networks", "critic of noisy pictures")],
    ) -> None:
        classes = count_classes(spec, kinds=self.kinds, conditional=conditional)
        super().__init__(spec, critic_steps=critic_steps, loss=loss(), penalty=penalty(), augmentation=augmentation())
        self.conditional, self.timesteps, self.latent_size = conditional, timesteps, latent
        pair = (2 * spec.shape[0], *spec.shape[1:])
        self.generator = generator(Shapes(spec.shape, spec.shape, classes, latent))
        self.critic = critic(Shapes(pair, (), classes))
        self.alpha_bars: Tensor
        self.register_buffer("alpha_bars", alpha_bars_of(timesteps), persistent=False)

    def phases(self) -> tuple[Phase, ...]:
        """Return the critic's updates, and the generator's, which runs once in critic_steps."""
        generator = list(self.generator.parameters())
        return (*self.critic_phases(), Phase("generator", generator, self.generator_loss, every=self.critic_steps))

    def critic_loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """Tell steps of real data from generated ones: arXiv:2112.07804, Eq. 4."""
        earlier, later, time = self._noised(batch)
        labels = self._labels(batch.condition)
        with torch.no_grad():
            fake = self._step(later, self._noise(batch), time, labels, torch.randn_like(later))
        earlier, later, fake = self.augmented(earlier, later, fake)
        return self.contest(lambda x: self._judge(x, later, time, labels), earlier, fake)

    def penalty_loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """Take the critic's penalty apart from its loss, less often."""
        earlier, later, time = self._noised(batch)
        labels, (earlier, later) = self._labels(batch.condition), self.augmented(earlier, later)
        return self.penalised(lambda x: self._judge(x, later, time, labels), earlier)

    def generator_loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """Let the critic judge a generated step: arXiv:2112.07804, Eq. 5."""
        _, later, time = self._noised(batch)
        labels = self._labels(batch.condition)
        fake = self._step(later, self._noise(batch), time, labels, torch.randn_like(later))
        fake, later = self.augmented(fake, later)
        logits = self._judge(fake, later, time, labels)
        loss = self.loss.generator(logits)
        return loss, {"loss": loss.detach(), "fake": chance(logits)}

    def latent(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw the noise that sampling begins with: (n, *spec.shape)."""
        return torch.randn(n, *self.spec.shape, generator=generator, device=generator.device)

    @torch.no_grad()
    def render(self, latent: Tensor, condition: Tensor | None, *, generator: torch.Generator) -> Tensor:
        """Take all steps; return stored integers."""
        x, device = latent, latent.device
        for timestep in range(self.timesteps, 0, -1):
            time = torch.full((len(x),), timestep, device=device)
            z = torch.randn(len(x), self.latent_size, generator=generator, device=device)
            fresh = torch.randn(x.shape, generator=generator, device=device)
            x = self._step(x, z, time, self._labels(condition), fresh)
        return self.spec.decode(x)

    def sample(self, n: int, condition: Tensor | None, *, generator: torch.Generator) -> Tensor:
        """Render fresh noise."""
        return self.render(self.latent(n, generator=generator), condition, generator=generator)

    def _noised(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Draw timesteps t from 1 on, and real x_{t-1} and x_t."""
        clean = self.spec.encode(batch.x)
        time = torch.randint(1, self.timesteps + 1, (len(clean),), device=clean.device)
        before, now = (self.alpha_bars[each].reshape(-1, 1, 1, 1) for each in (time - 1, time))
        earlier = torch.addcmul(before.sqrt() * clean, (1 - before).sqrt(), torch.randn_like(clean))
        kept = now / before
        return earlier, torch.addcmul(kept.sqrt() * earlier, (1 - kept).sqrt(), torch.randn_like(clean)), time

    def _step(self, x: Tensor, latent: Tensor, time: Tensor, labels: Tensor | None, fresh: Tensor) -> Tensor:
        """Draw x_{t-1} from q(x_{t-1} | x_t, generated data): arXiv:2006.11239, Eq. 7; at t = 1 it is those data."""
        clean = torch.tanh(self.generator(x, 1000 / self.timesteps * time, labels, latent).float())
        before, now = (self.alpha_bars[each].reshape(-1, 1, 1, 1) for each in (time - 1, time))
        kept = now / before
        mean = (before.sqrt() * (1 - kept) * clean + kept.sqrt() * (1 - before) * x) / (1 - now)
        return torch.addcmul(mean, ((1 - kept) * (1 - before) / (1 - now)).sqrt(), fresh)

    def _judge(self, earlier: Tensor, later: Tensor, time: Tensor, labels: Tensor | None) -> Tensor:
        return self.critic(torch.cat([earlier, later], 1), 1000 / self.timesteps * time, labels)

    def _noise(self, batch: Batch) -> Tensor:
        return torch.randn(len(batch.x), self.latent_size, device=batch.x.device)

    def _labels(self, labels: Tensor | None) -> Tensor | None:
        return labels if self.conditional else None


def alpha_bars_of(timesteps: int) -> Tensor:
    """Return what is left of the data's variance at timesteps from 0: (T + 1,); arXiv:2112.07804, appendix C."""
    share = torch.arange(timesteps + 1, dtype=torch.float64) / timesteps
    return torch.exp(-LEAST_RATE * share - (MOST_RATE - LEAST_RATE) / 2 * share.square()).float()
