"""What pictures are compared by: a classifier's features, the Inception network's, or the pixels themselves."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from aigc_cli.data.pack import Pack
from aigc_cli.errors import ConfigError
from aigc_cli.evaluating.classifier import classifier
from aigc_cli.files import file_digest
from aigc_cli.interfaces import DataSpec

LONGEST_SIDE = 16  # of the pictures whose pixels are compared: larger ones are averaged down to it
Extract: TypeAlias = Callable[[Tensor], tuple[Tensor, Tensor | None]]  # stored (B, C, H, W) -> features, logits


class Features(NamedTuple):
    """Name a way to look at pictures; `key` changes whenever its features would."""

    name: str
    key: str
    extract: Extract

    @torch.no_grad()
    def of(self, batches: Iterable[Tensor], device: torch.device) -> tuple[Tensor, Tensor | None]:
        """Return the features (N, D) and, of a classifier, the logits (N, classes) of stored pictures, on the CPU."""
        found = [self.extract(batch.to(device)) for batch in batches]
        features = torch.cat([each.float().cpu() for each, _ in found])
        logits = [each.float().cpu() for _, each in found if each is not None]
        return features, torch.cat(logits) if logits else None


def open_features(name: str, weights: str | None, pack: Pack, folder: Path, device: torch.device) -> Features:
    """Return the features that are asked for; what has to be trained or fetched for them is."""
    if name == "classifier":
        model, digest = classifier(pack, folder, device)
        return Features(name, f"classifier-{digest}", model)
    if name == "inception" and pack.spec.sound:
        raise ConfigError("features: inception is for pictures, given sounds. Type features=classifier or pixels.")
    if name == "inception":
        network, key = inception(weights, device)
        return Features(name, key, lambda stored: (network(as_colour(stored, pack.spec))[0], None))
    return Features(name, f"pixels-{LONGEST_SIDE}", lambda stored: (pixels(stored, pack.spec), None))


def pixels(stored: Tensor, spec: DataSpec) -> Tensor:
    """Return pictures as rows of values in [-1, 1], (B, D); averaged down to a side of 16 at most."""
    signal = spec.encode(stored)
    return F.adaptive_avg_pool2d(signal, min(LONGEST_SIDE, *signal.shape[2:])).flatten(1)


def as_colour(stored: Tensor, spec: DataSpec) -> Tensor:
    """Return uint8 pictures of three channels, as the Inception network takes them."""
    scaled = stored if spec.levels == 256 else (stored.float() * (255 / (spec.levels - 1))).round().to(torch.uint8)
    return scaled.expand(-1, 3, -1, -1) if scaled.shape[1] == 1 else scaled


def inception(weights: str | None, device: torch.device) -> tuple[torch.nn.Module, str]:
    """Return the network of the reference implementation (arXiv:1706.08500), with its weights' digest.

    weights: a file in torch-fidelity's layout; None: torch-fidelity fetches its own.
    """
    from urllib.error import URLError

    try:
        from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3
    except ImportError:
        raise ConfigError("features: inception is an extra. Type pip install 'aigc[inception]'.") from None

    by_hand = f"Get {URL_INCEPTION_V3} and type weights= and its path, or features=classifier."
    path = None if weights is None else Path(weights).expanduser()
    try:
        with tempfile.NamedTemporaryFile(suffix=".pth") as plain:
            if path is not None:  # the library's own reading would run a pickle's code: it gets tensors that we read
                torch.save(torch.load(path, map_location="cpu", weights_only=True), plain.name)
            network = FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048"], feature_extractor_weights_path=plain.name if path else None
            )
    except (URLError, TimeoutError, ConnectionError) as error:
        raise ConfigError(f"features: the Inception weights cannot be fetched ({error}). {by_hand}") from None
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, AttributeError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120].rstrip(".: ")
        raise ConfigError(f"weights: '{weights}' cannot be used ({reason}). {by_hand}") from None
    return network.to(device), f"inception-{file_digest(path)[:12] if path else 'fetched'}"
