"""The features of VGG-19 (arXiv:1409.1556), trained on ImageNet, frozen; its weights come from a file or the net."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aigc_cli.checkpoints.reading import UNREADABLE
from aigc_cli.errors import ConfigError
from aigc_cli.files import file_digest

BLOCKS = (2, 2, 4, 4, 4)  # convolutions, each with its ReLU, between two poolings
NAMES = tuple(f"relu{block}_{n}" for block, count in enumerate(BLOCKS, 1) for n in range(1, count + 1))
STARTS = (0, *accumulate(2 * count + 1 for count in BLOCKS))  # of the blocks in torchvision's numbering of layers
KEYS = {f"relu{block}_{n}": f"features.{STARTS[block - 1] + 2 * (n - 1)}"
        for block, count in enumerate(BLOCKS, 1) for n in range(1, count + 1)}  # fmt: skip
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's colours, as torchvision trained it
URL = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
SMALLEST = 32  # pixels a side: five blocks halve it four times

Pooling: TypeAlias = Literal["max", "average"]


class Features(nn.Module):
    """Map signals to the feature maps of the layers that are named, after their ReLU."""

    def __init__(self, weights: Mapping[str, Tensor], layers: Sequence[str], pooling: Pooling) -> None:
        super().__init__()
        assert set(layers) <= set(NAMES), layers
        self.layers, self.pooling = tuple(layers), pooling
        self.needed = NAMES[: max(map(NAMES.index, layers)) + 1]
        for name in self.needed:  # buffers: they move along, and nothing trains them
            self.register_buffer(f"{name}_weight", weights[f"{KEYS[name]}.weight"].float().clone())
            self.register_buffer(f"{name}_bias", weights[f"{KEYS[name]}.bias"].float().clone())
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(1, 3, 1, 1))

    def forward(self, signal: Tensor) -> dict[str, Tensor]:
        """Map pictures (B, 1 or 3, H, W) in [-1, 1] to {layer: (B, C, h, w)}."""
        x = ((signal + 1) / 2 - self.mean) / self.deviation  # grey ones become three equal channels
        found = {}
        for name in self.needed:
            if name.endswith("_1") and name != "relu1_1":
                x = F.max_pool2d(x, 2) if self.pooling == "max" else F.avg_pool2d(x, 2)
            x = F.relu(F.conv2d(x, getattr(self, f"{name}_weight"), getattr(self, f"{name}_bias"), padding=1))
            if name in self.layers:
                found[name] = x
        return found


def read_weights(path: str | None, key: str) -> tuple[dict[str, Tensor], str]:
    """Return VGG-19's weights by torchvision's names, and what they are: a file's SHA-256; null fetches torchvision's.

    A network of the same layers with fewer channels will do: the widths are the file's. key: the setting, for errors.
    """
    by_hand = f"Download {URL} and type {key}=vgg19-dcbb9e9d.pth"
    if path is None:
        return _fetched(key, by_hand), "torchvision's vgg19-dcbb9e9d"
    file = Path(path).expanduser()
    if not file.is_file():
        what = "a folder" if file.is_dir() else "no such file"
        raise ConfigError(f"{key}: '{path}' is {what}, allowed: VGG-19's weights as torchvision lays them out, .pth or "
                          f".safetensors. {by_hand}.")  # fmt: skip
    try:
        weights = _read(file)
    except UNREADABLE as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120].rstrip(".: ")
        raise ConfigError(f"{key}: '{path}' cannot be read ({reason}). {by_hand}.") from None
    if wrong := _mismatch(weights):
        raise ConfigError(f"{key}: '{path}' is not of VGG-19's layout: {wrong}. {by_hand}.")
    return weights, file_digest(file)


def _read(file: Path) -> dict[str, Tensor]:
    if file.suffix == ".safetensors":
        import safetensors
        import safetensors.torch

        try:
            return safetensors.torch.load_file(file)
        except safetensors.SafetensorError as error:
            raise ValueError(str(error)) from None
    found = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(found, dict):
        raise ValueError(f"it holds a {type(found).__name__}, not weights by name")
    return found


def _mismatch(weights: Mapping[str, object]) -> str | None:
    """Say what is wrong with the first layer that is; None where all fit together."""
    entering = 3
    for name, key in KEYS.items():
        weight, bias = weights.get(f"{key}.weight"), weights.get(f"{key}.bias")
        if not isinstance(weight, Tensor) or not isinstance(bias, Tensor):
            return f"no {key}.weight and {key}.bias ({name})"
        if weight.ndim != 4 or tuple(weight.shape[1:]) != (entering, 3, 3) or bias.shape != weight.shape[:1]:
            shape = "x".join(map(str, weight.shape))
            return f"{key}.weight is {shape}, and {entering} channels enter there by 3x3"
        if not (weight.is_floating_point() and weight.isfinite().all() and bias.isfinite().all()):
            return f"{key} holds no finite numbers"
        entering = len(weight)
    return None


def _fetched(key: str, by_hand: str) -> dict[str, Tensor]:
    from urllib.error import URLError

    from torchvision.models import VGG19_Weights

    try:
        return dict(VGG19_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True))
    except (URLError, OSError, RuntimeError) as error:  # no network, no room, or not what was asked for
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120].rstrip(".: ")
        raise ConfigError(f"{key}: not set, and VGG-19's weights cannot be fetched ({reason}). "
                          f"Without a network: {by_hand[0].lower()}{by_hand[1:]}.") from None  # fmt: skip
