"""Learn to undo noise: denoising diffusion, arXiv:2006.11239.

x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) epsilon,    loss = E |epsilon - denoiser(x_t, t)|^2
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeAlias

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor
from torch.nn import functional as F

from aigc_cli import samplers
from aigc_cli.config import Choice, entry, parameters
from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Batch, DataSpec, Logs, Model, Network, Phase, Shapes
from aigc_cli.models.suitability import count_classes

# Settings of `aigc sample`; null: as configured.
Steps: TypeAlias = Annotated[int, Gt(0)] | None
Eta: TypeAlias = Annotated[float, Ge(0), Le(1)] | None
Guidance: TypeAlias = Annotated[float, Ge(0)] | None


class Diffusion(Model):
    """Predict the noise in noisy data, and draw data by taking noise away step by step.

    With labels one more stands for "none": it replaces some of them in training, so that sampling can be guided away
    from it (arXiv:2207.12598).
    """

    kinds = ("image",)
    generative = ("denoiser",)
    bound_names = ("elbo",)

    def __init__(
        self,
        spec: DataSpec,
        *,
        conditional: bool,
        schedule: Literal["linear", "cosine"],
        timesteps: Annotated[int, Gt(1)],
        label_dropout: Annotated[float, Ge(0), Lt(1)],
        guidance: Annotated[float, Ge(0)],
        denoiser: Network,
        sampler: Annotated[Callable[..., Tensor], Choice("samplers")],
    ) -> None:
        super().__init__()
        classes = count_classes(spec, kinds=self.kinds, conditional=conditional)
        self.spec, self.conditional, self.timesteps = spec, conditional, timesteps
        self.label_dropout, self.guidance = label_dropout, guidance
        self.sampler: Any = sampler  # a partial: its keywords are the settings
        if (sampler.keywords.get("steps") or 0) > timesteps:  # type: ignore[attr-defined]
            raise ConfigError(f"model.sampler.steps: above model.timesteps={timesteps}. Type model.sampler.steps=null.")
        if not conditional and guidance != 1:
            raise ConfigError("model.guidance: it needs labels. Type model.conditional=true, or leave it at 1.")
        if conditional:
            self._refuse_guidance_without_dropout("model.guidance", guidance)
        self.denoiser = denoiser(Shapes(spec.shape, spec.shape, classes + 1 if conditional else 0))
        self.alpha_bars: Tensor
        self.register_buffer("alpha_bars", SCHEDULES[schedule](timesteps), persistent=False)

    def phases(self) -> tuple[Phase, ...]:
        """Return the one update."""
        return (Phase("denoiser", list(self.denoiser.parameters()), self.loss),)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """Return the mean squared error of the predicted noise at random timesteps: arXiv:2006.11239, Eq. 14."""
        clean = self.spec.encode(batch.x)
        time = torch.randint(self.timesteps, (len(clean),), device=clean.device)
        epsilon = torch.randn_like(clean)
        alpha_bar = self.alpha_bars[time].reshape(-1, *[1] * (clean.ndim - 1))
        noisy = torch.addcmul(alpha_bar.sqrt() * clean, (1 - alpha_bar).sqrt(), epsilon)
        predicted = self.denoiser(noisy, time, self._with_some_hidden(batch.condition))
        loss = F.mse_loss(predicted.float(), epsilon)
        return loss, {"loss": loss.detach()}

    @torch.no_grad()
    def bounds(self, x: Tensor, condition: Tensor | None, *, draws: int) -> dict[str, Tensor]:
        """Return the variational bound, its sum over timesteps estimated at `draws` of them: arXiv:2006.11239, Eq. 5.

        Reverse steps have the posterior's variance, the last one beta_1 and whole levels (Eq. 13).
        """
        clean = self.spec.encode(x)
        labels = condition if self.conditional else None
        bars = self.alpha_bars.cpu().double()  # of which not every device knows
        squares = clean.square().flatten(1).sum(1).cpu().double()
        prior = (bars[-1] * squares - (bars[-1] + (1 - bars[-1]).log()) * clean[0].numel()) / 2
        ratios = bars / (1 - bars)
        # Timesteps by the fall of the signal's log ratio, over which the terms are even; one from each part of it.
        shares = (ratios[:-1] / ratios[1:]).log()
        shares = shares / shares.sum()
        ends, total = shares.cumsum(0), torch.zeros(len(clean), dtype=torch.float64)
        for draw in range(draws):
            where = (draw + torch.rand(len(clean), dtype=torch.float64)) / draws
            step = torch.searchsorted(ends, where).clamp(max=self.timesteps - 2)
            error = self._clean_at(clean, (step + 1).to(clean.device), labels) - clean
            errors = error.square().flatten(1).sum(1).cpu().double()
            total += (ratios[step] - ratios[step + 1]) / 2 * errors / (draws * shares[step])
        return {"elbo": -(prior + total + self._nats_of_last_step(clean, labels))}

    def _clean_at(self, clean: Tensor, time: Tensor, labels: Tensor | None) -> Tensor:
        """Return what the network takes data for that are noised to a timestep."""
        epsilon = torch.randn_like(clean)
        bar = self.alpha_bars[time].reshape(-1, *[1] * (clean.ndim - 1))
        noisy = torch.addcmul(bar.sqrt() * clean, (1 - bar).sqrt(), epsilon)
        return samplers.predict_clean(noisy, self.denoiser(noisy, time, labels).float(), bar)

    def _nats_of_last_step(self, clean: Tensor, labels: Tensor | None) -> Tensor:
        """Return -log p(x_0 | x_1) of whole levels, whose outermost reach to infinity: arXiv:2006.11239, Eq. 13."""
        mean = self._clean_at(clean, torch.zeros(len(clean), dtype=torch.int64, device=clean.device), labels)
        normal = torch.distributions.Normal(mean.cpu().double(), (1 - self.alpha_bars[0]).cpu().double().sqrt())
        clean, half = clean.cpu().double(), 1 / (self.spec.levels - 1)
        upper = torch.where(clean >= 1 - half, 1.0, normal.cdf(clean + half))
        lower = torch.where(clean <= half - 1, 0.0, normal.cdf(clean - half))
        return -(upper - lower).clamp(min=1e-12).log().flatten(1).sum(1)

    def latent(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw the noise that sampling begins with: (n, *spec.shape)."""
        return torch.randn(n, *self.spec.shape, generator=generator, device=generator.device)

    @torch.no_grad()
    def render(
        self,
        latent: Tensor,
        condition: Tensor | None,
        *,
        generator: torch.Generator,
        steps: Steps = None,
        eta: Eta = None,
        guidance: Guidance = None,
        sampler: str | None = None,
    ) -> Tensor:
        """Take the noise away, as configured where a setting is None; return stored integers."""
        draw = self._sampler(sampler, steps=steps, eta=eta)
        denoise = self._guided(condition, self.guidance if guidance is None else guidance)
        return self.spec.decode(draw(denoise, latent, self.alpha_bars, generator))

    def sample(
        self,
        n: int,
        condition: Tensor | None,
        *,
        generator: torch.Generator,
        steps: Steps = None,
        eta: Eta = None,
        guidance: Guidance = None,
        sampler: str | None = None,
    ) -> Tensor:
        """Render fresh noise."""
        latent = self.latent(n, generator=generator)
        settings: dict[str, Any] = {"steps": steps, "eta": eta, "guidance": guidance, "sampler": sampler}
        return self.render(latent, condition, generator=generator, **settings)

    def _with_some_hidden(self, labels: Tensor | None) -> Tensor | None:
        if not self.conditional:
            return None
        assert labels is not None, "a conditional model is trained with labels"
        hidden = torch.rand(labels.shape, device=labels.device) < self.label_dropout
        return labels.masked_fill(hidden, self.spec.classes)

    def _guided(self, labels: Tensor | None, guidance: float) -> samplers.Denoise:
        """Return what predicts noise: arXiv:2207.12598, Eq. 6, with guidance = 1 + w, so that 0 leaves the labels out.

        Where guidance is 0 or 1 one evaluation of the network is enough.
        """
        if not self.conditional:
            return self.denoiser
        assert labels is not None, "a conditional model is sampled with labels"
        self._refuse_guidance_without_dropout("guidance", guidance)
        none = torch.full_like(labels, self.spec.classes)
        if guidance in (0, 1):
            return lambda x, time: self.denoiser(x, time, labels if guidance else none)
        both = torch.cat([none, labels])

        def denoise(x: Tensor, time: Tensor) -> Tensor:
            unlabelled, labelled = self.denoiser(x.repeat(2, 1, 1, 1), time.repeat(2), both).chunk(2)
            return torch.lerp(unlabelled, labelled, guidance)

        return denoise

    def _refuse_guidance_without_dropout(self, where: str, guidance: float) -> None:
        if guidance != 1 and not self.label_dropout:
            raise ConfigError(
                f"{where}: given {guidance}, but a model trained with model.label_dropout=0 never saw a hidden label. "
                f"Type {where}=1, or train with model.label_dropout=0.1."
            )

    def _sampler(self, name: str | None, **changes: float | None) -> Callable[..., Tensor]:
        """Return the sampler with its settings: as configured, but for what is given."""
        function = entry("samplers", name, "sampler") if name else self.sampler.func
        known = parameters(function)
        # Going over from a sampler without eta: DDIM proper has none.
        settings = {"eta": 0.0, **self.sampler.keywords, **{k: v for k, v in changes.items() if v is not None}}
        if changes["eta"] is not None and "eta" not in known:
            raise ConfigError(f"eta: {function.__name__} has no such setting. Leave eta out or type sampler=ddim.")
        chosen = {key: value for key, value in settings.items() if key in known}
        return lambda *positional: function(*positional, **chosen)


def linear(timesteps: int) -> Tensor:
    """Return alpha bars where beta rises linearly, from 0.0001 to 0.02 over 1000 steps: arXiv:2006.11239, Section 4.

    With another number of steps the betas grow in proportion, so that as little of the data is left at the end.
    """
    scale = 1000 / timesteps
    return alpha_bars_of(torch.linspace(1e-4 * scale, 0.02 * scale, timesteps, dtype=torch.float64))


def cosine(timesteps: int) -> Tensor:
    """Return alpha bars that fall like a squared cosine: arXiv:2102.09672, Eq. 17."""
    angles = (torch.arange(timesteps + 1, dtype=torch.float64) / timesteps + 0.008) / 1.008 * math.pi / 2
    levels = angles.cos().square()
    return alpha_bars_of(1 - levels[1:] / levels[:-1])


def alpha_bars_of(betas: Tensor) -> Tensor:
    """Return the running product of 1 - beta in float32: (T,); no beta exceeds 0.999, so that some data remain."""
    return (1 - betas.clamp(max=0.999)).cumprod(0).float()


SCHEDULES = {"linear": linear, "cosine": cosine}
