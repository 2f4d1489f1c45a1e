"""How a classifier listens to log-mel spectrograms, so that it knows words by speakers whom it never heard.

Recordings differ in loudness, in how a room and a microphone weigh the bands, and speakers in pitch and pace: loudness
is taken out, the others vary while it learns.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aigc_cli.sounds.spectrogram import FLOOR

WIDTHS = (24, 48, 96, 96)
FEATURES = 128
FRAMES = 64  # longer spectrograms are averaged down to about so many
DEEP = 50.0  # decibels below the loudest place of a clip: what is quieter is silence


@dataclass(frozen=True)
class Variation:
    """Say by how much training varies sounds: standard deviations."""

    pace: float = 0.3  # octaves
    delay: float = 0.05  # share of a clip's length
    voice: float = 0.12  # octaves of the bands' scale
    raised: float = 0.025  # share of the bands
    tone: float = 0.12  # of an equaliser's knobs, in units of 40 dB
    knobs: int = 5


VARIATION = Variation()


class Listener(nn.Module):
    """Map spectrograms (B, C, bands, frames) in [-1, 1] to features (B, 128).

    Which band a sound is in tells vowels apart, so bands stay apart until the end; of all moments the largest value is
    kept.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        channels, bands, frames = shape
        layers: list[nn.Module] = [nn.AvgPool2d((1, max(1, frames // FRAMES)))]
        for index, width in enumerate(WIDTHS):
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            if index < len(WIDTHS) - 1:
                layers += [nn.MaxPool2d(2, ceil_mode=True)]
                bands = -(-bands // 2)
            channels = width
        self.layers = nn.Sequential(*layers)
        self.over_time = nn.Sequential(
            nn.Conv1d(channels * bands, FEATURES, 3, padding=1), nn.BatchNorm1d(FEATURES), nn.ReLU()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map spectrograms (B, C, bands, frames) to features (B, 128)."""
        return self.over_time(self.layers(levelled(x)).flatten(1, 2)).amax(2)


def levelled(x: Tensor) -> Tensor:
    """Return spectrograms whose loudest place is at 1, and silence 50 dB below it at -1, as all is in silence."""
    loudest = x.amax((1, 2, 3), keepdim=True)
    return torch.where(loudest > -1, (1 + (x - loudest) * (-FLOOR / DEEP)).clamp_min(-1), -1.0)


def varied(x: Tensor, voices: bool) -> Tensor:
    """Return spectrograms (B, C, bands, frames) at another pace, in another tone, a little later or earlier.

    voices: by other voices, too, whose bands lie closer or wider.
    """
    pace, delay, voice, raised = torch.randn(4, len(x), device=x.device)
    pace, voice = torch.exp2(VARIATION.pace * pace), torch.exp2(VARIATION.voice * voices * voice)
    place = torch.zeros(len(x), 2, 3, device=x.device)
    place[:, 0, 0], place[:, 0, 2] = pace, pace - 1 + 2 * VARIATION.delay * delay  # a clip begins where it began
    place[:, 1, 1], place[:, 1, 2] = voice, voice - 1 + 2 * VARIATION.raised * voices * raised
    grid = F.affine_grid(place, list(x.shape), align_corners=False)
    x = F.grid_sample(x + 1, grid, align_corners=False) - 1  # silence comes in from outside
    knobs = VARIATION.tone * torch.randn(len(x), 1, VARIATION.knobs, 1, device=x.device)
    return x + F.interpolate(knobs, (x.shape[2], 1), mode="bilinear", align_corners=True)
