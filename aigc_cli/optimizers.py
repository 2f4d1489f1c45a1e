"""Optimisers by name: torch's own, fused where they can be. Torch is imported on use."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, TypeAlias

from annotated_types import Ge, Gt, Len, Lt

from aigc_cli.errors import ConfigError

if TYPE_CHECKING:
    from torch.nn import Parameter
    from torch.optim import Optimizer

OPTIMIZERS = {
    "adam": "aigc_cli.optimizers:adam",
    "adamw": "aigc_cli.optimizers:adamw",
    "rmsprop": "aigc_cli.optimizers:rmsprop",
    "sgd": "aigc_cli.optimizers:sgd",
}

Positive: TypeAlias = Annotated[float, Gt(0)]
NonNegative: TypeAlias = Annotated[float, Ge(0)]
Fraction: TypeAlias = Annotated[float, Ge(0), Lt(1)]
Betas: TypeAlias = Annotated[list[Fraction], Len(2, 2)]


def adam(
    params: Iterable[Parameter], *, lr: Positive, betas: Betas, eps: Positive, weight_decay: NonNegative
) -> Optimizer:
    """Build Adam (arXiv:1412.6980); weight_decay is an L2 penalty."""
    from torch.optim import Adam

    params = list(params)
    return lean(Adam)(params, lr, (betas[0], betas[1]), eps, weight_decay, fused=fusable(params))


def adamw(
    params: Iterable[Parameter], *, lr: Positive, betas: Betas, eps: Positive, weight_decay: NonNegative
) -> Optimizer:
    """Build AdamW (arXiv:1711.05101): the decay is decoupled from the gradient."""
    from torch.optim import AdamW

    params = list(params)
    return lean(AdamW)(params, lr, (betas[0], betas[1]), eps, weight_decay, fused=fusable(params))


def rmsprop(
    params: Iterable[Parameter], *, lr: Positive, alpha: Fraction, eps: Positive, momentum: Fraction
) -> Optimizer:
    """Build RMSprop (Hinton's lecture 6e); alpha is the smoothing constant of the squared gradient."""
    from torch.optim import RMSprop

    return lean(RMSprop)(params, lr, alpha, eps, momentum=momentum, foreach=True)


def sgd(
    params: Iterable[Parameter], *, lr: Positive, momentum: Fraction, nesterov: bool, weight_decay: NonNegative
) -> Optimizer:
    """Build stochastic gradient descent."""
    from torch.optim import SGD

    if nesterov and not momentum:
        raise ConfigError("optimizer.nesterov: true needs momentum. Type optimizer.momentum=0.9.")
    params = list(params)
    return lean(SGD)(params, lr, momentum, weight_decay=weight_decay, nesterov=nesterov, fused=fusable(params))


@functools.cache
def lean(kind: type[Optimizer]) -> type:
    """Return an optimiser class of torch's that does not import torch's compiler on its first use.

    Its methods are wrapped to keep the compiler off them; that alone would cost a start-up 1.2 of 5 seconds.
    """
    import torch

    bookkeeping = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in bookkeeping}
    return type(kind.__name__, (kind,), {**methods, "step": torch.no_grad()(inspect.unwrap(kind.step))})


def fusable(params: list[Parameter]) -> bool:
    """Tell whether torch's fused kernels take these parameters."""
    return all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in params)
