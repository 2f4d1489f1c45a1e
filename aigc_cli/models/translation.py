"""Learn to turn pictures into other pictures from pairs of them: a critic judges patches, L1 keeps to the target.

The generator G descends, for source s and target x:  adversarial(critic(s, G(s))) + l1 |x - G(s)|  (arXiv:1611.07004).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from torch.nn import functional as F

from aigc_cli.config import Choice
from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Batch, Critic, DataSpec, Logs, Network, Phase, Shapes
from aigc_cli.models.adversarial import AdversarialLoss, chance
from aigc_cli.models.adversarial_model import AdversarialModel
from aigc_cli.models.augmentations import Augmentation
from aigc_cli.models.penalties import Penalty


class Pix2Pix(AdversarialModel):
    """Translate a source into a target; the critic sees both, so that it can tell whether they belong together."""

    kinds = ("image",)
    generative = ("generator",)
    conditional = False
    verb = "translate"

    def __init__(
        self,
        spec: DataSpec,
        *,
        l1: Annotated[float, Ge(0)],
        critic_steps: Annotated[int, Gt(0)],
        loss: Annotated[Callable[[], AdversarialLoss], Choice("losses")],
        penalty: Annotated[Callable[[], Penalty], Choice("penalties")],
        augmentation: Annotated[Callable[[], Augmentation], Choice("augmentations")],
        generator: Annotated[Network, Choice("networks", "translator")],
        critic: Critic,
    ) -> None:
        source = source_of(spec)
        super().__init__(spec, critic_steps=critic_steps, loss=loss(), penalty=penalty(), augmentation=augmentation())
        self.source, self.l1 = source, l1
        channels, *size = self.source.shape
        self.generator = generator(Shapes(self.source.shape, spec.shape))
        self.critic = critic(Shapes((channels + spec.shape[0], *size), ()))

    def phases(self) -> tuple[Phase, ...]:
        """Return the critic's update and the generator's, which runs once in critic_steps."""
        generator = list(self.generator.parameters())
        return (*self.critic_phases(), Phase("generator", generator, self.generator_loss, every=self.critic_steps))

    def critic_loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """Tell true pairs from translated ones, at half speed: arXiv:1611.07004, Section 3.3."""
        source, target = self._signals(batch)
        with torch.no_grad():
            made = torch.tanh(self.generator(source))
        source, target, made = self.augmented(source, target, made)
        loss, logs = self.contest(lambda signal: self._judge(source, signal), target, made)
        return loss / 2, logs | {"loss": loss.detach() / 2}

    def penalty_loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """Take the critic's penalty apart from its loss, less often, at half speed as well."""
        source, target = self.augmented(*self._signals(batch))
        loss, logs = self.penalised(lambda signal: self._judge(source, signal), target)
        return loss / 2, {name: value / 2 for name, value in logs.items()}

    def generator_loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """Pass for true, and come close to the target."""
        source, target = self._signals(batch)
        made = torch.tanh(self.generator(source))
        logits = self._judge(*self.augmented(source, made))
        distance = F.l1_loss(made.float(), target)
        loss = self.loss.generator(logits) + self.l1 * distance
        return loss, {"loss": loss.detach(), "l1": distance.detach(), "fake": chance(logits)}

    def given(self, x: Tensor, condition: Tensor | None, *, generator: torch.Generator) -> Tensor:
        """Return the source that came with the target."""
        assert condition is not None, "pairs come with their sources"
        return condition

    @torch.no_grad()
    def transform(self, source: Tensor, *, generator: torch.Generator) -> Tensor:
        """Translate stored sources; dropout, drawn by the generator, is the noise that makes each time another."""
        signal = self.source.encode(source)
        return self.spec.decode(torch.tanh(self.generator(signal, generator=generator)))

    def _judge(self, source: Tensor, signal: Tensor) -> Tensor:
        return self.critic(torch.cat([source, signal], dim=1))

    def _signals(self, batch: Batch) -> tuple[Tensor, Tensor]:
        assert batch.condition is not None, "pairs come with their sources"
        return self.source.encode(batch.condition), self.spec.encode(batch.x)


def source_of(spec: DataSpec) -> DataSpec:
    """Return what comes with each sample, or say which data a translation is learnt from."""
    source = spec.condition
    if not isinstance(source, DataSpec) or spec.kind != "image" or source.kind != "image":
        raise ConfigError("model: it learns from pairs of pictures. Type data=picture_pairs data.root=FOLDER.")
    if source.shape[1:] != spec.shape[1:]:
        sizes = " and ".join("x".join(map(str, each.shape[1:])) for each in (source, spec))
        raise ConfigError(f"model: the pictures of a pair are of {sizes}, allowed: of one size.")
    return source
