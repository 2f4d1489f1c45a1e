"""Paint a picture in the style of another by changing its pixels until both are content: arXiv:1508.06576."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from aigc_cli.errors import TrainingError
from aigc_cli.perception.style import StyleLoss, total_variation

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")  # arXiv:1508.06576, Figure 2
CONTENT_LAYERS = ("relu4_2",)
HISTORY = 20  # gradients that L-BFGS remembers, each as large as the picture


@dataclass(frozen=True)
class Painting:
    """Hold a picture (1, C, H, W) in [-1, 1], and its errors of style and content, at first and at last."""

    signal: Tensor
    style: tuple[float, float]
    content: tuple[float, float]


def paint(
    content: Tensor,
    judge: StyleLoss,
    *,
    steps: int,
    style_weight: float,
    content_weight: float,
    smoothness: float,
    start: Literal["content", "noise"],
    seed: int,
    name: str,
) -> Painting:
    """Descend the weighted errors by L-BFGS, in `steps` passes through the network; content: (1, C, H, W)."""
    wanted = judge.content(content)
    generator = torch.Generator(content.device).manual_seed(seed)
    noise = torch.randn(content.shape, generator=generator, device=content.device) / 4
    signal = (content.clone() if start == "content" else noise).requires_grad_()
    optimizer = torch.optim.LBFGS(
        [signal], max_iter=steps, max_eval=steps, history_size=HISTORY, tolerance_grad=0, tolerance_change=0,
        line_search_fn="strong_wolfe",
    )  # fmt: skip
    errors: list[tuple[float, float]] = []
    with tqdm(total=steps, desc=name, unit="pass", disable=None, leave=False, dynamic_ncols=True) as bar:

        def loss() -> Tensor:
            optimizer.zero_grad()
            style, kept = judge(signal, wanted)
            total = style_weight * style + content_weight * kept + smoothness * total_variation(signal)
            total.backward()
            errors.append((float(style.detach()), float(kept.detach())))
            bar.update()
            bar.set_postfix(style=f"{errors[-1][0]:.3g}", content=f"{errors[-1][1]:.3g}", refresh=False)
            return total

        optimizer.step(loss)
    if not bool(signal.isfinite().all()):
        raise TrainingError(f"{name}: a pixel stopped being a finite number. Type smaller weights, or start=content.")
    (style, kept), (last_style, last_kept) = errors[0], errors[-1]
    return Painting(signal.detach().clamp(-1, 1), (style, last_style), (kept, last_kept))


def with_colours_of(content: Image.Image, painted: Image.Image) -> Image.Image:
    """Return what was painted in the content's own colours: only its light and dark are kept (arXiv:1606.05897)."""
    light, _, _ = painted.convert("YCbCr").split()
    _, blue, red = content.convert("YCbCr").split()
    return Image.merge("YCbCr", (light, blue, red)).convert("RGB")
