"""A multilayer perceptron, from any shape to any shape."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn

from aigc_cli.interfaces import Shapes
from aigc_cli.networks.labels import append_one_hot

ACTIVATIONS = {"relu": nn.ReLU, "leaky_relu": lambda: nn.LeakyReLU(0.2), "silu": nn.SiLU, "tanh": nn.Tanh}
NORMALISATIONS = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


class MLP(nn.Module):
    """Flatten, pass through fully connected layers, reshape; a label joins the input as one-hot."""

    def __init__(
        self,
        shapes: Shapes,
        *,
        widths: list[Annotated[int, Gt(0)]],
        activation: Literal["relu", "leaky_relu", "silu", "tanh"],
        normalisation: Literal["none", "batch", "layer"],
        dropout: Annotated[float, Ge(0), Lt(1)],
    ) -> None:
        super().__init__()
        self.shapes = shapes
        sizes = [math.prod(shapes.input) + shapes.condition, *widths]
        layers: list[nn.Module] = []
        for entering, leaving in pairwise(sizes):
            layers.append(nn.Linear(entering, leaving))
            if normalisation != "none":
                layers.append(NORMALISATIONS[normalisation](leaving))
            layers.append(ACTIVATIONS[activation]())
            if dropout:
                layers.append(nn.Dropout(dropout))
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], math.prod(shapes.output)))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map (B, *input) to (B, *output)."""
        x = append_one_hot(x.flatten(1), condition, self.shapes.condition)
        return self.layers(x).reshape(len(x), *self.shapes.output)
