"""Measure models of text: how well they foresee held-out text, and how good what they write is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from aigc_cli.abilities import Bounds
from aigc_cli.data.pack import Pack
from aigc_cli.errors import ConfigError
from aigc_cli.evaluating.applicable import fewest_needed
from aigc_cli.evaluating.given_text import novelty, references
from aigc_cli.evaluating.measures import AT_MOST, OF_TEXT
from aigc_cli.evaluating.wishes import Figures, Wishes
from aigc_cli.interfaces import Model
from aigc_cli.models.pieces import counted
from aigc_cli.randomness import mix
from aigc_cli.texts.arithmetic import is_right
from aigc_cli.texts.pages import Passage
from aigc_cli.texts.reading import texts_of


class TextEvaluator:
    """Compare with one split of a pack of text."""

    def __init__(self, pack: Pack, wishes: Wishes, device: torch.device) -> None:
        self.given = self.pack = pack
        self.wishes, self.device = wishes, device
        if unfit := [group for group in wishes.metrics if group not in OF_TEXT]:
            raise ConfigError(f"metrics: {unfit[0]} is for pictures and sounds, and these data are text. Allowed of "
                              f"text: {', '.join(OF_TEXT)}.")  # fmt: skip
        for group in fewest_needed(pack.spec, wishes.metrics):
            if not wishes.given and not pack.counts[wishes.split]:
                way = "Type split=train" if wishes.split == "test" else "Type data= that are more"
                raise ConfigError(f"split: {wishes.split} has no text, but {group} needs some. {way}.")
        if "translation" in wishes.metrics:
            sacrebleu()

    def prepare(self) -> TextEvaluator:
        """Return itself: nothing has to be learnt before."""
        return self

    def of_samples(self, samples: Tensor, asked: Tensor | None = None) -> Figures:
        """Measure stored samples (N, T)."""
        found = Figures()
        if "sums" in self.wishes.metrics:
            texts = texts_of(samples, self.pack.spec)
            found.values["correct"] = sum(map(is_right, texts)) / len(texts)
        found.on = dict.fromkeys(("correct", "novelty"), f"{len(samples):,} samples")
        if "novelty" in self.wishes.metrics:
            train, _ = self.pack.split("train")
            known = {row.tobytes() for row in train}
            found.values["novelty"] = sum(row.tobytes() not in known for row in samples.numpy()) / len(samples)
        return found

    def of_given(self, passages: Sequence[Passage]) -> Figures:
        """Measure texts that are there already, the first n, whoever wrote them."""
        found, n = Figures(), self.wishes.n
        aims = references(passages, self.pack, self.wishes.split)[:n] if "translation" in self.wishes.metrics else []
        passages = passages[:n]
        texts = [passage.text for passage in passages]
        if "sums" in self.wishes.metrics:
            found.values["correct"] = sum(map(is_right, texts)) / len(texts)
        if "novelty" in self.wishes.metrics:
            found.values["novelty"] = novelty(passages, self.pack)
        if "translation" in self.wishes.metrics:
            found.values |= nearness(texts, aims)
        found.on = dict.fromkeys(found.values, f"{len(texts):,} texts")
        return found

    def of_model(self, model: Model) -> Figures:
        """Measure what a model says of held-out text, and what it makes of held-out sources."""
        found = Figures()
        if "perplexity" in self.wishes.metrics:
            found.add(self._perplexity(model))
        if "translation" in self.wishes.metrics:
            found.add(self._translation(model))
        return found

    def held_out(self) -> str:
        """Say how much of the split is looked at."""
        there, spec = self.pack.counts[self.wishes.split], self.pack.spec
        what = "pairs" if "translation" in self.wishes.metrics else "texts"
        what = what if spec.text and spec.text.end is not None else f"windows of {spec.shape[0]} symbols"
        some = f"{self.wishes.n:,} of {there:,}" if self.wishes.n < there else f"all {there:,}"
        return f"{some} held-out {what} ({self.wishes.split} split)"

    def _perplexity(self, model: Any) -> Figures:
        """Return the mean loss of a symbol; of pieces, the end counts as a symbol and as a character.

        Windows of running text are read by themselves; where their first symbols only warm a state up (carry), those
        are not counted.
        """
        nats, symbols, characters, spec = 0.0, 0, 0, self.pack.spec
        end, carry = spec.text.end if spec.text else None, getattr(model, "carry", 0)
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(self.wishes.seed)  # a VAE draws its latents
            for x, condition in self._held_out():
                nats += float(model.score(x, condition).cpu().double().sum())
                told = x[:, carry:]
                symbols += told.numel() if end is None else int(counted(told, end).sum())
                follows = end is None and not carry  # windows that follow each other are read in one: cuts split bytes
                texts = texts_of(told.reshape(1, -1) if follows else told, spec)
                characters += sum(map(len, texts)) + (0 if end is None else len(x))
        each = nats / symbols
        bits = nats / characters / math.log(2)
        values = {"nats_per_symbol": each, "perplexity": math.exp(min(each, 700.0)), "bits_per_character": bits}
        on = {**dict.fromkeys(values, f"{symbols:,} symbols"), "bits_per_character": f"{characters:,} characters"}
        return Figures(values, on=on, meanings={"nats_per_symbol": AT_MOST} if isinstance(model, Bounds) else {})

    def _translation(self, model: Any) -> Figures:
        """Translate held-out sources and compare with what they should become; as nearness does."""
        spec, made, wanted = self.pack.spec, list[str](), list[str]()
        for number, (x, sources) in enumerate(self._held_out()):
            generator = torch.Generator(self.device).manual_seed(mix(self.wishes.seed, number))
            with torch.no_grad():
                made += texts_of(model.transform(sources, generator=generator, **self.wishes.translating), spec)
            wanted += texts_of(x, spec)
        values = nearness(made, wanted)
        return Figures(values, on=dict.fromkeys(values, f"{len(made):,} pairs"))

    def _held_out(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield up to n of the split's samples and what comes with them, on the device, with a bar."""
        x, condition = self.pack.split(self.wishes.split)
        n, size = min(self.wishes.n, len(x)), self.wishes.batch_size
        for start in tqdm(range(0, n, size), desc="held-out text", leave=False, disable=None, dynamic_ncols=True):
            part = slice(start, min(start + size, n))
            beside = torch.from_numpy(np.array(condition[part])).to(self.device) if condition is not None else None
            yield torch.from_numpy(np.array(x[part])).to(self.device), beside


def nearness(made: list[str], wanted: list[str]) -> dict[str, float]:
    """Compare texts with what they should be: of 0 to 100 each."""
    from torchmetrics.functional.text import rouge_score

    library = sacrebleu()
    rouge = rouge_score(made, wanted, rouge_keys="rougeL")["rougeL_fmeasure"]
    return {
        "bleu": library.corpus_bleu(made, [wanted]).score, "chrf": library.corpus_chrf(made, [wanted]).score,
        "rouge_l": 100 * float(rouge),
    }  # fmt: skip


def sacrebleu() -> Any:
    """Return the sacrebleu library, or say how to get it."""
    try:
        import sacrebleu as library
    except ImportError:
        raise ConfigError("metrics: translation needs the sacrebleu library. Type pip install 'aigc[text]', or "
                          "metrics= without it.") from None  # fmt: skip
    return library
