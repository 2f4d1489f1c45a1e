"""Add gradients up over ranks in buckets, each sent as soon as backward has filled it, while backward goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, distributed, nn

BUCKET = 25 * 2**20  # bytes: as many as keep a connection busy; the first ones are sent while the rest is computed


@dataclass
class _Bucket:
    """Some parameters of one type whose gradients travel together."""

    params: list[nn.Parameter]
    missing: set[nn.Parameter] = field(default_factory=set)  # whose gradients backward has yet to make
    flat: Tensor | None = None
    work: distributed.Work | None = None

    def send(self) -> None:
        for p in self.params:
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        self.flat = torch.cat([p.grad.reshape(-1) for p in self.params if p.grad is not None])
        self.work = distributed.all_reduce(self.flat, async_op=True)

    def receive(self) -> None:
        assert self.work is not None
        assert self.flat is not None
        self.work.wait()
        parts = self.flat.split([p.numel() for p in self.params])
        gradients = [p.grad for p in self.params if p.grad is not None]  # in their own layout of memory, which stays
        torch._foreach_copy_(gradients, [part.view_as(p) for p, part in zip(self.params, parts, strict=True)])
        self.flat = self.work = None


class GradientSum:
    """Sum the gradients of some parameters over the ranks.

    As in one process, a parameter that the loss of no rank reaches keeps no gradient. The ranks agree on which these
    are the first time; from then on buckets leave during backward.
    """

    def __init__(self, params: Sequence[nn.Parameter]) -> None:
        self.params = list(params)
        self._buckets: list[_Bucket] | None = None
        self._of: dict[nn.Parameter, _Bucket] = {}
        self._armed = False
        for p in self.params:
            p.register_post_accumulate_grad_hook(self._made)  # type: ignore[arg-type]

    def arm(self) -> None:
        """Send buckets during the next backward pass, which is the last of this step."""
        for bucket in self._buckets or []:
            bucket.missing = set(bucket.params)
        self._armed = self._buckets is not None

    def finish(self) -> None:
        """Put the sums in the gradients' place. Collective."""
        self._armed = False
        if self._buckets is None:
            self._buckets = self._agreed()
            self._of = {p: bucket for bucket in self._buckets for p in bucket.params}
        for bucket in self._buckets:
            if bucket.work is None:
                bucket.send()
        for bucket in self._buckets:
            bucket.receive()

    def _made(self, param: Tensor) -> None:
        if not self._armed or param not in self._of:
            return
        bucket = self._of[param]  # type: ignore[index]
        bucket.missing.discard(param)  # type: ignore[arg-type]
        # In the same order on every rank: a bucket waits for those before it.
        for each in self._buckets or []:
            if each.missing:
                return
            if each.work is None:
                each.send()

    def _agreed(self) -> list[_Bucket]:
        """Cut the parameters that any rank's loss reaches into buckets, last ones first, as backward meets them."""
        reached = torch.tensor([p.grad is not None for p in self.params], dtype=torch.int64)
        distributed.all_reduce(reached, distributed.ReduceOp.MAX)
        buckets: list[_Bucket] = []
        size = 0
        for p, wanted in reversed(list(zip(self.params, reached.tolist(), strict=True))):
            if not wanted:
                continue
            if not buckets or size + p.nbytes > BUCKET or buckets[-1].params[0].dtype != p.dtype:
                buckets.append(_Bucket([]))
                size = 0
            buckets[-1].params.append(p)
            size += p.nbytes
        return buckets
