"""Optimisers by name: torch's own, fused where they can be. Torch is imported on use."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

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
    fused = fusable(params) and not any(hasattr(p, "device_mesh") for p in params)  # torch splits its fused Adam only
    return lean(SGD)(params, lr, momentum, weight_decay=weight_decay, nesterov=nesterov, fused=fused)


@functools.cache
def lean(kind: type[Optimizer]) -> type:
    """Return an optimiser class of torch's that does not import torch's compiler on its first use.

    Its methods are wrapped to keep the compiler off them; that alone would cost a start-up 1.2 of 5 seconds.
    """
    import torch

    bookkeeping = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in bookkeeping}
    return type(kind.__name__, (kind,), {**methods, "step": torch.no_grad()(inspect.unwrap(kind.step))})


MACHINE = ("lr", "capturable", "fused", "foreach")  # settings of a group that are of this machine, or of the step


def make_capturable(optimizer: Optimizer) -> None:
    """Let an optimiser's step be captured: nothing is read back, and the rate is a tensor beside the parameters."""
    import torch

    optimizer._warned_capturable_if_run_uncaptured = True  # type: ignore[attr-defined]  (a few steps come before)
    for group in optimizer.param_groups:
        group["lr"] = torch.full((), group["lr"], device=group["params"][0].device)
        group.update({"capturable": True} if "capturable" in group else {})


def set_rate(group: dict[str, Any], rate: float) -> None:
    """Set the rate of learning of a group, without waiting for the device."""
    if isinstance(group["lr"], float):
        group["lr"] = rate
    else:
        group["lr"].fill_(rate)


def portable_state(optimizer: Optimizer, rates: Iterable[float]) -> dict[str, Any]:
    """Return an optimiser's state with its groups' rates as numbers, as any machine loads it."""
    state, groups = optimizer.state_dict(), []
    for group, rate in zip(state["param_groups"], rates, strict=True):
        groups.append({**group, "lr": rate, **({"capturable": False} if "capturable" in group else {})})
    return {**state, "param_groups": groups}


def load_state(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Load portable_state's values; how this machine steps stays as it is."""
    mine = [{key: group[key] for key in MACHINE if key in group} for group in optimizer.param_groups]
    groups = [{**group, **kept} for group, kept in zip(state["param_groups"], mine, strict=True)]
    optimizer.load_state_dict({**state, "param_groups": groups})


def fusable(params: list[Parameter]) -> bool:
    """Tell whether torch's fused kernels take these parameters."""
    return all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in params)
