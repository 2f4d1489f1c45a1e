"""Write what `aigc sample` asks of a model of text: told on the terminal as it is drawn, and kept as a file."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aigc_cli.abilities import Encodes, Renders, Writes
from aigc_cli.errors import ConfigError
from aigc_cli.files import atomic_write
from aigc_cli.inference.choices import choose_labels, sampling_settings
from aigc_cli.inference.placing import put_in_place
from aigc_cli.inference.request import Request
from aigc_cli.inference.walking import walk
from aigc_cli.interfaces import DataSpec, Model
from aigc_cli.randomness import mix
from aigc_cli.texts.pages import PAGES, Passage, as_txt
from aigc_cli.texts.reading import Teller, safe, source_of, stored_sources, symbols_of, texts_of, usual_length

PIECES = 10  # texts where n is not typed and they are short
OF_WRITING = ("generator", "prompt", "length", "tell")  # parameters that are no settings of a model's own


class Writer:
    """Pair a model with a request, checked against each other, and write what comes of it."""

    def __init__(self, model: Model, request: Request, device: torch.device, name: str) -> None:
        self.model: Any = model
        self.request, self.device, self.name = request, device, name
        self.spec: DataSpec = model.spec
        self._refuse_what_the_model_cannot()
        function = type(self.model).render if request.kind == "walk" else type(self.model).write
        self.settings = sampling_settings(self.model, name, function, request.settings, supplied=OF_WRITING)
        self.chosen = choose_labels(request.labels, self.spec, known=self.model.conditional)
        self.sources = self._sources() if request.kind != "walk" else None
        self.prompt = symbols_of(request.prompt, self.spec, "prompt").to(device) if request.prompt else None
        self.length = request.length or usual_length(self.spec)
        self.n = self._count()
        self.ends = self._ends() if request.source is not None and request.kind == "walk" else ()

    def write(self, target: Path, metadata: Mapping[str, str]) -> Path:
        """Write the texts at the target, or beside it where something else is there already; return where."""
        passages = self._walk() if self.request.kind == "walk" else self._passages()
        with put_in_place(target) as place:
            if self.request.files:
                for number, passage in enumerate(passages):
                    path = place.aside / f"{number:05d}.{self.request.format}"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    atomic_write(path, self._page([passage]).encode("utf-8", "replace"), durable=False)
            else:
                place.aside.parent.mkdir(parents=True, exist_ok=True)
                atomic_write(place.aside, self._page(passages).encode("utf-8", "replace"), durable=False)
        return place.path

    @property
    def account(self) -> str:
        """Say what was made."""
        what = "walks" if self.request.kind == "walk" else "texts"
        return f"{self.n} {what if self.n > 1 else what[:-1]} of {self.name}"

    def next_idea(self) -> str:
        """Return settings that are worth typing next."""
        if self.sources is not None:
            return "source='...'" if "beam" not in self.request.settings else f"seed={self.request.seed + 1}"
        if self.chosen and not self.request.labels:
            return f"label={self.spec.class_names[-1]}"
        if isinstance(self.model, Renders) and self.request.kind != "walk":
            return "interpolate=true"
        return "temperature=0.8" if "temperature" not in self.request.settings else f"seed={self.request.seed + 1}"

    def _page(self, passages: list[Passage]) -> str:
        title = f"{self.name}, seed {self.request.seed}"
        if self.request.format == "txt":
            return as_txt(passages, title, running=usual_length(self.spec) is not None)
        return PAGES[self.request.format](passages, title)

    def _passages(self) -> list[Passage]:
        """Draw the texts, a batch at a time; a single one is told as it comes, others batch by batch."""
        passages: list[Passage] = []
        for index, start in enumerate(range(0, self.n, self.request.batch_size)):
            count = min(self.request.batch_size, self.n - start)
            generator = torch.Generator(self.device).manual_seed(mix(self.request.seed, index))
            teller = self._teller() if self.n == 1 else None
            with torch.no_grad():
                symbols = self.model.write(
                    count, self._condition(start, count), generator=generator, prompt=self.prompt,
                    length=self.length, tell=teller, **self.settings,
                )  # fmt: skip
            drawn = [self._passage(start + row, text) for row, text in enumerate(texts_of(symbols, self.spec))]
            if teller is None:
                print("\n".join(self._told(passage) for passage in drawn), flush=True)
            else:
                teller.finish()
                print(flush=True)
            passages += drawn
        return passages

    def _teller(self) -> Teller:
        """Begin a line with what is given, and go on with each character as it comes."""
        sys.stdout.write(safe(self.request.prompt))
        sys.stdout.flush()

        def show(text: str) -> None:
            sys.stdout.write(text)
            sys.stdout.flush()

        return Teller(self.spec, show)

    def _told(self, passage: Passage) -> str:
        """Return a line, or several, for the terminal."""
        label = f"{passage.label}: " if passage.label is not None else ""
        rule = "\n" if "\n" in passage.whole else ""
        return f"{label}{safe(passage.whole)}{rule}"

    def _passage(self, number: int, text: str) -> Passage:
        label = self.spec.class_names[self.chosen[number % len(self.chosen)]] if self.chosen else None
        source = self.request.source if self.sources is not None else None
        return Passage(text, self.request.prompt or "", label, source)

    def _walk(self) -> list[Passage]:
        """Read off the texts on the way from one latent to another; the walks stand one after the other."""
        condition = self._condition(0, self.n)
        moments = walk(
            self.model, self.n, condition, frames=self.request.frames, seed=mix(self.request.seed, 0),
            device=self.device, latents=self.ends, **self.settings,
        )  # fmt: skip
        columns = [texts_of(moment, self.spec) for moment in moments]
        passages = [self._passage(each, column[each]) for each in range(self.n) for column in columns]
        print("\n".join(self._told(passage) for passage in passages), flush=True)
        return passages

    def _ends(self) -> tuple[Tensor, ...]:
        """Return the latents of the two texts that a walk leads from and to: (n, D) each."""
        if not isinstance(self.model, Encodes):
            raise ConfigError(f"source: model '{self.name}' makes no latents of texts. Leave it out.")
        if self.request.target is None:
            raise ConfigError("target: not set. A walk from a text leads to another: type target='...'.")
        if self.n > 1 and not self.chosen:
            raise ConfigError(f"n: given {self.n}, but between two texts there is one walk. Leave n out.")
        given = [stored_sources([str(getattr(self.request, key))], self.spec, key) for key in ("source", "target")]
        condition = self._condition(0, self.n)
        with torch.no_grad():
            return tuple(self.model.encode(each.expand(self.n, -1).to(self.device), condition) for each in given)

    def _condition(self, start: int, count: int) -> Tensor | None:
        if self.sources is not None:
            return self.sources.expand(count, -1).to(self.device)
        if not self.chosen:
            return None
        return torch.tensor([self.chosen[(start + row) % len(self.chosen)] for row in range(count)]).to(self.device)

    def _count(self) -> int:
        """Return how many texts: as typed, else one where they are long or answer a source, a few of short ones."""
        request = self.request
        if not request.rounded:
            return request.n
        if self.sources is not None or request.kind == "walk":
            return 1
        turn = max(1, len(self.chosen))
        short = self.spec.text is not None and self.spec.text.end is not None
        return turn * max(1, PIECES // turn) if short else turn

    def _sources(self) -> Tensor | None:
        source, given = self.request.source, source_of(self.model)
        if given is None:
            if source is not None:
                raise ConfigError("source: this model makes text of nothing. Type prompt= for its beginning, or leave "
                                  "source out.")  # fmt: skip
            return None
        if source is None:
            raise ConfigError("source: not set. This model makes text of text: type source='...'.")
        return stored_sources([source], given, "source")

    def _refuse_what_the_model_cannot(self) -> None:
        request = self.request
        if request.kind not in ("samples", "walk"):
            raise ConfigError("start, mask, manifold: they are for models of pictures, and this one writes text. "
                              "Leave them out.")  # fmt: skip
        if request.kind == "walk" and not isinstance(self.model, Renders):
            raise ConfigError(f"interpolate: model '{self.name}' has no latents to walk between. Leave it out.")
        if not isinstance(self.model, Writes):
            raise ConfigError(f"ckpt: model '{self.name}' writes no text.")
        if request.columns:
            raise ConfigError("grid: texts stand below each other. Type n= in its place.")
        if request.kind == "walk" and (request.prompt or request.length):
            raise ConfigError("prompt, length: not of a walk between latents. Leave them out.")
