"""Grow data from noise, step by step: pure functions of one signature that know time, but neither networks nor models.

denoise(x, time) returns the noise that it sees in x (B, ...) at the timesteps time (B,); noise is where x begins;
alpha_bars (T,) is the share of the data's variance that is left at each timestep. The equations are for noise
epsilon and x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) epsilon; the x_0 that is predicted is clipped to the
range of the data, [-1, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, TypeAlias

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from aigc_cli.errors import ConfigError

SAMPLERS = {"ancestral": "aigc_cli.samplers:ancestral", "ddim": "aigc_cli.samplers:ddim"}
Denoise: TypeAlias = Callable[[Tensor, Tensor], Tensor]


def ancestral(
    denoise: Denoise,
    noise: Tensor,
    alpha_bars: Tensor,
    generator: torch.Generator,
    *,
    steps: Annotated[int, Gt(0)] | None,
) -> Tensor:
    """Draw each x from q(x_s | x_t, predicted x_0): arXiv:2006.11239, Eq. 7, with the variance of that posterior."""
    x = noise
    for time, now, then in respaced(alpha_bars, steps):
        clean = predict_clean(x, denoise(x, time.expand(len(x))), now)
        alpha = now / then
        mean = (then.sqrt() * (1 - alpha) * clean + alpha.sqrt() * (1 - then) * x) / (1 - now)
        deviation = ((1 - alpha) * (1 - then) / (1 - now)).sqrt()  # nothing at the last step
        x = torch.addcmul(mean, deviation, draw_like(x, generator))
    return x


def ddim(
    denoise: Denoise,
    noise: Tensor,
    alpha_bars: Tensor,
    generator: torch.Generator,
    *,
    steps: Annotated[int, Gt(0)] | None,
    eta: Annotated[float, Ge(0), Le(1)],
) -> Tensor:
    """Step towards the predicted x_0 with eta times the ancestral deviation: arXiv:2010.02502, Eq. 12 and 16."""
    x = noise
    for time, now, then in respaced(alpha_bars, steps):
        clean = predict_clean(x, denoise(x, time.expand(len(x))), now)
        epsilon = (x - now.sqrt() * clean) / (1 - now).sqrt()  # what is left once x_0 has been clipped
        deviation = eta * ((1 - then) / (1 - now) * (1 - now / then)).sqrt()
        x = then.sqrt() * clean + (1 - then - deviation.square()).clamp(min=0).sqrt() * epsilon
        if eta:
            x = torch.addcmul(x, deviation, draw_like(x, generator))
    return x


def predict_clean(x: Tensor, epsilon: Tensor, alpha_bar: Tensor) -> Tensor:
    """Return the x_0 that x and its noise imply, clipped: arXiv:2006.11239, Eq. 15."""
    return ((x - (1 - alpha_bar).sqrt() * epsilon) / alpha_bar.sqrt()).clamp(-1, 1)


def respaced(alpha_bars: Tensor, steps: int | None) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield (timestep, its alpha bar, the next one's), 0-d each, down to clean data; steps: null means every timestep.

    Fewer steps lie closer together where little noise is left, as squares (arXiv:2010.02502, appendix D.2): even spaces
    lose four times as much of a Gaussian's deviation in 50 steps. The first is always the noisiest, where sampling
    begins (arXiv:2305.08891, Section 3.3).
    """
    count = len(alpha_bars)
    steps = count if steps is None else steps
    if steps > count:
        raise ConfigError(
            f"steps: given {steps}, allowed: 1 to {count}, the model's timesteps. Type steps={count} or fewer."
        )
    times = [max(i, round(count * ((i + 1) / steps) ** 2) - 1) for i in reversed(range(steps))]
    chosen = alpha_bars[torch.tensor(times, device=alpha_bars.device)]
    then = torch.cat([chosen[1:], chosen.new_ones(1)])
    yield from zip(torch.tensor(times, device=alpha_bars.device), chosen, then, strict=True)


def draw_like(x: Tensor, generator: torch.Generator) -> Tensor:
    """Draw standard normal noise of x's shape."""
    return torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
