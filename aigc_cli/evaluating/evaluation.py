"""Measure samples and models against a pack; real data's features are computed once and kept beside it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from aigc_cli.abilities import Bounds
from aigc_cli.data.pack import Pack
from aigc_cli.errors import DataError
from aigc_cli.evaluating.applicable import bounds_likelihood, refuse_the_impossible
from aigc_cli.evaluating.features import Features, open_features
from aigc_cli.evaluating.measures import OF_CLASSES, OF_FEATURES, OF_SPECTROGRAMS
from aigc_cli.evaluating.restoration import restoration, restores
from aigc_cli.evaluating.wishes import Copies, Figures, Wishes
from aigc_cli.files import atomic_write
from aigc_cli.interfaces import Model
from aigc_cli.sounds.notes import frequency_of
from aigc_cli.sounds.seen import as_heard, as_seen, made_of_spectrograms, seen_pack

NEIGHBOURS = 500  # samples whose nearest training data are looked for
HEARD = 1000  # samples whose pitch is measured, or of which sounds are made and measured
LIKELY = 1000  # held-out data whose likelihood is bounded


class Evaluator:
    """Compare with one split of a pack; what it needs of the real data is opened on first use."""

    def __init__(self, pack: Pack, wishes: Wishes, device: torch.device) -> None:
        self.given, self.wishes, self.device = pack, wishes, device
        refuse_the_impossible(pack, wishes)
        self.folder = pack.beside("evaluation")
        with writing_to(self.folder):
            self.pack = seen_pack(pack)  # what samples are compared with
        self.real, self.labels = self.pack.split(wishes.split)
        self._features: dict[str, Features] = {}
        self._seen: dict[str, tuple[Tensor, Tensor | None]] = {}  # of the samples that are being measured

    def prepare(self) -> Evaluator:
        """Train, fetch and compute now what the figures need, so that what is absent is known before it is wanted."""
        if set(self.wishes.metrics) & set(OF_FEATURES):
            self._real_features()
        if set(self.wishes.metrics) & set(OF_CLASSES):
            self._opened("classifier")
        return self

    def of_samples(self, samples: Tensor, asked: Tensor | None = None) -> Figures:
        """Measure stored samples (N, *shape), on the CPU; asked: the labels (N,) that they were to show."""
        wishes, found = self.wishes.metrics, Figures()
        if "pitch" in wishes:
            self._listen(samples, asked, found)
        given, samples = samples, as_seen(samples, self.given.spec)
        self._seen.clear()
        if set(wishes) & set(OF_FEATURES):
            self._compare_features(samples, found)
        if set(wishes) & set(OF_CLASSES):
            self._classify(samples, asked, found)
        if "sliced_wasserstein" in wishes:
            n = min(len(samples), len(self.real))
            found.values["sliced_wasserstein"] = self._sliced_wasserstein(samples[:n], n)
            found.meanings |= {"sliced_wasserstein": OF_SPECTROGRAMS} if self.given.spec.sound else {}
        if "memorisation" in wishes:
            self._look_for_copies(samples[:NEIGHBOURS], given, found)
        return found

    def of_model(self, model: Model) -> Figures:
        """Measure what a model says of held-out data, and what it makes of them."""
        values: dict[str, float] = {}
        if "likelihood" in self.wishes.metrics and bounds_likelihood(model):
            values = self._likelihood(model)  # type: ignore[arg-type]
        if "restoration" in self.wishes.metrics and restores(model):
            values |= restoration(model, self._held_out(self._chosen(LIKELY)), self.wishes.seed)
        return Figures(values)

    def _held_out(self, chosen: np.ndarray) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield the split's samples of these indices and their labels, on the device, with a bar."""
        from tqdm import tqdm

        parts = np.array_split(chosen, math.ceil(len(chosen) / self.wishes.batch_size))
        real, labels = self.given.split(self.wishes.split)
        for part in tqdm(parts, desc="held-out data", leave=False, disable=None, dynamic_ncols=True):
            told = None if labels is None else torch.from_numpy(labels[part]).to(self.device)
            yield torch.from_numpy(np.array(real[part])).to(self.device), told

    def _likelihood(self, model: Bounds) -> dict[str, float]:
        """Bound the likelihood of held-out data, in nats a sample and bits a dimension."""
        chosen = self._chosen(min(LIKELY, self.wishes.n))
        sums: dict[str, float] = {}
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(self.wishes.seed)
            for x, labels in self._held_out(chosen):
                for name, nats in model.bounds(x, labels, draws=self.wishes.draws).items():
                    sums[name] = sums.get(name, 0.0) + float(nats.cpu().double().sum())
        dimensions = math.prod(self.given.spec.shape)
        values = {}
        for name, total in sums.items():
            values[name] = total / len(chosen)
            values[f"{name}_bits_per_dim"] = -values[name] / dimensions / math.log(2)
        return values

    def _compare_features(self, samples: Tensor, found: Figures) -> None:
        from aigc_cli.metrics import feature_distances

        real = self._real_features()
        made, _ = self._look_at(samples, self.wishes.features)
        if "frechet" in self.wishes.metrics:
            found.values["frechet"] = feature_distances.frechet(made, real)
        if "kernel" in self.wishes.metrics:
            found.values["kernel"] = feature_distances.kernel(made, real)
        for group, function in (("precision_recall", feature_distances.precision_recall),
                                ("density_coverage", feature_distances.density_coverage)):  # fmt: skip
            if group in self.wishes.metrics:
                found.values |= dict(zip(group.split("_"), function(made, real), strict=True))

    def _classify(self, samples: Tensor, asked: Tensor | None, found: Figures) -> None:
        from aigc_cli.metrics import class_statistics

        _, logits = self._look_at(samples, "classifier")
        assert logits is not None
        if "inception_score" in self.wishes.metrics:
            found.values["inception_score"] = class_statistics.inception_score(logits)
        if "labels" in self.wishes.metrics:
            shares = class_statistics.class_shares(logits)
            found.shares = dict(zip(self.pack.spec.class_names, shares, strict=True))
            found.values["class_entropy"] = class_statistics.class_entropy(shares)
            found.values["confident"] = float((logits.softmax(1).amax(1) > 0.9).float().mean())
            if asked is not None:
                found.values["agreement"] = class_statistics.agreement(logits, asked)
            if asked is not None and made_of_spectrograms(self.given.spec):
                again = as_heard(samples[:HEARD], self.given.spec).split(self.wishes.batch_size)
                _, heard = self._opened("classifier").of(again, self.device)
                assert heard is not None
                found.values["heard"] = class_statistics.agreement(heard, asked[:HEARD])

    def _listen(self, samples: Tensor, asked: Tensor | None, found: Figures) -> None:
        from tqdm import tqdm

        from aigc_cli.metrics.pitch import accuracy_of_notes
        from aigc_cli.sounds.waveforms import waves

        spec = self.given.spec
        assert spec.sound, "asked of sounds only"
        parts = samples[:HEARD].split(self.wishes.batch_size)
        mono = torch.cat([waves(part, spec).mean(1) for part in tqdm(parts, desc="pitch", leave=False, disable=None)])
        notes, asked = [frequency_of(name) for name in spec.class_names], None if asked is None else asked[:HEARD]
        error, clear = accuracy_of_notes(mono, spec.sound.sample_rate, notes, asked)
        found.values |= {"pitch_error": error, "clear_pitch": clear}

    def _sliced_wasserstein(self, samples: Tensor, n: int) -> float:
        from aigc_cli.metrics.sliced_wasserstein import sliced_wasserstein

        return sliced_wasserstein(samples, torch.from_numpy(np.array(self.real[self._chosen(n)])))

    def _look_for_copies(self, samples: Tensor, given: Tensor, found: Figures) -> None:
        from aigc_cli.metrics.neighbours import memorisation

        train, _ = self.pack.split("train")
        held_out = torch.from_numpy(np.array(self.pack.split("test")[0][:NEIGHBOURS]))
        found.values["memorisation"], distances, index = memorisation(samples, held_out, train)
        order = distances.argsort()
        found.copies = Copies(
            given[order], torch.from_numpy(np.array(self.given.split("train")[0][index[order].numpy()]))
        )

    def _opened(self, name: str) -> Features:
        if name not in self._features:
            with writing_to(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                self._features[name] = open_features(name, self.wishes.weights, self.pack, self.folder, self.device)
        return self._features[name]

    def _look_at(self, samples: Tensor, name: str) -> tuple[Tensor, Tensor | None]:
        """Return features and logits of the samples; the classifier's serve two groups of figures."""
        if name not in self._seen:
            self._seen[name] = self._opened(name).of(samples.split(self.wishes.batch_size), self.device)
        return self._seen[name]

    def _real_features(self) -> Tensor:
        """Return the split's features (N, D), at most as many as there are to be samples, from the folder if there."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file, save

        features, n = self._opened(self.wishes.features), min(self.wishes.n, len(self.real))
        key = f"{features.key}-{self.wishes.split}-{n}-{self.wishes.seed}"
        path = self.folder / f"{features.name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.safetensors"
        try:
            return load_file(path)["features"]
        except (OSError, SafetensorError, KeyError):  # not there yet, or cut off
            found, _ = features.of(self._real_batches(n), self.device)
            with writing_to(self.folder):
                atomic_write(path, save({"features": found.contiguous()}))
            return found

    def _real_batches(self, n: int) -> Iterator[Tensor]:
        chosen = self._chosen(n)
        for part in torch.from_numpy(chosen).split(self.wishes.batch_size):
            yield torch.from_numpy(np.array(self.real[part.numpy()]))

    def _chosen(self, n: int) -> np.ndarray:
        """Return the indices of n of the split's samples, by the seed."""
        return np.sort(np.random.default_rng(self.wishes.seed).permutation(len(self.real))[:n])


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Say in one line that the cache takes no files."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"data.cache: cannot write to '{folder}' ({reason}). Type data.cache= and a folder.") from None
