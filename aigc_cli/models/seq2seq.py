"""Learn to turn text into text from pairs: an encoder reads the source, a decoder writes the target symbol by symbol.

p(target | source) = p(y_1 | source) p(y_2 | y_1, source) ...    arXiv:1409.3215, arXiv:1409.0473, arXiv:1706.03762
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor

from aigc_cli.abilities import Consults
from aigc_cli.config import Choice
from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Batch, DataSpec, Logs, Model, Network, Phase, Shapes
from aigc_cli.models.autoregressive import Temperature, TopK, TopP
from aigc_cli.models.decoding import follow, search
from aigc_cli.models.drawing import draw
from aigc_cli.models.pieces import by_length, counted, end_of, filled, nats_of_symbols, prompted, shortened
from aigc_cli.models.suitability import count_classes

Beam: TypeAlias = Annotated[int, Gt(0), Le(1000)] | None  # settings of `aigc sample`; null: as configured
LengthPenalty: TypeAlias = Annotated[float, Ge(0)] | None
PAIRS = "Type data=pairs."


class Seq2Seq(Model):
    """Write the target that a source asks for: the likeliest by beam search, or drawn."""

    kinds = ("text",)
    generative = ("encoder", "decoder")
    conditional = False
    verb = "translate"

    def __init__(
        self,
        spec: DataSpec,
        *,
        teacher_forcing: Annotated[float, Ge(0), Le(1)],
        teacher_forcing_steps: Annotated[int, Gt(0)],
        label_smoothing: Annotated[float, Ge(0), Lt(1)],
        beam: Annotated[int, Gt(0), Le(1000)],
        length_penalty: Annotated[float, Ge(0)],
        temperature: Annotated[float, Ge(0)],
        top_k: Annotated[int, Gt(0)] | None,
        top_p: Annotated[float, Gt(0), Le(1)] | None,
        encoder: Annotated[Network, Choice("networks", "encoder of text")],
        decoder: Annotated[Network, Choice("networks", "decoder of text from a source")],
    ) -> None:
        super().__init__()
        count_classes(spec, kinds=self.kinds, conditional=False)
        self.spec, self.source = spec, source_of(spec)
        self.end, self.source_end = end_of(spec, PAIRS), end_of(self.source, PAIRS)
        self.teacher_forcing, self.teacher_forcing_steps = teacher_forcing, teacher_forcing_steps
        self.label_smoothing, self.beam, self.length_penalty = label_smoothing, beam, length_penalty
        self.temperature, self.top_k, self.top_p = temperature, top_k, top_p
        (length,), symbols = self.source.shape, self.source.levels
        self.encoder: Any = encoder(Shapes((length, symbols), (length,)))
        self.decoder: Any = decoder(Shapes((length, self.encoder.width), (*spec.shape, spec.levels)))

    def consult(self) -> dict[str, str]:
        """Let the encoder read the weights that it begins with, if any."""
        return dict(self.encoder.consult()) if isinstance(self.encoder, Consults) else {}

    def phases(self) -> tuple[Phase, ...]:
        """Return the one update."""
        return (Phase("translator", list(self.parameters()), self.loss),)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """Return the mean negative log likelihood of a target's symbol, smoothed; and the same as it is: `nats`."""
        assert batch.condition is not None, "pairs come with their sources"
        source, among = batch.condition, counted(batch.x.long(), self.end)
        both = torch.cat([among, counted(source.long(), self.source_end)], dim=1)
        sums = [self._sums(batch.x[rows], source[rows], batch.step) for rows in by_length(both)]
        loss, nats = torch.stack(sums).sum(0).div(among.sum()).unbind()
        return loss, {"loss": loss.detach(), "nats": nats.detach()}

    def _sums(self, x: Tensor, source: Tensor, step: Tensor) -> Tensor:
        """Return the loss and the nats of some pairs, summed over their symbols: (2,)."""
        (symbols, among), memory = shortened(x, self.end), self._read(source)
        told = self._told(symbols[:, :-1], memory, step)
        logits = self.decoder(told, self.decoder.start(*memory)).float()
        nats = nats_of_symbols(logits.detach(), symbols, among).sum()
        return torch.stack([nats_of_symbols(logits, symbols, among, self.label_smoothing).sum(), nats])

    def share(self, step: Tensor) -> Tensor:
        """Return the share of true symbols among those that the decoder reads: it falls in even steps, from 1 on."""
        return 1 - (1 - self.teacher_forcing) * (step / self.teacher_forcing_steps).clamp(max=1)

    @torch.no_grad()
    def score(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Return the negative log likelihood of each target's symbols given its source, in nats: (B,)."""
        assert condition is not None, "pairs come with their sources"
        symbols, among = shortened(x, self.end)
        logits = self.decoder(symbols[:, :-1], self.decoder.start(*self._read(condition)))
        return nats_of_symbols(logits, symbols, among).sum(1)

    def given(self, x: Tensor, condition: Tensor | None, *, generator: torch.Generator) -> Tensor:
        """Return the source that came with the target."""
        assert condition is not None, "pairs come with their sources"
        return condition

    def transform(
        self, source: Tensor, *, generator: torch.Generator, beam: Beam = None, length_penalty: LengthPenalty = None
    ) -> Tensor:
        """Translate stored sources, as configured where a setting is None."""
        settings: Any = {"beam": beam, "length_penalty": length_penalty}
        symbols = self.write(len(source), source, generator=generator, prompt=None, length=None, tell=None, **settings)
        return filled(symbols, self.spec, self.end)

    @torch.no_grad()
    def write(
        self, n: int, condition: Tensor | None, *, generator: torch.Generator, prompt: Tensor | None,
        length: int | None, tell: Callable[[Tensor], None] | None, beam: Beam = None,
        length_penalty: LengthPenalty = None, temperature: Temperature = None, top_k: TopK = None, top_p: TopP = None,
    ) -> Tensor:  # fmt: skip
        """Return (n, at most length) symbols after the prompt, as abilities.Writes has it; condition: the sources.

        They are searched for where the temperature is 0, else drawn. A search tells of its symbols once it has found
        all. length: None is what the prompt leaves of that of the data's samples.
        """
        assert condition is not None, "a source is what it translates"
        drawn = self.temperature if temperature is None else temperature
        if drawn and (beam or length_penalty is not None):
            raise ConfigError(f"beam, length_penalty: of a search, and temperature={drawn} draws. Type temperature=0.")
        given, (memory, among) = prompted(prompt, n, condition.device), self._read(condition)
        length = max(1, self.spec.shape[0] - given.shape[1]) if length is None else length
        if drawn:
            top_k, top_p = self.top_k if top_k is None else top_k, self.top_p if top_p is None else top_p
            state = self.decoder.start(memory, among)

            def choose(logits: Tensor) -> Tensor:
                return draw(logits, drawn, top_k, generator, top_p)

            return follow(self.decoder, state, given, choose, length=length, end=self.end, tell=tell)
        beam, penalty = beam or self.beam, self.length_penalty if length_penalty is None else length_penalty
        state = self.decoder.start(memory.repeat_interleave(beam, 0), among.repeat_interleave(beam, 0))
        found = search(self.decoder, state, given, beam=beam, length=length, end=self.end, length_penalty=penalty)
        for symbols in found.unbind(1) if tell is not None else ():
            tell(symbols)  # type: ignore[misc]
        return found

    def _read(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the encoder makes of stored sources, and which of their places count."""
        symbols, among = shortened(source, self.source_end)
        return self.encoder(symbols, among), among

    def _told(self, symbols: Tensor, memory: tuple[Tensor, Tensor], step: Tensor) -> Tensor:
        """Return what the decoder reads: true symbols (B, t), some of them replaced by what it would have drawn there.

        Scheduled sampling, arXiv:1506.03099. Departure: it draws after true symbols only, all at once, not after what
        it has drawn before (as arXiv:1906.04331 in its first pass), which takes two passes, not one for each symbol.
        """
        if self.teacher_forcing == 1:
            return symbols
        with torch.no_grad():
            logits = self.decoder(symbols[:, :-1], self.decoder.start(*memory)).float()
            drawn = torch.multinomial(logits.softmax(-1).flatten(0, 1), 1).view_as(symbols)
        true = torch.rand(symbols.shape, device=symbols.device) < self.share(step)
        return torch.where(true, symbols, drawn)


def source_of(spec: DataSpec) -> DataSpec:
    """Return what comes with each text, or say which data are needed."""
    source = spec.condition
    if not isinstance(source, DataSpec) or source.kind != "text":
        raise ConfigError(f"model: it learns from pairs of texts, and these come alone. {PAIRS}")
    return source
