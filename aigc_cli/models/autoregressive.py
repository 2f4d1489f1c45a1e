"""Learn sequences symbol by symbol: p(s) = p(s_1) p(s_2 | s_1) p(s_3 | s_1, s_2) ...

The symbols are the data's own stored values, place by place (texts, 8-bit audio, small pictures), or the codes that a
trained first stage writes data in (arXiv:1711.00937, Section 4.2).
"""

from __future__ import annotations

import math
from typing import Annotated, Any, TypeAlias

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from torch.nn import functional as F

from aigc_cli.abilities import Tokenises
from aigc_cli.config import Choice
from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Batch, DataSpec, Logs, Model, Network, Phase, Shapes
from aigc_cli.models.first_stage import FirstStage, Frozen
from aigc_cli.models.suitability import count_classes

# Settings of `aigc sample`; null: as configured.
Temperature: TypeAlias = Annotated[float, Ge(0)] | None
TopK: TypeAlias = Annotated[int, Gt(0)] | None


MOST_LEVELS = 256  # of sounds


class Autoregressive(Model):
    """Predict each symbol from those before it, and draw data symbol by symbol."""

    kinds = ("image", "audio", "text")
    generative = ("network",)

    def __init__(
        self,
        spec: DataSpec,
        *,
        conditional: bool,
        first_stage: FirstStage | None,
        temperature: Annotated[float, Ge(0)],
        top_k: Annotated[int, Gt(0)] | None,
        network: Annotated[Network, Choice("networks", "predictor of symbols")],
    ) -> None:
        super().__init__()
        classes = count_classes(spec, kinds=self.kinds, conditional=conditional)
        if spec.kind == "audio" and spec.levels > MOST_LEVELS:
            raise ConfigError(f"model: it predicts levels one by one, and these data have {spec.levels:,}. "
                              "Type data.mu_law=true, which makes them 256.")  # fmt: skip
        self.spec, self.conditional, self.temperature, self.top_k = spec, conditional, temperature, top_k
        self.first_stage = Frozen(first_stage, spec, Tokenises, "writes no codes") if first_stage else None
        stage: Any = self.first_stage.model if self.first_stage else None
        symbols = stage.token_spec if stage else DataSpec("text", (math.prod(spec.shape),), spec.levels)
        self.length, vocabulary = symbols.shape[0], symbols.levels
        self.network = network(Shapes((self.length,), (self.length, vocabulary), classes))

    def phases(self) -> tuple[Phase, ...]:
        """Return the one update; the first stage has none."""
        return (Phase("prior" if self.first_stage else "network", list(self.network.parameters()), self.loss),)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """Return the mean negative log likelihood of a symbol, in nats."""
        loss = self._nats(batch.x, batch.condition).mean()
        return loss, {"loss": loss.detach()}

    @torch.no_grad()
    def score(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Return the negative log likelihood of each sample's symbols, in nats: (B,)."""
        return self._nats(x, condition).sum(1)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        condition: Tensor | None,
        *,
        generator: torch.Generator,
        temperature: Temperature = None,
        top_k: TopK = None,
    ) -> Tensor:
        """Draw symbol after symbol, as configured where a setting is None; return stored integers."""
        temperature = self.temperature if temperature is None else temperature
        top_k = self.top_k if top_k is None else top_k
        network: Any = self.network
        cache, labels = network.new_cache(n), self._labels(condition)
        symbols = [torch.zeros(n, 0, dtype=torch.int64, device=generator.device)]
        for _ in range(self.length):
            logits = network(symbols[-1], labels, cache)[:, -1].float()
            symbols.append(draw(logits, temperature, top_k, generator))
        return self._read(torch.cat(symbols, dim=1), condition)

    def _nats(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Return -log p of each symbol given those before it: (B, T), float32."""
        symbols = self._written(x, condition)
        logits = self.network(symbols[:, :-1], self._labels(condition)).float()
        return F.cross_entropy(logits.transpose(1, 2), symbols, reduction="none")

    def _written(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Return data as symbols: (B, T), int64."""
        stage: Any = self.first_stage.model if self.first_stage else None
        return stage.tokenise(x, condition) if stage else x.flatten(1).long()

    def _read(self, symbols: Tensor, condition: Tensor | None) -> Tensor:
        """Return symbols as data: (B, *spec.shape), stored integers."""
        stage: Any = self.first_stage.model if self.first_stage else None
        if stage:
            return stage.detokenise(symbols, condition)
        return symbols.reshape(-1, *self.spec.shape).to(self.spec.dtype)

    def _labels(self, condition: Tensor | None) -> Tensor | None:
        return condition if self.conditional else None


def draw(logits: Tensor, temperature: float, top_k: int | None, generator: torch.Generator) -> Tensor:
    """Draw a symbol for each row of logits (B, V), only of the k likeliest where asked: (B, 1).

    temperature: divides the logits; 0 takes the likeliest.
    """
    if not temperature:
        return logits.argmax(1, keepdim=True)
    if top_k is not None and top_k < logits.shape[1]:
        least = logits.topk(top_k, dim=1).values[:, -1:]
        logits = logits.masked_fill(logits < least, -math.inf)
    return torch.multinomial((logits / temperature).softmax(1), 1, generator=generator)
