"""Learn latents of whole pieces of text: a recurrent VAE, arXiv:1511.06349.

A decoder that writes symbol by symbol can do without the latent, and learns to, unless some of the symbols that it
reads are hidden from it (word dropout) and the KL divergence costs little at first (Section 3.1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn
from torch.nn import functional as F

from aigc_cli.abilities import Consults
from aigc_cli.config import Choice
from aigc_cli.interfaces import Batch, DataSpec, Logs, Model, Network, Phase, Shapes
from aigc_cli.models.autoregressive import Temperature, TopK, TopP
from aigc_cli.models.decoding import follow
from aigc_cli.models.drawing import draw
from aigc_cli.models.pieces import by_length, counted, end_of, filled, nats_of_symbols, prompted, shortened
from aigc_cli.models.suitability import count_classes
from aigc_cli.models.vae import SCORE_DRAWS, bounds_from, cost_of, kl_of_each


class TextVAE(Model):
    """Encode pieces of text into a normal distribution of latents; write text from latents, symbol by symbol.

    Departure from the paper: the encoder reads from both ends, and its latent is made of the largest of each number
    over all places, not of the last place only, which makes it harder to do without the latent (arXiv:1911.03976).
    """

    kinds = ("text",)
    generative = ("encoder", "posterior", "decoder")
    bound_names = ("elbo", "importance_weighted")

    def __init__(
        self,
        spec: DataSpec,
        *,
        latent: Annotated[int, Gt(0)],
        conditional: bool,
        beta: Annotated[float, Ge(0)],
        warmup: Annotated[int, Ge(0)],
        free_bits: Annotated[float, Ge(0)],
        word_dropout: Annotated[float, Ge(0), Le(1)],
        temperature: Annotated[float, Ge(0)],
        top_k: Annotated[int, Gt(0)] | None,
        top_p: Annotated[float, Gt(0), Le(1)] | None,
        encoder: Annotated[Network, Choice("networks", "encoder of text")],
        decoder: Annotated[Network, Choice("networks", "decoder of text from a latent")],
    ) -> None:
        super().__init__()
        self.classes = count_classes(spec, kinds=self.kinds, conditional=conditional)
        self.end = end_of(spec, "Type data=reviews, or data=sums, or learn it with another model=.")
        self.spec, self.conditional, self.latent_size = spec, conditional, latent
        self.beta, self.warmup, self.free_bits, self.word_dropout = beta, warmup, free_bits, word_dropout
        self.temperature, self.top_k, self.top_p = temperature, top_k, top_p
        (length,), symbols = spec.shape, spec.levels
        self.encoder: Any = encoder(Shapes((length, symbols), (length,)))
        self.posterior = nn.Linear(self.encoder.width + self.classes, 2 * latent)
        self.decoder: Any = decoder(Shapes((latent + self.classes,), (length, symbols)))

    def consult(self) -> dict[str, str]:
        """Let the encoder read the weights that it begins with, if any."""
        return dict(self.encoder.consult()) if isinstance(self.encoder, Consults) else {}

    def phases(self) -> tuple[Phase, ...]:
        """Return the one update: every parameter descends the same bound."""
        return (Phase("autoencoder", list(self.parameters()), self.loss),)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """Return the negative bound, in nats per piece: arXiv:1511.06349, Section 2."""
        parts = [
            self._parts(batch.x[rows], batch.condition[rows] if self.conditional else None)  # type: ignore[index]
            for rows in by_length(counted(batch.x, self.end))
        ]
        nats, divergences = (torch.cat(part) for part in zip(*parts, strict=True))
        reconstruction, divergence = nats.mean(), divergences.mean(0)
        loss = reconstruction + cost_of(divergence, batch.step, self.beta, self.warmup, self.free_bits)
        return loss, {"loss": loss.detach(), "reconstruction": reconstruction.detach(), "kl": divergence.sum().detach()}

    def _parts(self, x: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return -log p(x | z) at a drawn z, some words hidden (B,), and the KL divergence (B, D) of each piece."""
        symbols, among = shortened(x, self.end)
        mean, log_variance = self._posterior(symbols, among, condition)
        z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        hidden = torch.rand(symbols.shape, device=symbols.device) < self.word_dropout
        told = symbols.masked_fill(hidden, self.spec.levels)
        return self._nats(z, told, symbols, among, condition), kl_of_each(mean, log_variance)

    @torch.no_grad()
    def bounds(self, x: Tensor, condition: Tensor | None, *, draws: int) -> dict[str, Tensor]:
        """Return the bound that training raises (with beta 1, all words told), and a tighter one: arXiv:1509.00519."""
        symbols, among = shortened(x, self.end)
        mean, log_variance = self._posterior(symbols, among, condition)
        return bounds_from(mean, log_variance, lambda z: self._nats(z, symbols, symbols, among, condition), draws)

    def score(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Return the negative bound in nats, the higher the less likely: (B,)."""
        return -self.bounds(x, condition, draws=SCORE_DRAWS)["elbo"]

    @torch.no_grad()
    def encode(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Return the posterior's mean: (B, latent)."""
        return self._posterior(*shortened(x, self.end), condition)[0]

    @torch.no_grad()
    def reconstruct(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Write the likeliest symbol each time, from the posterior's mean."""
        return self._greedy(self.encode(x, condition), condition)

    def latent(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw latents from the prior: (n, latent)."""
        return torch.randn(n, self.latent_size, generator=generator, device=generator.device)

    @torch.no_grad()
    def render(self, latent: Tensor, condition: Tensor | None, *, generator: torch.Generator) -> Tensor:
        """Write the likeliest symbol each time: what changes on a walk is the latent's doing."""
        return self._greedy(latent, condition)

    def sample(
        self, n: int, condition: Tensor | None, *, generator: torch.Generator, temperature: Temperature = None,
        top_k: TopK = None, top_p: TopP = None,
    ) -> Tensor:  # fmt: skip
        """Write from latents drawn from the prior, as configured where a setting is None."""
        symbols = self.write(
            n, condition, generator=generator, prompt=None, length=None, tell=None, temperature=temperature,
            top_k=top_k, top_p=top_p,
        )  # fmt: skip
        return filled(symbols, self.spec, self.end)

    @torch.no_grad()
    def write(
        self, n: int, condition: Tensor | None, *, generator: torch.Generator, prompt: Tensor | None,
        length: int | None, tell: Callable[[Tensor], None] | None, temperature: Temperature = None, top_k: TopK = None,
        top_p: TopP = None,
    ) -> Tensor:  # fmt: skip
        """Return (n, at most length) symbols after the prompt, from latents of the prior, as abilities.Writes has it.

        length: None is what the prompt leaves of that of the data's samples.
        """
        temperature = self.temperature if temperature is None else temperature
        top_k, top_p = self.top_k if top_k is None else top_k, self.top_p if top_p is None else top_p
        given = prompted(prompt, n, generator.device)
        state = self.decoder.start(self._told(self.latent(n, generator=generator), condition))

        def choose(logits: Tensor) -> Tensor:
            return draw(logits, temperature, top_k, generator, top_p)

        length = max(1, self.spec.shape[0] - given.shape[1]) if length is None else length
        return follow(self.decoder, state, given, choose, length=length, end=self.end, tell=tell)

    def _greedy(self, z: Tensor, condition: Tensor | None) -> Tensor:
        state, given = self.decoder.start(self._told(z, condition)), prompted(None, len(z), z.device)

        def choose(logits: Tensor) -> Tensor:
            return logits.argmax(1, keepdim=True)

        symbols = follow(self.decoder, state, given, choose, length=self.spec.shape[0], end=self.end)
        return filled(symbols, self.spec, self.end)

    def _posterior(self, symbols: Tensor, among: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the mean and the log variance of q(z | x): (B, latent) each, float32."""
        read = self.encoder(symbols, among)
        largest = read.masked_fill(~among[..., None], -torch.inf).amax(1)
        mean, log_variance = self.posterior(self._told(largest, condition)).float().chunk(2, dim=1)
        return mean, log_variance

    def _nats(self, z: Tensor, told: Tensor, symbols: Tensor, among: Tensor, condition: Tensor | None) -> Tensor:
        """Return -log p(x | z), where the decoder reads the symbols that it is told: (B,), float32."""
        logits = self.decoder(told[:, :-1], self.decoder.start(self._told(z, condition)))
        return nats_of_symbols(logits, symbols, among).sum(1)

    def _told(self, values: Tensor, condition: Tensor | None) -> Tensor:
        """Append the label, as one number for each class, to values (B, D)."""
        if not self.conditional:
            return values
        assert condition is not None, "a model that was told of labels is asked by label"
        return torch.cat([values, F.one_hot(condition, self.classes).to(values.dtype)], dim=1)
