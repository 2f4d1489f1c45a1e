"""Draw samples from a model: chunk by chunk, so that the first ones do not depend on how many follow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aigc_cli.randomness import mix

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from tqdm import tqdm

    from aigc_cli.abilities import Samples


def draw(
    model: Samples,
    n: int,
    condition: Tensor | None,
    *,
    seed: int,
    device: torch.device,
    chunk: int = 64,
    **settings: Any,
) -> Tensor:
    """Return n samples on the CPU, stored integers; whole chunks do not depend on n."""
    import torch

    return torch.cat(list(draw_chunks(model, n, condition, seed=seed, device=device, chunk=chunk, **settings)))


def draw_chunks(
    model: Samples, n: int, condition: Tensor | None, *, seed: int, device: torch.device, chunk: int, **settings: Any
) -> Iterator[Tensor]:
    """Yield n samples chunk by chunk; each chunk has its own generator, made from the seed and its number."""
    import torch

    for index, start in enumerate(range(0, n, chunk)):
        count = min(chunk, n - start)
        labels = None if condition is None else condition[start : start + count].to(device)
        generator = torch.Generator(device).manual_seed(mix(seed, index))
        with torch.no_grad():
            yield model.sample(count, labels, generator=generator, **settings).cpu()


@contextmanager
def progress(model: Any, name: str | None = None) -> Iterator[tqdm]:
    """Show on a terminal how a slow model gets on: passes through its last generative part."""
    from tqdm import tqdm

    with tqdm(desc=name, unit="pass", delay=1, leave=False, disable=None, dynamic_ncols=True) as bar:
        hook = getattr(model, model.generative[-1]).register_forward_hook(lambda *_: bar.update() and None)
        try:
            yield bar
        finally:
            hook.remove()


def told(model: Any, condition: Tensor | None) -> Tensor | None:
    """Return what a model is told beside its data: pictures that come with them, labels where it learns by label."""
    return condition if model.conditional or not model.spec.classes else None
