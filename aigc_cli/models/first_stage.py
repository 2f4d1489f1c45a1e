"""Build upon a trained model: its config stands in the other's, its weights come from a checkpoint and stay fixed.

`model.first_stage=outputs/vqvae-mnist` names a checkpoint on the command line; what builds the model sees that
checkpoint's own settings in the path's place (checkpoints/first_stages.py), so that a checkpoint stands alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias

from torch import nn

from aigc_cli.config import Choice
from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import DataSpec, Model

FirstStage: TypeAlias = Annotated[Callable[[DataSpec], Model], Choice("models")]


class Frozen(nn.Module):
    """Hold a trained model that another builds upon: it belongs to no optimiser and is always in evaluation mode."""

    def __init__(self, stage: Callable[[DataSpec], Model], spec: DataSpec, protocol: type, need: str) -> None:
        super().__init__()
        self.model = stage(spec).requires_grad_(False).eval()
        if not isinstance(self.model, protocol):
            given = type(self.model).__name__
            way = "Train another (aigc train model=vqvae), then type model.first_stage=outputs/NAME."
            raise ConfigError(f"model.first_stage: given a model ({given}) that {need}. {way}")

    def train(self, mode: bool = True) -> Frozen:
        """Stay in evaluation mode."""
        return super().train(False)
