"""What every model with a critic has: a loss, a penalty, an augmentation, and more than one turn for the critic."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Batch, DataSpec, Logs, Model, Phase, nothing
from aigc_cli.models.adversarial import AdversarialLoss, verdicts
from aigc_cli.models.augmentations import Augmentation, NoAugmentation
from aigc_cli.models.penalties import Penalty


class AdversarialModel(Model):
    """Teach by a critic, whose updates come first; a subclass says what the critic sees, and whom it teaches."""

    critic: nn.Module

    def __init__(
        self, spec: DataSpec, *, critic_steps: int, loss: AdversarialLoss, penalty: Penalty, augmentation: Augmentation
    ) -> None:
        super().__init__()
        if spec.kind != "image" and not isinstance(augmentation, NoAugmentation):
            raise ConfigError("model.augmentation: it is for pictures. Type model/augmentation=none.")
        if augmentation.adapts and loss.threshold is None:
            raise ConfigError(
                "model.augmentation: adaptive reads how sure the critic is, which a wasserstein score does not say. "
                "Type model/augmentation=diffaugment."
            )
        self.spec, self.critic_steps = spec, critic_steps
        self.loss, self.penalty, self.augmentation = loss, penalty, augmentation

    @abstractmethod
    def critic_loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """Return what the critic descends: `contest` of what it sees."""

    @abstractmethod
    def penalty_loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """Return the critic's penalty apart from its loss: `penalised` of what it sees."""

    def critic_phases(self) -> list[Phase]:
        """Return the critic's update, and its penalty's where that is taken now and then.

        Departure from arXiv:1912.04958, appendix B: lazy parts are updates of their own at the full rate of learning.
        """
        critic = list(self.critic.parameters())
        settles = self.augmentation.adapts or self.penalty.constrain is not None
        phases = [Phase("critic", critic, self.critic_loss, after=self._settle if settles else nothing)]
        if self.penalty.every > 1:
            phases.append(Phase("penalty", critic, self.penalty_loss, every=self.penalty.every, optimizer="critic"))
        return phases

    def contest(self, judge: Callable[[Tensor], Tensor], real: Tensor, *fakes: Tensor) -> tuple[Tensor, Logs]:
        """Judge real and generated signals, augmented before, apart: a batch-norm critic must not see them mixed.

        Several kinds of fakes share the weight of one; the last one's figures are logged. Source: arXiv:1511.06434.
        """
        real_logits, fake_logits = judge(real), [judge(fake) for fake in fakes]
        self.augmentation.observe(real_logits - (self.loss.threshold or 0.0))
        losses = [self.loss.critic(real_logits, each) for each in fake_logits]
        loss = sum(losses[1:], start=losses[0]) / len(losses)
        if self.penalty.every == 1:
            loss = loss + self.penalty.loss(judge, real, fakes[-1])
        logs = {"loss": loss.detach(), **verdicts(real_logits, fake_logits[-1])}
        if self.augmentation.adapts:
            logs["augmented"] = self.augmentation.probability.clone()  # type: ignore[attr-defined]
        return loss, logs

    def penalised(self, judge: Callable[[Tensor], Tensor], real: Tensor) -> tuple[Tensor, Logs]:
        """Take the penalty at real signals, augmented before."""
        loss = self.penalty.loss(judge, real, real)
        return loss, {"loss": loss.detach()}

    def augmented(self, *pictures: Tensor) -> Sequence[Tensor]:
        """Change what the critic sees together alike: each (B, C, H, W), of any number of channels."""
        return self.augmentation(*pictures)

    def _settle(self, batch: Batch) -> None:
        if self.penalty.constrain is not None:
            self.penalty.constrain(self.critic)
        self.augmentation.adapt()
