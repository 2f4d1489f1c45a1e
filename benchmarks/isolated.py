"""The convolutions and matrix products of a training step alone: what no way of launching or fusing does without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
PRODUCTS = (aten.convolution.default, aten.convolution_backward.default, aten.mm.default, aten.addmm.default,
            aten.bmm.default, aten.baddbmm.default)  # fmt: skip


class Isolated(TorchDispatchMode):
    """Keep the convolutions and products, forward and backward, of what runs within, with tensors of their own.

    calls: what does each again. traffic: bytes of what they return, read and written once more, as the rest of a step
    would if it were one fused pass behind each.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Callable[[], object]] = []
        self.traffic = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in PRODUCTS:
            given = [arg.detach().clone() if isinstance(arg, Tensor) else arg for arg in args]
            self.calls.append(lambda: func(*given))
            made = result if isinstance(result, tuple | list) else [result]
            self.traffic += 2 * sum(part.nbytes for part in made if isinstance(part, Tensor))
        return result

    def __call__(self) -> None:
        """Do all of them again."""
        for call in self.calls:
            call()


def isolated(step: Callable[[], object]) -> Isolated:
    """Return the convolutions and products of a step."""
    with Isolated() as found:
        step()
    return found
