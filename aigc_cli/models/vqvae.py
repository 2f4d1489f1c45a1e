"""Learn to write pictures in an alphabet of codes: the vector-quantised autoencoder, arXiv:1711.00937.

loss = -log p(x | e) + beta |z - sg(e)|^2,    e the code nearest to each place's z;    gradients skip from e to z
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor
from torch.nn import functional as F

from aigc_cli.distributed import gathered
from aigc_cli.interfaces import Batch, DataSpec, Decoder, Encoder, Logs, Model, Phase, Shapes
from aigc_cli.models.codebook import Codebook
from aigc_cli.models.likelihoods import RECONSTRUCTIONS
from aigc_cli.models.suitability import count_classes, halved


class VQVAE(Model):
    """Encode pictures into maps of codes and decode them. Samples come from a prior over the codes (vqvae_prior)."""

    kinds = ("image",)
    generative = ("decoder",)  # the codes follow the encoder as it is: an averaged one would choose others
    conditional = False

    def __init__(
        self,
        spec: DataSpec,
        *,
        codes: Annotated[int, Gt(1), Le(65536)],
        code_size: Annotated[int, Gt(0)],
        halvings: Annotated[int, Ge(1), Le(6)],
        commitment: Annotated[float, Ge(0)],
        decay: Annotated[float, Ge(0), Lt(1)],
        revive: Annotated[float, Ge(0), Lt(1)],
        reconstruction: Literal["mse", "bernoulli", "gaussian"],
        encoder: Encoder,
        decoder: Decoder,
    ) -> None:
        super().__init__()
        count_classes(spec, kinds=self.kinds, conditional=False)
        self.spec, self.commitment = spec, commitment
        self.latent_shape = halved(spec, code_size, halvings)
        self.token_spec = DataSpec("text", (math.prod(self.latent_shape[1:]),), codes)
        self.encoder = encoder(Shapes(spec.shape, self.latent_shape))
        self.decoder = decoder(Shapes(self.latent_shape, spec.shape))
        self.codebook = Codebook(codes, code_size, decay=decay, revive=revive)
        self.reconstruction = RECONSTRUCTIONS[reconstruction](spec)
        self._chosen: list[tuple[Tensor, Tensor]] = []  # (vectors, ids) of an update's micro-batches

    def advance(self) -> None:
        """Forget what the update before chose: here, not in `follow`, for a replayed loss fills the same tensors."""
        self._chosen = []

    def phases(self) -> tuple[Phase, ...]:
        """Return the one update, after which the codes follow."""
        return (Phase("autoencoder", list(self.parameters()), self.loss, after=self.follow),)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """Return the reconstruction's error and the commitment, on average over dimensions: Eq. 3 of the paper.

        As the codes are running means (appendix A.1), they have no term of their own.
        """
        x = self.spec.encode(batch.x)
        latent = self.encoder(x).float()
        vectors = as_vectors(latent)
        ids = self.codebook.choose(vectors)
        quantised = self._as_map(ids, len(x))
        passed = latent + (quantised - latent).detach()
        reconstruction = self.reconstruction.nats(self.decoder(passed), x).mean() / x[0].numel()
        commitment = F.mse_loss(latent, quantised)
        loss = reconstruction + self.commitment * commitment
        self._chosen.append((vectors.detach(), ids))
        logs = {"loss": loss, "reconstruction": reconstruction, "commitment": commitment}
        return loss, {key: value.detach() for key, value in logs.items()} | self.codebook.logs(ids)

    def follow(self, batch: Batch) -> None:
        """Move the codes by what all micro-batches of the update chose; one that was skipped leaves no trace."""
        vectors, ids = (gathered(torch.cat(parts)) for parts in zip(*self._chosen, strict=True))
        self.codebook.update(vectors, ids)

    @torch.no_grad()
    def tokenise(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Return the codes' indices, row by row: (B, T)."""
        return self.codebook.choose(as_vectors(self.compress(x, condition))).reshape(len(x), -1)

    @torch.no_grad()
    def detokenise(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        """Decode codes by their indices (B, T) into stored integers."""
        return self.spec.decode(self.reconstruction.mean(self.decoder(self._as_map(tokens, len(tokens)))))

    @torch.no_grad()
    def compress(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Return the encoder's maps, not quantised yet: (B, *latent_shape)."""
        return self.encoder(self.spec.encode(x)).float()

    def expand(self, latent: Tensor, condition: Tensor | None) -> Tensor:
        """Decode the codes nearest to maps: quantisation is the decoder's first layer, as in arXiv:2112.10752."""
        ids = self.codebook.choose(as_vectors(latent))
        return self.detokenise(ids.reshape(len(latent), -1), condition)

    def encode(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Return the codes, flat: (B, D)."""
        return self._as_map(self.tokenise(x, condition), len(x)).flatten(1)

    def reconstruct(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Write pictures in codes and read them back."""
        return self.detokenise(self.tokenise(x, condition), condition)

    def score(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Return the mean squared error of the reconstruction, in units of the signal's [-1, 1]: (B,)."""
        made = self.reconstruct(x, condition)
        return (self.spec.encode(x) - self.spec.encode(made)).square().flatten(1).mean(1)

    def _as_map(self, ids: Tensor, n: int) -> Tensor:
        """Return the codes of indices as maps: (n, *latent_shape)."""
        width, *sides = self.latent_shape
        return self.codebook.look_up(ids).reshape(n, *sides, width).movedim(-1, 1)


def as_vectors(maps: Tensor) -> Tensor:
    """Return the vector at each place of maps: (B, D, ...) to (B * places, D)."""
    return maps.movedim(1, -1).reshape(-1, maps.shape[1])
