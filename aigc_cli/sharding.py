"""Split weights, gradients and what optimisers keep over the ranks, for models that one device does not hold: FSDP2.

Each rank keeps its part of every parameter; blocks of layers are gathered as they are needed and dropped again
(arXiv:2304.11277). Buffers, and parameters that nobody trains, stay whole. A loss is the forward pass of the whole
model, so that parameters outside of blocks are there as well. FSDP loses gradients that are confined to some parameters
by `inputs=`: all that a loss reaches are made, and those of another phase are dropped before it begins.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.utils.parametrize import ParametrizationList
from torch.optim import Optimizer

from aigc_cli.distributed import as_first_has, ranks
from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Model

LEAST = 1 << 16  # parameters of a block that is gathered by itself: smaller ones travel with the rest


class Shards:
    """Hold a model in parts; whole it lies on the first rank's CPU, and samples from there."""

    def __init__(self, model: Model, average: nn.Module | None, device: torch.device) -> None:
        """Split the model, and the modules of its average alike, in place."""
        as_first_has(model.parameters())
        self.device = device
        self._replica = copy.deepcopy(model).to("cpu") if ranks().first else None
        self._gathered: tuple[int, dict[str, Any]] | None = None
        mesh = init_device_mesh(device.type, (ranks().world,))
        for module in (model, average) if average else (model,):
            frozen = {p for p in module.parameters() if not p.requires_grad}
            try:
                for block in (*blocks(module), module):
                    fully_shard(block, mesh=mesh, ignored_params=frozen)
            except (NotImplementedError, ValueError) as error:  # parameters that are single numbers, say
                said = f"ranks.shard: given true, but this model cannot be split ({error})."
                raise ConfigError(f"{said} Type ranks.shard=false.") from None
        for name in {phase.loss.__name__ for phase in model.phases()}:
            register_fsdp_forward_method(model, name)

    def gather(self, step: int, state: Mapping[str, Any]) -> None:
        """Bring the parts of a state together. Collective."""
        self._gathered = step, whole(state)

    def state(self, step: int) -> dict[str, Any]:
        """Return the state that was gathered after a step."""
        assert self._gathered, "the ranks gather it before anybody reads it"
        assert self._gathered[0] == step, "it is of another step"
        return self._gathered[1]

    @contextmanager
    def sampler(self, step: int) -> Iterator[Model]:
        """Lend the whole model, its weights averaged, on the device."""
        assert self._replica is not None, "the first rank samples"
        state = self.state(step)
        averaged = state["average"]["average"] if state["average"] else {}
        own = {key.removeprefix("module."): value for key, value in averaged.items() if key.startswith("module.")}
        self._replica.load_state_dict({**state["model"], **own})
        try:
            yield self._replica.to(self.device).eval()
        finally:
            self._replica.to("cpu")

    @staticmethod
    def number(tensor: Tensor) -> Tensor:
        """Return a number that the ranks hold together, such as a norm. Collective."""
        return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor

    def cut(self, state: Mapping[str, Any], current: Mapping[str, Any], optimizers: Mapping[str, Optimizer]) -> dict:
        """Cut a whole state of a trainer as its current one is cut."""
        average = state["average"]
        if average is not None:
            average = {**average, "average": _parts(average["average"], current["average"]["average"])}
        moved = {name: _moved(each, optimizers[name]) for name, each in state["optimizers"].items()}
        return {**state, "model": _parts(state["model"], current["model"]), "optimizers": moved, "average": average}


def blocks(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the outermost members of lists of layers that are worth a journey of their own."""
    listed = isinstance(module, nn.ModuleList | nn.Sequential)
    for child in module.children():
        if isinstance(child, ParametrizationList):
            continue
        if listed and sum(p.numel() for p in child.parameters() if p.requires_grad) >= LEAST:
            yield child
        elif not listed:
            yield from blocks(child)


def whole(state: Any) -> Any:
    """Gather a nested state's parts: whole tensors on the first rank's CPU, nothing of use elsewhere. Collective."""
    if isinstance(state, DTensor):
        full = state.full_tensor()
        return full.cpu() if ranks().first else torch.empty(0)
    if isinstance(state, Mapping):
        return {key: whole(value) for key, value in state.items()}
    return [whole(value) for value in state] if isinstance(state, list) else state


def _parts(state: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: _part(value, like.get(key)) for key, value in state.items()}


def _part(tensor: Any, like: Tensor | None) -> Any:
    """Return this rank's part, cut as another tensor of its shape is; what is not cut as it is."""
    if not isinstance(like, DTensor) or not isinstance(tensor, Tensor) or tensor.shape != like.shape:
        return tensor
    there = tensor.to(like.device_mesh.device_type)
    return distribute_tensor(there, like.device_mesh, like.placements, src_data_rank=None)


def _moved(state: Mapping[str, Any], optimizer: Optimizer) -> dict[str, Any]:
    """Cut what an optimiser keeps of each parameter as that is cut."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    of = dict(zip([index for group in state["param_groups"] for index in group["params"]], params, strict=True))
    kept = {
        index: {key: _part(value, of[index]) for key, value in values.items()}
        for index, values in state["state"].items()
    }
    return {**state, "state": kept}
