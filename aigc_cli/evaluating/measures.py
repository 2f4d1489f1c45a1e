"""The figures that `aigc evaluate` knows: what each says, which way is better, what it needs."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

Group: TypeAlias = Literal[  # what metrics=[...] asks for
    "frechet", "kernel", "precision_recall", "density_coverage", "inception_score", "labels", "sliced_wasserstein",
    "likelihood", "memorisation", "restoration", "pitch", "perplexity", "sums", "novelty", "translation",
]  # fmt: skip
Figure: TypeAlias = Literal[  # of which one may be the best
    "frechet", "kernel", "precision", "recall", "density", "coverage", "inception_score", "class_entropy", "confident",
    "agreement", "sliced_wasserstein", "elbo", "importance_weighted", "psnr", "ssim",
    "snr", "pitch_error", "clear_pitch", "nats_per_symbol", "perplexity", "bits_per_character", "correct", "bleu",
    "chrf", "rouge_l", "heard",
]  # fmt: skip
Look: TypeAlias = Literal["classifier", "inception", "pixels"]  # the features that pictures are compared by
PREFIX = "evaluation/"  # of the figures' names among those of training
GROUPS: tuple[Group, ...] = get_args(Group)


@dataclass(frozen=True)
class Measure:
    """Describe one figure."""

    group: Group
    meaning: str
    better: int  # +1: more is better, -1: less is, 0: neither
    fewest: int = 1  # samples, and held-out data, below which it says nothing


MEASURES: dict[str, Measure] = {
    "frechet": Measure("frechet", "Fréchet distance of the features (FID)", -1, 10),
    "kernel": Measure("kernel", "kernel distance of the features (KID)", -1, 10),
    "precision": Measure("precision_recall", "samples that lie among the data", +1, 10),
    "recall": Measure("precision_recall", "data that lie among the samples", +1, 10),
    "density": Measure("density_coverage", "samples near data; 1: as data do", +1, 10),
    "coverage": Measure("density_coverage", "data with a sample near", +1, 10),
    "inception_score": Measure("inception_score", "sure and varied; at most the classes", +1, 20),
    "class_entropy": Measure("labels", "how evenly classes come; at most 1", +1, 1),
    "confident": Measure("labels", "classifier over 0.9 sure", +1, 1),
    "agreement": Measure("labels", "show the label they were asked for", +1, 1),
    "heard": Measure("labels", "the same of the sounds made of spectrograms", +1, 1),
    "sliced_wasserstein": Measure("sliced_wasserstein", "distance of the pixels, grey levels", -1, 1),
    "elbo": Measure("likelihood", "log p(x) at least, nats a sample", +1),
    "elbo_bits_per_dim": Measure("likelihood", "the same, negative, in bits", -1),
    "importance_weighted": Measure("likelihood", "a tighter bound, nats", +1),
    "importance_weighted_bits_per_dim": Measure("likelihood", "the same, negative, in bits", -1),
    "memorisation": Measure("memorisation", "1: as new as fresh data; 0: copies", 0, 1),
    "pitch_error": Measure("pitch", "median distance from the note, cents", -1),
    "clear_pitch": Measure("pitch", "clips with a clear pitch", +1),
    "nats_per_symbol": Measure("perplexity", "held-out text, nats a symbol", -1),
    "perplexity": Measure("perplexity", "the same, as equally likely symbols", -1),
    "bits_per_character": Measure("perplexity", "held-out text, a character", -1),
    "correct": Measure("sums", "samples that are right sums", +1),
    "novelty": Measure("novelty", "samples that are not in the training data word for word", 0),
    "bleu": Measure("translation", "of held-out pairs: BLEU, 0 to 100", +1),
    "chrf": Measure("translation", "the same by characters: chrF, 0 to 100", +1),
    "rouge_l": Measure("translation", "the same by longest common words: ROUGE-L, 0 to 100", +1),
    "psnr": Measure("restoration", "what is made of held-out data, decibels", +1),
    "ssim": Measure("restoration", "the same, as structural similarity", +1),
    "snr": Measure("restoration", "what is made of held-out sounds, decibels", +1),
    "given_snr": Measure("restoration", "what it is made from, decibels", 0),
    "given_psnr": Measure("restoration", "what it is made from, decibels", 0),
    "given_ssim": Measure("restoration", "the same, as structural similarity", 0),
}
OF_SPECTROGRAMS = "distance of the spectrograms, in their 256 levels"  # what sliced_wasserstein says of sounds
AT_MOST = "held-out text, nats a symbol, at most: a VAE bounds them"  # what nats_per_symbol says of one
OF_MODEL = ("likelihood", "restoration", "perplexity", "translation")  # these look at held-out data, not at samples
OF_SAMPLES = tuple(group for group in GROUPS if group not in OF_MODEL)
OF_FEATURES = ("frechet", "kernel", "precision_recall", "density_coverage")
OF_CLASSES = ("inception_score", "labels")
OF_TEXT: tuple[Group, ...] = ("perplexity", "sums", "novelty", "translation")


def fewest(groups: Collection[str]) -> dict[str, int]:
    """Return the fewest samples of each group that is asked for."""
    return {measure.group: measure.fewest for measure in MEASURES.values() if measure.group in groups}


def is_better(name: str, new: float, old: float | None) -> bool:
    """Tell whether a figure beats an older one."""
    return math.isfinite(new) and (old is None or (new - old) * MEASURES[name].better > 0)
