"""What data sets of sounds have in common: how a clip is stored, and which settings say so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from aigc_cli.errors import ConfigError

if TYPE_CHECKING:
    from aigc_cli.interfaces import DataSpec

SampleRate: TypeAlias = Annotated[int, Ge(1_000), Le(192_000)]
Seconds: TypeAlias = Annotated[float, Gt(0), Le(600)]
Bands: TypeAlias = Annotated[int, Ge(8), Le(512)]
View: TypeAlias = Literal["wave", "mel"]

PEAK = 0.95  # of the loudest sample, where clips are brought to one loudness
NOISE = 1e-3  # a clip that has no louder sample is silence, and stays it


@dataclass(frozen=True)
class Clips:
    """Say how long clips are and how they are stored."""

    seconds: float
    sample_rate: int
    features: View
    bands: int
    mu_law: bool
    normalise: bool
    channels: int = 1

    def __post_init__(self) -> None:
        if self.features == "mel" and self.mu_law:
            raise ConfigError("data.mu_law: given true, but features=mel stores spectrograms. Type data.mu_law=false.")
        if self.features == "mel" and self.channels != 1:
            raise ConfigError(
                f"data.channels: given {self.channels}, but a spectrogram is of one. Type data.channels=1."
            )

    @property
    def samples(self) -> int:
        """Count a clip's samples in each channel."""
        return max(1, round(self.seconds * self.sample_rate))

    @property
    def settings(self) -> dict[str, Any]:
        """Return what a pack of such clips depends on."""
        return asdict(self)

    def spec(self, classes: Iterable[str] | None) -> dict[str, Any]:
        """Describe a clip, in DataSpec.to_dict's form."""
        names = list(classes) if classes is not None else None
        mel = self.features == "mel"
        sound = {
            "sample_rate": self.sample_rate, "samples": self.samples, "mu_law": self.mu_law,
            "bands": self.bands if mel else 0,
        }  # fmt: skip
        if mel:
            from aigc_cli.sounds.windows import hop_of

            shape = [1, self.bands, max(1, self.samples // hop_of(self.sample_rate))]
            return {"kind": "image", "shape": shape, "levels": 256, "classes": names, "sound": sound}
        levels = 256 if self.mu_law else 1 << 16
        shape = [self.channels, self.samples]
        return {"kind": "audio", "shape": shape, "levels": levels, "classes": names, "sound": sound}

    def stored(self, wave: NDArray[np.float32]) -> NDArray:
        """Return a wave (channels, samples) in [-1, 1] as it is stored."""
        peak = float(np.abs(wave).max(initial=0))
        if self.normalise and peak > NOISE:
            wave = wave * np.float32(PEAK / peak)
        if self.features == "mel":
            return _mel(wave, self.sample_rate, self.bands)
        if self.mu_law:
            from aigc_cli.sounds.companding import compress

            return compress(wave)
        return np.clip(np.round(wave * 32768.0), -32768, 32767).astype(np.int16)


def clips_of(spec: DataSpec, *, normalise: bool) -> Clips:
    """Return how clips are stored that a spec describes."""
    sound = spec.sound
    assert sound, "only sounds are clips"
    view: View = "mel" if sound.bands else "wave"
    channels = 1 if sound.bands else spec.shape[0]
    seconds = sound.samples / sound.sample_rate
    return Clips(seconds, sound.sample_rate, view, sound.bands, sound.mu_law, normalise, channels)


def _mel(wave: NDArray[np.float32], sample_rate: int, bands: int) -> NDArray[np.uint8]:
    import torch

    from aigc_cli.sounds.spectrogram import log_mel

    heat = log_mel(torch.from_numpy(wave), sample_rate, bands)
    return ((heat + 1) * (255 / 2)).round().to(torch.uint8).numpy()
