"""The ceiling of a DCGAN: the time of its convolutions alone, each in the memory layout that suits it best."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.plain_dcgan import LATENT, critic_layers, generator_layers

LAYOUTS = (torch.contiguous_format, torch.channels_last)
Pass = Callable[[], object]


@dataclass(frozen=True)
class Needed:
    """Say how often one training step must pass a layer: forward, back to its weights, back to its input."""

    forward: int
    weight: int
    input: int


class Convolutions:
    """Run the passes that no DCGAN step can do without, and nothing else.

    A generator's layer goes forward and back once. A critic's goes forward for real, fake and the generator's turn,
    back to its weights for the first two and back to its input for all three. First layers need no gradient of theirs,
    except that the critic's hands it to the generator.
    """

    def __init__(self, width: int, batch: int) -> None:
        self.batch, self.flops = batch, 0
        self.passes: list[tuple[Pass, int]] = []
        with torch.no_grad():
            self._add(generator_layers(width), torch.randn(batch, LATENT, 1, 1), Needed(1, 1, 1), first_input=0)
            self._add(critic_layers(width), torch.randn(batch, 3, 64, 64), Needed(3, 2, 3), first_input=1)
        self.gflop = self.flops / batch / 1e9

    def images_per_second(self) -> float:
        """Run every pass of one step."""
        start = time.perf_counter()
        for work, times in self.passes:
            for _ in range(times):
                work()
        return self.batch / (time.perf_counter() - start)

    def _add(self, network: nn.Sequential, x: Tensor, needed: Needed, *, first_input: int) -> None:
        first = True
        for layer in network:
            y = layer(x)
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                input_passes = first_input if first else needed.input
                times = (needed.forward, needed.weight, input_passes)
                choices = [passes_of(layer, x, y, layout) for layout in LAYOUTS]
                for count, *variants in zip(times, *choices, strict=True):
                    self.passes.append((min(variants, key=seconds_of), count))
                moved = (x if isinstance(layer, nn.ConvTranspose2d) else y).numel()
                kernel = layer.weight[0].numel()
                self.flops += sum(times) * 2 * moved * kernel
                first = False
            x = y


def passes_of(layer: nn.Conv2d | nn.ConvTranspose2d, x: Tensor, y: Tensor, layout: torch.memory_format) -> list[Pass]:
    """Return the layer's pass forward, back to its weights and back to its input, in a memory layout."""
    x, gradient, weight = (tensor.detach().contiguous(memory_format=layout) for tensor in (x, y, layer.weight))
    transposed, padding = isinstance(layer, nn.ConvTranspose2d), list(layer.padding)  # type: ignore[arg-type]
    settings = (list(layer.stride), padding, [1, 1], transposed, [0, 0], 1)

    def back(mask: list[bool]) -> Pass:
        return lambda: torch.ops.aten.convolution_backward(gradient, x, weight, None, *settings, mask)

    def forward() -> Tensor:
        return torch.ops.aten.convolution(x, weight, None, *settings)

    return [forward, back([False, True, False]), back([True, False, False])]


def seconds_of(work: Pass) -> float:
    """Return the time of a call after a first one."""
    work()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    found = Convolutions(64, 32)
    rate = found.images_per_second()
    print(f"{rate:.1f} images/s, {rate * found.gflop:.1f} GFLOP/s, {found.gflop:.3f} GFLOP per image")
