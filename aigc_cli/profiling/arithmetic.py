"""Count the multiplications and additions of a step, and how many of them this machine can do in a second."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

from aigc_cli.devices import DTYPES, Device

SIDES = {"cpu": 1024, "cuda": 8192}  # of the square matrices: large enough for the full rate, small enough to be quick
REPEATS = 7


class Products(TorchDispatchMode):
    """Add up the floating point operations of matrix products, convolutions, attention and LSTMs; a product is two.

    Torch's own counter follows modules by hooks on top, which a step with gradients of gradients confuses.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation and count it."""
        kwargs = kwargs or {}
        found = func(*args, **kwargs)
        if count := OURS.get(str(func.overloadpacket)):
            self.flops += count(*args)
        elif count := flop_registry.get(func.overloadpacket):
            self.flops += count(*args, **kwargs, out_val=found)
        return found


def _attention(query: Tensor, key: Tensor, value: Tensor, *_: object) -> int:
    return sdpa_flop_count(query.shape, key.shape, value.shape)


def _attention_backward(gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, *_: object) -> int:
    return sdpa_backward_flop_count(gradient.shape, query.shape, key.shape, value.shape)


def _recurrent(x: Tensor, input_weight: Tensor, state_weight: Tensor, *_: object) -> int:
    return 2 * x.shape[0] * x.shape[1] * (input_weight.numel() + state_weight.numel())


# Kernels of CPUs that torch's registry does not know.
OURS: dict[str, Callable[..., int]] = {
    "aten._scaled_dot_product_flash_attention_for_cpu": _attention,
    "aten._scaled_dot_product_flash_attention_for_cpu_backward": _attention_backward,
    "aten.mkldnn_rnn_layer": _recurrent,
    "aten.mkldnn_rnn_layer_backward": lambda *args: 2 * _recurrent(*args),
}


def product_rate(device: Device) -> float:
    """Return the operations a second of a large matrix product, in the precision and threads of steps."""
    side, dtype = SIDES.get(device.torch.type, 4096), DTYPES[device.precision]
    generator = torch.Generator().manual_seed(0)  # training's own randomness stays as it is
    one, other = (torch.rand(side, side, generator=generator).to(device.torch, dtype) for _ in range(2))
    product = torch.empty_like(one)
    with device.rounding_products():
        torch.mm(one, other, out=product)
        seconds = _seconds(lambda: torch.mm(one, other, out=product), device.torch)
    return 2 * side**3 / statistics.median(seconds)


def _seconds(work: Callable[[], object], device: torch.device) -> list[float]:
    """Return the times of the calls, the device's own queue emptied after each."""
    wait: Callable[[], object] = getattr(torch, device.type).synchronize
    times = []
    for _ in range(REPEATS):
        wait()
        start = time.perf_counter()
        work()
        wait()
        times.append(time.perf_counter() - start)
    return times
