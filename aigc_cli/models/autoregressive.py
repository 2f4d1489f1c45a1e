"""Learn sequences symbol by symbol: p(s) = p(s_1) p(s_2 | s_1) p(s_3 | s_1, s_2) ...

The symbols are the data's own stored values, place by place (texts, 8-bit audio, small pictures), or the codes that a
trained first stage writes data in (arXiv:1711.00937, Section 4.2).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor
from torch.nn import functional as F

from aigc_cli.abilities import Tokenises
from aigc_cli.config import Choice
from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Batch, DataSpec, Logs, Model, Network, Phase, Shapes
from aigc_cli.models.decoding import follow
from aigc_cli.models.drawing import draw
from aigc_cli.models.first_stage import FirstStage, Frozen
from aigc_cli.models.guidance import Guidance, guided_reader, hide_some, refuse_guidance
from aigc_cli.models.pieces import filled, prompted, shortened
from aigc_cli.models.suitability import count_classes

# Settings of `aigc sample`; null: as configured.
Temperature: TypeAlias = Annotated[float, Ge(0)] | None
TopK: TypeAlias = Annotated[int, Gt(0)] | None
TopP: TypeAlias = Annotated[float, Gt(0), Le(1)] | None


MOST_LEVELS = 256  # of sounds
NO_SYMBOL = -1  # ends running text


class Autoregressive(Model):
    """Predict each symbol from those before it, and draw data symbol by symbol.

    carry: of running text, so many symbols at the beginning of each window only warm the network's state up, without
    loss and gradient: the rest is learnt as if the state had been carried there from before. How a text begins is not
    learnt then. label_dropout: with it one more label stands for "none" and replaces some in training, so that sampling
    can be guided away from it (arXiv:2207.12598).
    """

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
        top_p: Annotated[float, Gt(0), Le(1)] | None,
        carry: Annotated[int, Ge(0)],
        label_dropout: Annotated[float, Ge(0), Lt(1)],
        guidance: Annotated[float, Ge(0)],
        network: Annotated[Network, Choice("networks", "predictor of symbols")],
    ) -> None:
        super().__init__()
        classes = count_classes(spec, kinds=self.kinds, conditional=conditional)
        if spec.kind == "audio" and spec.levels > MOST_LEVELS:
            raise ConfigError(f"model: it predicts levels one by one, and these data have {spec.levels:,}. "
                              "Type data.mu_law=true, which makes them 256.")  # fmt: skip
        self.spec, self.conditional, self.carry = spec, conditional, carry
        self.temperature, self.top_k, self.top_p = temperature, top_k, top_p
        self.label_dropout, self.guidance = label_dropout, guidance
        self._refuse_guidance("model.guidance", guidance)
        self.first_stage = Frozen(first_stage, spec, Tokenises, "writes no codes") if first_stage else None
        stage: Any = self.first_stage.model if self.first_stage else None
        symbols = stage.token_spec if stage else DataSpec("text", (math.prod(spec.shape),), spec.levels)
        self.length: int = symbols.shape[0]
        vocabulary = symbols.levels
        self.end = spec.text.end if spec.text and not stage else None  # of pieces
        told = classes + 1 if classes and label_dropout else classes
        self.network: Any = network(Shapes((self.length,), (self.length, vocabulary), told))
        if carry:
            self._refuse_carry_where_it_does_not_apply()
            self.network.begin.requires_grad_(False)  # nothing would teach it

    def phases(self) -> tuple[Phase, ...]:
        """Return the one update; the first stage has none."""
        learning = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        return (Phase("prior" if self.first_stage else "network", learning, self.loss),)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """Return the mean negative log likelihood of a symbol that counts, in nats."""
        symbols, among = self._counted(batch.x, batch.condition)
        labels = self._labels(batch.condition)
        if labels is not None and self.label_dropout:
            labels = hide_some(labels, self.label_dropout, self.spec.classes)
        nats = self._nats(symbols, labels, self.carry)
        loss = nats.mean() if among is None else nats.masked_fill(~among, 0.0).sum() / among.sum()
        return loss, {"loss": loss.detach()}

    @torch.no_grad()
    def score(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Return the negative log likelihood of each sample's symbols, of a piece up to its end, in nats: (B,).

        Of those from `carry` on: what comes before is not learnt.
        """
        symbols, among = self._counted(x, condition)
        nats = self._nats(symbols, self._labels(condition), self.carry)
        return (nats if among is None else nats.masked_fill(~among, 0.0)).sum(1)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        condition: Tensor | None,
        *,
        generator: torch.Generator,
        temperature: Temperature = None,
        top_k: TopK = None,
        top_p: TopP = None,
        guidance: Guidance = None,
    ) -> Tensor:
        """Draw symbol after symbol, as configured where a setting is None; return stored integers."""
        settings: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "guidance": guidance}
        symbols = self.write(n, condition, generator=generator, prompt=None, length=self.length, tell=None, **settings)
        if self.end is not None:
            return filled(symbols, self.spec, self.end)
        return self._read(symbols, condition)

    @torch.no_grad()
    def write(
        self,
        n: int,
        condition: Tensor | None,
        *,
        generator: torch.Generator,
        prompt: Tensor | None,
        length: int | None,
        tell: Callable[[Tensor], None] | None,
        temperature: Temperature = None,
        top_k: TopK = None,
        top_p: TopP = None,
        guidance: Guidance = None,
    ) -> Tensor:
        """Return (n, at most length) int64 symbols that follow the prompt (P,), as abilities.Writes has it.

        length: None is that of the data's samples, of pieces what the prompt leaves of it. A transformer that has
        filled its context goes on from the newest half of it, which it reads again as if a sequence began there; so
        does one whose prompt is longer than its context.
        """
        temperature = self.temperature if temperature is None else temperature
        top_k, top_p = self.top_k if top_k is None else top_k, self.top_p if top_p is None else top_p
        guidance = self.guidance if guidance is None else guidance
        self._refuse_guidance("guidance", guidance)
        given = prompted(prompt, n, generator.device)
        if length is None:
            length = self.length if self.end is None else max(1, self.length - given.shape[1])

        def choose(logits: Tensor) -> Tensor:
            return draw(logits, temperature, top_k, generator, top_p)

        reader = guided_reader(self.network, n, self._labels(condition), self.spec.classes, guidance)
        end = NO_SYMBOL if self.end is None else self.end
        return follow(reader, None, given, choose, length=length, end=end, tell=tell)

    def _nats(self, symbols: Tensor, labels: Tensor | None, carry: int = 0) -> Tensor:
        """Return -log p of each symbol from `carry` on, given those before it: (B, T - carry), float32."""
        cache, read = None, symbols[:, :-1]
        if carry:
            cache = self.network.new_cache(len(symbols))
            with torch.no_grad():
                self.network(symbols[:, : carry - 1], labels, cache)
            read = symbols[:, carry - 1 : -1]
        logits, wanted = self.network(read, labels, cache).float(), symbols[:, carry:]
        return F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none").view_as(wanted)

    def _counted(self, x: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return data as symbols (B, T), and of pieces which of them count: those up to the first end symbol."""
        return (self._written(x, condition), None) if self.end is None else shortened(x, self.end)

    def _refuse_guidance(self, where: str, guidance: float) -> None:
        refuse_guidance(where, guidance, conditional=self.conditional, label_dropout=self.label_dropout)

    def _refuse_carry_where_it_does_not_apply(self) -> None:
        carries = getattr(self.network, "carries", False)
        if self.end is not None or not self.spec.text or not carries or self.conditional:
            what = "running text without labels and a network that carries a state (rnn, lstm, gru)"
            raise ConfigError(f"model.carry: given {self.carry}, but it needs {what}. Type model.carry=0.")
        if self.carry >= self.length:
            raise ConfigError(f"model.carry: given {self.carry}, allowed: 0 to {self.length - 1}, which is less than a "
                              f"window of the data. Type model.carry={self.length // 4}.")  # fmt: skip

    def _written(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Return data as symbols: (B, T), int64; of sounds all channels of a moment, then those of the next."""
        stage: Any = self.first_stage.model if self.first_stage else None
        if stage:
            return stage.tokenise(x, condition)
        return (x.mT if self.spec.kind == "audio" else x).flatten(1).long()

    def _read(self, symbols: Tensor, condition: Tensor | None) -> Tensor:
        """Return symbols as data: (B, *spec.shape), stored integers."""
        stage: Any = self.first_stage.model if self.first_stage else None
        if stage:
            return stage.detokenise(symbols, condition)
        if self.spec.kind == "audio":
            return symbols.reshape(-1, *self.spec.shape[::-1]).mT.to(self.spec.dtype).contiguous()
        return symbols.reshape(-1, *self.spec.shape).to(self.spec.dtype)

    def _labels(self, condition: Tensor | None) -> Tensor | None:
        return condition if self.conditional else None
