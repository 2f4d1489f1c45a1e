"""Learn to undo noise: diffusion (arXiv:2006.11239), EDM (arXiv:2206.00364), flow matching (arXiv:2210.02747).

x = x_0 + sigma epsilon,    loss = E w(sigma) |answer(x_0, epsilon, sigma) - denoiser(input(sigma) x, time(sigma))|^2

What the network is shown and should answer is the parametrisation; how much noise it sees, the noise schedule. From
there on all are the same: something that sees data in x, and samplers that follow it (aigc_cli/samplers).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeAlias

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor

from aigc_cli.config import Choice
from aigc_cli.interfaces import Batch, DataSpec, Logs, Model, Network, Phase, Shapes
from aigc_cli.models.first_stage import FirstStage
from aigc_cli.models.guidance import Denoiser, Guidance, guided, hide_some, refuse_guidance
from aigc_cli.models.latent_space import UnitVariance, latent_stage
from aigc_cli.models.noise_schedules import NoiseSchedule
from aigc_cli.models.parametrisations import PARAMETRISATIONS, WEIGHTINGS
from aigc_cli.models.suitability import count_classes
from aigc_cli.models.variational_bound import variational_bound
from aigc_cli.samplers.choosing import chosen_sampler, refuse_steps
from aigc_cli.samplers.levels import Denoise, Spacing, Steps, begin
from aigc_cli.samplers.revising import from_level, keeping, refuse_resampling, repeated

Sampler: TypeAlias = Annotated[Callable[..., Tensor], Choice("samplers")]
# Settings of `aigc sample`; null: as configured.
Eta: TypeAlias = Annotated[float, Ge(0), Le(1)] | None


class Diffusion(Model):
    """Predict what noisy data are without their noise, and draw data by taking noise away step by step.

    With labels one more stands for "none": it replaces some of them in training, so that sampling can be guided away
    from it (arXiv:2207.12598).
    """

    kinds = ("image", "audio")
    generative = ("denoiser",)

    def __init__(
        self,
        spec: DataSpec,
        *,
        conditional: bool,
        first_stage: FirstStage | None,
        noise: Annotated[Callable[[], NoiseSchedule], Choice("noises")],
        parametrisation: Literal["epsilon", "x0", "v", "flow", "edm"],
        weighting: Literal["even", "min_snr"],
        self_conditioning: bool,
        clip: bool,
        label_dropout: Annotated[float, Ge(0), Lt(1)],
        guidance: Annotated[float, Ge(0)],
        denoiser: Annotated[Network, Choice("networks", "denoiser")],
        sampler: Sampler,
    ) -> None:
        super().__init__()
        classes = count_classes(spec, kinds=self.kinds, conditional=conditional)
        self.spec, self.conditional, self.noise = spec, conditional, noise()
        self.coefficients, self.weights = PARAMETRISATIONS[parametrisation], WEIGHTINGS[weighting]
        self.self_conditioning, self.clip = self_conditioning, clip
        self.label_dropout, self.guidance = label_dropout, guidance
        self.sampler: Any = sampler  # a partial: its keywords are the settings
        self._refuse_settings_that_do_not_fit()
        self.first_stage: Any = latent_stage(first_stage, spec, conditional) if first_stage else None
        self.shape: tuple[int, ...] = self.first_stage.model.latent_shape if self.first_stage else spec.shape
        self.unit_variance = UnitVariance(self.shape) if first_stage else None
        self.keeps, self.bound_names = first_stage is None, () if first_stage else ("elbo",)  # both are of pixels
        channels, *sides = self.shape
        seen = (2 * channels if self_conditioning else channels, *sides)
        self.denoiser = denoiser(Shapes(seen, self.shape, classes + 1 if conditional else 0))

    def phases(self) -> tuple[Phase, ...]:
        """Return the one update."""
        return (Phase("denoiser", list(self.denoiser.parameters()), self.loss),)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """Return the weighted mean squared error of the network's answers at random levels: arXiv:2006.11239, Eq. 14.

        With self-conditioning the network sees its own first guess with one half of the batch: arXiv:2208.04202,
        Algorithm 1.
        """
        clean = self._signals(batch.x, batch.condition)
        sigma, time = self.noise.draw(len(clean), clean.device)
        epsilon, sigma = torch.randn_like(clean), sigma.reshape(-1, *[1] * (clean.ndim - 1))
        labels = self._labels(batch.condition)
        scales = self.coefficients(sigma)
        shown = torch.addcmul(scales.input * clean, scales.input * sigma, epsilon)
        if self.self_conditioning:
            shown = torch.cat([shown, self._guess(shown, clean + sigma * epsilon, sigma, time, labels)], 1)
        errors = self.denoiser(shown, time, labels).float() - scales.answer(clean, epsilon, sigma)
        loss = (self.weights(sigma, scales.output) * errors.square()).mean()
        return loss, {"loss": loss.detach()}

    def fit(self, batch: Batch) -> None:
        """Learn the latents' mean and variance, where they have none yet."""
        if self.first_stage is not None and self.unit_variance is not None:
            self.unit_variance.fit(self.first_stage.model.compress(batch.x, batch.condition))

    @torch.no_grad()
    def bounds(self, x: Tensor, condition: Tensor | None, *, draws: int) -> dict[str, Tensor]:
        """Return the variational bound of the chain over all timesteps, or over 1,000 levels where time is continuous.

        Its sum is estimated at `draws` of them.
        """
        network = self._guided(condition, 1.0)
        table, clean = self.noise.table(), self._signals(x, condition)
        bound = variational_bound(lambda x, sigma: self._clean(network, x, sigma), clean, table, self.spec, draws)
        return {"elbo": bound}

    def latent(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw the noise that sampling begins with: (n, *shape)."""
        return torch.randn(n, *self.shape, generator=generator, device=generator.device)

    @torch.no_grad()
    def render(
        self,
        latent: Tensor,
        condition: Tensor | None,
        *,
        generator: torch.Generator,
        steps: Steps = None,
        spacing: Spacing | None = None,
        eta: Eta = None,
        guidance: Guidance = None,
        sampler: Sampler | None = None,
    ) -> Tensor:
        """Take the noise away, as configured where a setting is None; return stored integers."""
        draw = chosen_sampler(self.sampler, sampler, self.noise.most_steps, steps=steps, spacing=spacing, eta=eta)
        denoise = self._denoise(condition, guidance)
        signals = draw(denoise, lambda *chosen: begin(latent, self.noise, *chosen), generator)
        return self._stored(signals, condition)

    def sample(
        self,
        n: int,
        condition: Tensor | None,
        *,
        generator: torch.Generator,
        steps: Steps = None,
        spacing: Spacing | None = None,
        eta: Eta = None,
        guidance: Guidance = None,
        sampler: Sampler | None = None,
    ) -> Tensor:
        """Render fresh noise."""
        latent = self.latent(n, generator=generator)
        settings: dict[str, Any] = {"steps": steps, "spacing": spacing, "eta": eta, "guidance": guidance}
        return self.render(latent, condition, generator=generator, sampler=sampler, **settings)

    @torch.no_grad()
    def revise(
        self,
        picture: Tensor,
        anew: Tensor | None,
        condition: Tensor | None,
        *,
        generator: torch.Generator,
        strength: Annotated[float, Gt(0), Le(1)],
        resample: Annotated[int, Gt(0)],
        steps: Steps = None,
        spacing: Spacing | None = None,
        eta: Eta = None,
        guidance: Guidance = None,
        sampler: Sampler | None = None,
    ) -> Tensor:
        """Begin with the picture under so much noise (arXiv:2108.01073); keep it exactly where nothing is made anew."""
        draw = chosen_sampler(self.sampler, sampler, self.noise.most_steps, steps=steps, spacing=spacing, eta=eta)
        refuse_resampling(draw.func.__name__, resample)
        known, denoise = self._signals(picture, condition), self._denoise(condition, guidance)
        if anew is not None:
            denoise = keeping(denoise, known, anew)
        latent = self.latent(len(picture), generator=generator)
        x, sigmas = begin(latent, self.noise, draw.keywords["steps"], draw.keywords["spacing"])
        if strength < 1:
            sigmas = from_level(sigmas, strength)
            x = known + sigmas[0] * latent
        return self._stored(repeated(draw, denoise, x, sigmas, generator, resample), condition)

    def _signals(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Return what noise is added to: signals in [-1, 1], or latents of unit variance."""
        if self.first_stage is None or self.unit_variance is None:
            return self.spec.encode(x)
        return self.unit_variance(self.first_stage.model.compress(x, condition))

    def _stored(self, signals: Tensor, condition: Tensor | None) -> Tensor:
        if self.first_stage is None or self.unit_variance is None:
            return self.spec.decode(signals)
        return self.first_stage.model.expand(self.unit_variance.undo(signals), condition)

    def _clean(self, network: Denoiser, x: Tensor, sigma: Tensor, guess: Tensor | None = None) -> Tensor:
        """Return the data that the network sees in x (B, ...) under noise of sigma (B,)."""
        scales = self.coefficients(sigma.reshape(-1, *[1] * (x.ndim - 1)))
        shown = scales.input * x
        if self.self_conditioning:
            shown = torch.cat([shown, torch.zeros_like(x) if guess is None else guess], 1)
        return self._clipped(scales.clean(x, network(shown, self.noise.time_of(sigma))))

    def _clipped(self, clean: Tensor) -> Tensor:
        return clean.clamp(-1, 1) if self.clip else clean

    def _guess(self, shown: Tensor, x: Tensor, sigma: Tensor, time: Tensor, labels: Tensor | None) -> Tensor:
        """Return what the network first sees in one half of a batch, and nothing for the other half."""
        half, nothing = len(x) // 2, torch.zeros_like(x)
        with torch.no_grad():
            output = self.denoiser(
                torch.cat([shown, nothing], 1)[:half], time[:half], None if labels is None else labels[:half]
            )
            seen = self._clipped(self.coefficients(sigma[:half]).clean(x[:half], output))
        return torch.cat([seen, nothing[half:]])

    def _denoise(self, condition: Tensor | None, guidance: Guidance) -> Denoise:
        """Return what samplers follow; with self-conditioning it remembers what it last saw."""
        network, guess = self._guided(condition, self.guidance if guidance is None else guidance), None

        def denoise(x: Tensor, sigma: float) -> Tensor:
            nonlocal guess
            guess = self._clean(network, x, torch.full((len(x),), sigma, device=x.device), guess)
            return guess

        return denoise

    def _labels(self, labels: Tensor | None) -> Tensor | None:
        """Return labels to train with: some of them hidden."""
        if not self.conditional:
            return None
        assert labels is not None, "a conditional model is trained with labels"
        return hide_some(labels, self.label_dropout, self.spec.classes)

    def _guided(self, labels: Tensor | None, guidance: float) -> Denoiser:
        refuse_guidance("guidance", guidance, conditional=self.conditional, label_dropout=self.label_dropout)
        if not self.conditional:
            return self.denoiser
        assert labels is not None, "a conditional model is sampled with labels"
        return guided(self.denoiser, labels, self.spec.classes, guidance)

    def _refuse_settings_that_do_not_fit(self) -> None:
        refuse_steps(self.sampler.keywords["steps"], self.noise.most_steps)
        refuse_guidance("model.guidance", self.guidance, conditional=self.conditional, label_dropout=self.label_dropout)
