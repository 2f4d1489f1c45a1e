"""Samplers land where mathematics says: on Gaussian data the best prediction, and the whole path, are known."""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from aigc_cli.composing.parts import sampler_node
from aigc_cli.config import bind, load
from aigc_cli.errors import ConfigError
from aigc_cli.models.noise_schedules import Discrete, Flow, LogNormal, cosine, linear, sigmoid
from aigc_cli.samplers import SAMPLERS, revising
from aigc_cli.samplers.choosing import chosen_sampler
from aigc_cli.samplers.first_order import ancestral, ddim, euler
from aigc_cli.samplers.levels import between, spaced

MEAN, DEVIATION = 0.2, 0.15  # of Gaussian data that lie within [-1, 1]
SCHEDULES = {"linear": linear(timesteps=1000), "cosine": cosine(timesteps=1000), "sigmoid": sigmoid(timesteps=1000),
             "log_normal": LogNormal(mean=-1.2, deviation=1.2), "flow": Flow(times="uniform")}  # fmt: skip
EVEN = {"euler": 1, "ddim": 1, "heun": 2, "dpm_solver": 2}  # deterministic samplers and the order they converge at
SPACINGS = ("time", "quadratic", "log", "karras")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def exact(x: Tensor, sigma: float) -> Tensor:
    """Return E[data | x] for data from N(MEAN, DEVIATION^2)."""
    return (DEVIATION**2 * x + sigma**2 * MEAN) / (DEVIATION**2 + sigma**2)


def solution(x: Tensor, sigma: float) -> Tensor:
    """Return where the path through x at sigma ends: dx / dsigma = sigma (x - MEAN) / (DEVIATION^2 + sigma^2)."""
    return MEAN + (x - MEAN) * DEVIATION / math.sqrt(DEVIATION**2 + sigma**2)


def sampler(name: str, **changes):
    """Return a sampler with the settings of its YAML."""
    made = bind("samplers", {**sampler_node(name), **changes}, "sampler")
    return partial(made.func, **made.keywords)


def draw(name: str, x: Tensor, sigmas: list[float], seed: int = 1, **changes) -> Tensor:
    return sampler(name, **changes)(exact, lambda *_: (x, sigmas), generator(seed))


def evenly(steps: int, largest: float = 20.0, least: float = 1e-5) -> list[float]:
    return [*(between(least, largest, 1 - i / (steps - 1), "karras") for i in range(steps)), 0.0]


@pytest.mark.parametrize("name", EVEN)
def test_deterministic_samplers_land_on_the_analytic_solution(name):
    """In 320 steps first-order samplers come within 6% of the data's deviation, second-order ones within 0.1%."""
    sigmas = evenly(320)
    x = MEAN + normal(200) * math.sqrt(DEVIATION**2 + sigmas[0] ** 2)
    error = (draw(name, x, sigmas) - solution(x, sigmas[0])).abs().max().item() / DEVIATION
    assert error < (0.06 if EVEN[name] == 1 else 1e-3)


@pytest.mark.parametrize("name", EVEN)
def test_twice_the_steps_divide_the_error_as_the_order_says(name):
    x = MEAN + 20 * normal(50)
    errors = [(draw(name, x, evenly(n)) - solution(x, 20.0)).abs().mean().item() for n in (80, 160, 320)]
    orders = [math.log2(coarse / fine) for coarse, fine in pairwise(errors)]
    assert orders == pytest.approx([EVEN[name]] * 2, abs=0.25)


@pytest.mark.parametrize(("name", "settings"), [("ancestral", {}), ("ddim", {"eta": 1.0}), ("ddim", {"eta": 0.5}),
                                                ("stochastic_heun", {})])  # fmt: skip
def test_samplers_with_fresh_noise_land_on_the_distribution_of_the_data(name, settings):
    """With the exact denoiser the mean is right to 0.005 and the deviation to 3%."""
    sigmas = evenly(400)
    x = draw(name, MEAN + normal(20_000) * math.sqrt(DEVIATION**2 + sigmas[0] ** 2), sigmas, **settings)
    assert x.mean().item() == pytest.approx(MEAN, abs=0.005)
    assert x.std().item() == pytest.approx(DEVIATION, rel=0.03)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("name", "tolerance"), [("ancestral", 0.05), ("ddim", 0.06), ("euler", 0.2), ("heun", 0.08),
                                                 ("stochastic_heun", 0.05), ("dpm_solver", 0.08)])  # fmt: skip
def test_every_sampler_with_its_own_settings_suits_every_schedule(schedule, name, tolerance):
    """From the noise that a model begins with, the mean is right to 0.01 and the deviation to the share stated."""
    made = sampler(name)
    sigmas = spaced(SCHEDULES[schedule], made.keywords["steps"], made.keywords["spacing"])
    x = normal(20_000) * math.sqrt(1 + sigmas[0] ** 2)
    x = made(exact, lambda *_: (x, sigmas), generator(1))
    assert x.mean().item() == pytest.approx(MEAN, abs=0.01)
    assert x.std().item() == pytest.approx(DEVIATION, rel=tolerance)


@pytest.mark.parametrize("spacing", ["time", "quadratic"])
@pytest.mark.parametrize("steps", [20, 120, 250])
def test_heuns_method_bears_a_guess_where_there_is_nothing_but_noise(spacing, steps):
    sigmas = spaced(SCHEDULES["cosine"], steps, spacing)
    assert sigmas[0] > 20_000
    x = normal(2000) * math.sqrt(1 + sigmas[0] ** 2)
    drawn = sampler("heun")(
        lambda x, sigma: exact(x, sigma) if sigma < 1000 else x.sign(), lambda *_: (x, sigmas), None
    )
    assert (drawn - solution(x, sigmas[0])).abs().max().item() < DEVIATION


@pytest.mark.parametrize("steps", [200, 7])
def test_ddim_is_euler_without_noise_and_ancestral_with_all_of_it(steps):
    x, sigmas = 20 * normal(500), evenly(steps)
    assert draw("ddim", x, sigmas, eta=1.0) == pytest.approx(draw("ancestral", x, sigmas), abs=1e-9)
    assert draw("ddim", x, sigmas, eta=0.0) == pytest.approx(draw("euler", x, sigmas), abs=1e-9)


def test_without_churn_the_stochastic_sampler_is_heuns():
    x, sigmas = 20 * normal(50), evenly(20)
    assert torch.equal(draw("stochastic_heun", x, sigmas, churn=0.0), draw("heun", x, sigmas))


@pytest.mark.parametrize("name", EVEN)
def test_deterministic_samplers_draw_nothing(name):
    x, sigmas = 20 * normal(5), evenly(10)
    assert torch.equal(draw(name, x, sigmas, seed=1), draw(name, x, sigmas, seed=2))


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_last_step_takes_the_prediction_as_it_is(name):
    x = normal(5)
    assert draw(name, x, [0.5, 0.0], **({"churn": 0.0} if name == "stochastic_heun" else {})) == pytest.approx(
        exact(x, 0.5)
    )


# Levels --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("steps", [1, 2, 7, 50, 999])
def test_levels_fall_from_the_noisiest_to_nothing(schedule, spacing, steps):
    known = SCHEDULES[schedule]
    sigmas = spaced(known, steps, spacing)
    assert len(sigmas) == steps + 1
    assert all(now > then for now, then in pairwise(sigmas))
    assert sigmas[-1] == 0
    noisiest = known.at([1.0])[0] if spacing in ("time", "quadratic") else known.ends()[1]
    assert sigmas[0] == pytest.approx(noisiest, rel=1e-6)


@pytest.mark.parametrize("timesteps", [3, 20, 250])
def test_every_timestep_is_passed_where_no_number_is_given(timesteps):
    known = linear(timesteps=timesteps)
    assert spaced(known, None, "time") == [*reversed(known.table().tolist()), 0.0]
    assert spaced(known, None, "quadratic") == spaced(known, None, "time")
    with pytest.raises(ConfigError, match=f"steps: given {timesteps + 1}, allowed: 1 to {timesteps}"):
        spaced(known, timesteps + 1, "time")
    with pytest.raises(ConfigError, match="steps: null means every timestep"):
        spaced(SCHEDULES["flow"], None, "time")


def test_the_levels_of_edm_are_its_papers():
    sigmas = spaced(SCHEDULES["log_normal"], 18, "karras")
    assert sigmas[0] == pytest.approx(80)
    assert sigmas[-2] == pytest.approx(0.002)
    assert sigmas[1] == pytest.approx(57.5860, rel=1e-4)  # Eq. 5 with i = 1


def test_even_times_cut_a_flows_line_evenly():
    times = [sigma / (1 + sigma) for sigma in spaced(SCHEDULES["flow"], 10, "time")]
    assert [now - then for now, then in pairwise(times)] == pytest.approx([times[0] / 10] * 10)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_times_belong_to_their_levels(schedule):
    known = SCHEDULES[schedule]
    torch.manual_seed(0)
    sigmas, times = known.draw(200, torch.device("cpu"))
    assert known.time_of(sigmas) == pytest.approx(times.float(), abs=0.02)
    if isinstance(known, Discrete):
        half = known.time_of((known.sigmas[7] * known.sigmas[8]).sqrt()[None])
        assert half.item() == pytest.approx(7.5, abs=1e-3)


# Choosing and revising -----------------------------------------------------------------------------------------------


def test_another_sampler_brings_its_settings_and_the_configured_one_keeps_its_own():
    configured, asked = partial(ddim, steps=30, spacing="log", eta=0.5), partial(ancestral, steps=250, spacing="time")
    same, other = partial(ddim, steps=50, spacing="time", eta=0.0), partial(euler, steps=None, spacing="time")
    assert chosen_sampler(configured, None, None).keywords == configured.keywords
    assert chosen_sampler(configured, same, None, steps=9).keywords == {"steps": 9, "spacing": "log", "eta": 0.5}
    assert chosen_sampler(configured, asked, None, spacing="log").keywords == {"steps": 250, "spacing": "log"}
    assert chosen_sampler(configured, asked, 20).keywords["steps"] == 20  # there are no more
    assert chosen_sampler(configured, other, 20).keywords["steps"] == 20
    assert chosen_sampler(configured, other, 20, steps=21).keywords["steps"] == 21  # typed: refused where it is used
    with pytest.raises(ConfigError, match="eta: ancestral has no such setting"):
        chosen_sampler(configured, asked, None, eta=0.5)


@pytest.mark.parametrize("name", SAMPLERS)
def test_what_is_kept_ends_exactly_where_it_is_known(name):
    known, anew = normal(3, 10), torch.zeros(3, 10)
    anew[:, 4:] = 1
    sigmas = evenly(20)
    denoise = revising.keeping(exact, known, anew)
    x = sampler(name)(denoise, lambda *_: (20 * normal(3, 10, seed=1), sigmas), generator())
    assert torch.equal(x[:, :4], known[:, :4])
    assert not torch.isclose(x[:, 4:], known[:, 4:]).any()


@pytest.mark.parametrize("times", [1, 4])
def test_repeated_steps_keep_the_distribution(times):
    sigmas = evenly(100)
    x = MEAN + normal(20_000) * math.sqrt(DEVIATION**2 + 400)
    x = revising.repeated(sampler("ancestral"), exact, x, sigmas, generator(), times)
    assert x.mean().item() == pytest.approx(MEAN, abs=0.005)
    assert x.std().item() == pytest.approx(DEVIATION, rel=0.08)  # of a coarse chain


def test_strength_is_the_share_of_noise_in_a_mixture():
    sigmas = spaced(SCHEDULES["log_normal"], 20, "karras")
    assert revising.from_level(sigmas, 1.0) == sigmas
    some = revising.from_level(sigmas, 0.6)
    assert some[0] == pytest.approx(1.5)
    assert some[1:] == [sigma for sigma in sigmas if sigma < 1.5]


def test_the_table_names_what_there_is():
    assert {load(target).__name__ for target in SAMPLERS.values()} == set(SAMPLERS)
