"""Learn to pass data through a narrow place and back: the autoencoder, and the one that also takes noise away.

arXiv:1312.6114's ancestor (Hinton and Salakhutdinov, Science 2006); denoising: Vincent et al., ICML 2008.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from annotated_types import Gt
from torch import Tensor

from aigc_cli.config import Choice
from aigc_cli.interfaces import Batch, DataSpec, Decoder, Encoder, Logs, Model, Phase, Shapes
from aigc_cli.models.likelihoods import RECONSTRUCTIONS
from aigc_cli.models.suitability import count_classes


class Autoencoder(Model):
    """Encode data into few numbers and decode them again."""

    kinds = ("image", "audio")
    generative = ("encoder", "decoder")
    conditional = False

    def __init__(
        self,
        spec: DataSpec,
        *,
        latent: Annotated[int, Gt(0)],
        reconstruction: Literal["mse", "bernoulli", "gaussian"],
        encoder: Encoder,
        decoder: Decoder,
    ) -> None:
        super().__init__()
        count_classes(spec, kinds=self.kinds, conditional=False)
        self.spec, self.latent_shape = spec, (latent,)
        self.encoder = encoder(Shapes(spec.shape, (latent,)))
        self.decoder = decoder(Shapes((latent,), spec.shape))
        self.reconstruction = RECONSTRUCTIONS[reconstruction](spec)

    def phases(self) -> tuple[Phase, ...]:
        """Return the one update."""
        return (Phase("autoencoder", list(self.parameters()), self.loss),)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """Return how far the decoded codes are from the data, on average over their dimensions."""
        x = self.spec.encode(batch.x)
        loss = self.reconstruction.nats(self.decoder(self.encoder(self._seen(x))), x).mean() / x[0].numel()
        return loss, {"loss": loss.detach()}

    @torch.no_grad()
    def compress(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Return the codes: (B, latent)."""
        return self.encoder(self.spec.encode(x)).float()

    @torch.no_grad()
    def expand(self, latent: Tensor, condition: Tensor | None) -> Tensor:
        """Decode codes into stored integers."""
        return self.spec.decode(self.reconstruction.mean(self.decoder(latent)))

    def encode(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Return the codes: (B, latent)."""
        return self.compress(x, condition)

    def reconstruct(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Decode the codes of stored integers."""
        return self.expand(self.compress(x, condition), condition)

    def score(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Return the mean squared error of the reconstruction, in units of the signal's [-1, 1]: (B,)."""
        made = self.reconstruct(x, condition)
        return (self.spec.encode(x) - self.spec.encode(made)).square().flatten(1).mean(1)

    def _seen(self, x: Tensor) -> Tensor:
        """Return what the encoder gets to see of signals in training: all."""
        return x


class DenoisingAutoencoder(Autoencoder):
    """Encode corrupted data and decode them clean: the code must know what data are like, not only copy them."""

    verb = "denoise"

    def __init__(
        self,
        spec: DataSpec,
        *,
        latent: Annotated[int, Gt(0)],
        reconstruction: Literal["mse", "bernoulli", "gaussian"],
        corruption: Annotated[Callable[..., Tensor], Choice("corruptions")],
        encoder: Encoder,
        decoder: Decoder,
    ) -> None:
        super().__init__(spec, latent=latent, reconstruction=reconstruction, encoder=encoder, decoder=decoder)
        self.corrupt, self.source = corruption, spec

    @torch.no_grad()
    def given(self, x: Tensor, condition: Tensor | None, *, generator: torch.Generator) -> Tensor:
        """Corrupt stored integers as training does."""
        return self.spec.decode(self.corrupt(self.spec.encode(x), generator))

    def transform(self, source: Tensor, *, generator: torch.Generator) -> Tensor:
        """Return what the decoder makes of noisy data's codes."""
        return self.reconstruct(source, None)

    def _seen(self, x: Tensor) -> Tensor:
        """Return the signals corrupted."""
        return self.corrupt(x, None)
