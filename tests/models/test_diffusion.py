"""What is proven on paper of diffusion holds in code: schedules, parametrisations, weights, guidance."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from aigc_cli.interfaces import Batch, Classes, DataSpec, Shapes
from aigc_cli.models import noise_schedules
from aigc_cli.models.diffusion import Diffusion
from aigc_cli.models.guidance import guided, hide_some
from aigc_cli.models.noise_schedules import Flow, LogNormal
from aigc_cli.models.parametrisations import PARAMETRISATIONS, WEIGHTINGS
from aigc_cli.samplers.first_order import ddim

DISCRETE = ("linear", "cosine", "sigmoid")
LABELLED = DataSpec("image", (1, 8, 8), condition=Classes(("a", "b", "c")))


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def alpha_bars_of(name: str, timesteps: int) -> torch.Tensor:
    return 1 / (1 + getattr(noise_schedules, name)(timesteps=timesteps).table().square())


@pytest.mark.parametrize("name", DISCRETE)
@pytest.mark.parametrize("timesteps", [2, 10, 1000, 4000])
def test_schedules_go_from_data_to_noise(name, timesteps):
    alpha_bars = alpha_bars_of(name, timesteps)
    assert alpha_bars.shape == (timesteps,)
    assert (alpha_bars.diff() < 0).all()
    assert 0 < alpha_bars[-1] < 0.01
    assert alpha_bars[0] < 1


def test_schedules_end_where_their_papers_say():
    linear, cosine, sigmoid = (alpha_bars_of(name, 1000) for name in DISCRETE)
    assert linear[0].item() == pytest.approx(1 - 1e-4, abs=1e-7)
    assert linear[-1].item() == pytest.approx(4.04e-5, rel=0.01)
    assert cosine[0].item() == pytest.approx(1 - 4.13e-5, abs=1e-6)
    assert cosine[499].item() == pytest.approx(math.cos((0.5 + 0.008) / 1.008 * math.pi / 2) ** 2
                                              / math.cos(0.008 / 1.008 * math.pi / 2) ** 2, rel=1e-4)  # fmt: skip
    assert cosine[-1] < 1e-6
    assert sigmoid[499].item() == pytest.approx(0.5, abs=1e-6)


def test_edm_draws_its_levels_log_normally():
    torch.manual_seed(0)
    sigmas, times = LogNormal(mean=-1.2, deviation=1.2).draw(40_000, torch.device("cpu"))
    assert sigmas.log().mean().item() == pytest.approx(-1.2, abs=0.02)
    assert sigmas.log().std().item() == pytest.approx(1.2, abs=0.02)
    assert torch.equal(times, 100 * sigmas.log())


@pytest.mark.parametrize(("times", "quartile"), [("uniform", 0.25), ("logit_normal", 1 / (1 + math.exp(0.6745)))])
def test_a_flow_draws_its_times_as_asked(times, quartile):
    torch.manual_seed(0)
    sigmas, told = Flow(times=times).draw(40_000, torch.device("cpu"))
    time = sigmas / (1 + sigmas)
    assert told == pytest.approx(1000 * time, rel=1e-3)
    assert time.quantile(0.5).item() == pytest.approx(0.5, abs=0.01)
    assert time.quantile(0.25).item() == pytest.approx(quartile, abs=0.01)
    assert sigmas.isfinite().all()


@pytest.mark.parametrize("name", PARAMETRISATIONS)
@pytest.mark.parametrize("level", [1e-3, 0.1, 1.0, 10.0, 1e3])
def test_the_true_answer_means_the_data(name, level):
    clean, epsilon, sigma = normal(4, 3), normal(4, 3, seed=1), torch.full((4, 1), level)
    scales = PARAMETRISATIONS[name](sigma)
    x = clean + sigma * epsilon
    tolerance = 1e-4 + 1e-6 * level
    assert scales.clean(x, scales.answer(clean, epsilon, sigma)) == pytest.approx(clean, abs=tolerance)


@pytest.mark.parametrize("level", [0.01, 0.5, 1.0, 30.0])
def test_answers_are_what_their_papers_say(level):
    clean, epsilon, sigma = normal(4, 3), normal(4, 3, seed=1), torch.full((4, 1), level)
    alpha, spread = 1 / math.sqrt(1 + level**2), level / math.sqrt(1 + level**2)
    answers = {name: chosen(sigma).answer(clean, epsilon, sigma) for name, chosen in PARAMETRISATIONS.items()}
    assert torch.equal(answers["epsilon"], epsilon)
    assert torch.equal(answers["x0"], clean)
    assert answers["v"] == pytest.approx(alpha * epsilon - spread * clean, abs=1e-4)
    assert answers["flow"] == pytest.approx(epsilon - clean, abs=1e-3)
    root = math.sqrt(level**2 + 0.25)
    assert answers["edm"] == pytest.approx((clean * level / 0.5 - epsilon * 0.5) / root, abs=1e-4)


def test_edm_keeps_inputs_and_answers_at_unit_variance():
    clean, epsilon = 0.5 * normal(100_000, 1), normal(100_000, 1, seed=1)
    for level in (0.01, 0.5, 20.0):
        sigma = torch.full((100_000, 1), level)
        scales = PARAMETRISATIONS["edm"](sigma)
        assert (scales.input * (clean + sigma * epsilon)).std().item() == pytest.approx(1, abs=0.01)
        assert scales.answer(clean, epsilon, sigma).std().item() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("level", [0.1, 0.4, 1.0, 7.0])
def test_weights_are_those_of_min_snr(level):
    """arXiv:2303.09556, Section 3.4, for each parametrisation; EDM's own weights are even ones of its answers."""
    sigma, ratio = torch.tensor([level]), level**-2
    weights = {name: WEIGHTINGS["min_snr"](sigma, chosen(sigma).output).item()
               for name, chosen in PARAMETRISATIONS.items()}  # fmt: skip
    assert weights["x0"] == pytest.approx(min(ratio, 5))
    assert weights["epsilon"] == pytest.approx(min(ratio, 5) / ratio)
    assert weights["v"] == pytest.approx(min(ratio, 5) / (ratio + 1))
    edm = PARAMETRISATIONS["edm"](sigma).output.item() ** -2
    assert edm == pytest.approx((level**2 + 0.25) / (level * 0.5) ** 2, rel=1e-5)  # arXiv:2206.00364, Table 1


class PredictsItsLabel(nn.Module):
    """Predict a constant noise for label 1, another for the label that means none."""

    none, labelled = 0.3, 0.7

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        assert shapes.condition == 4  # three classes and none
        self.noises = nn.Parameter(torch.tensor([9.0, self.labelled, 9.0, self.none]))

    def forward(self, x: torch.Tensor, time: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        return self.noises[condition][:, None, None, None].expand_as(x)


def labelled_diffusion(guidance: float) -> Diffusion:
    noise = functools.partial(noise_schedules.linear, timesteps=10)
    sampler = functools.partial(ddim, steps=2, spacing="time", eta=0.0)
    return Diffusion(LABELLED, conditional=True, first_stage=None, noise=noise, parametrisation="epsilon",
                     weighting="even", self_conditioning=False, clip=True, label_dropout=0.25, guidance=guidance,
                     denoiser=PredictsItsLabel, sampler=sampler)  # fmt: skip


def noise_seen(guidance: float) -> float:
    """Return the noise that is predicted for label 1."""
    denoise = guided(labelled_diffusion(1.0).denoiser, torch.tensor([1, 1]), 3, guidance)
    return float(denoise(torch.zeros(2, 1, 8, 8), torch.tensor([5, 5])).detach().mean())


def test_guidance_goes_from_no_label_over_the_label_beyond_it():
    none, labelled = PredictsItsLabel.none, PredictsItsLabel.labelled
    predicted = {g: noise_seen(g) for g in (0.0, 0.5, 1.0, 3.0)}
    assert predicted == pytest.approx(
        {0.0: none, 0.5: (none + labelled) / 2, 1.0: labelled, 3.0: 3 * labelled - 2 * none}
    )


def test_training_hides_the_stated_share_of_labels():
    labels = torch.arange(40_000) % 3
    torch.manual_seed(0)
    told = hide_some(labels, 0.25, 3)
    assert (told == 3).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert torch.equal(told[told != 3], labels[told != 3])


def test_the_loss_of_a_constant_answer_is_its_mean_squared_error():
    """The random numbers are drawn in the order of DDPM's Algorithm 1: levels, noise, hidden labels."""
    model, batch = (
        labelled_diffusion(1.0),
        Batch(torch.full((4, 1, 8, 8), 7), torch.tensor([1, 1, 2, 0]), torch.tensor(0)),
    )
    torch.manual_seed(5)
    loss, _ = model.loss(batch)
    torch.manual_seed(5)
    torch.randint(10, (4,))
    epsilon = torch.randn(4, 1, 8, 8)
    told = hide_some(torch.tensor([1, 1, 2, 0]), 0.25, 3)
    assert loss.item() == pytest.approx(F.mse_loss(model.denoiser.noises[told][:, None, None, None].expand_as(epsilon),
                                                   epsilon).item(), rel=1e-5)  # fmt: skip


class Remembers(nn.Module):
    """Answer half of the guess that it is shown, or a constant where there is none."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        assert shapes.input == (2, 8, 8)
        self.first = nn.Parameter(torch.tensor(0.8))
        self.seen: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor, time: torch.Tensor, condition: None = None) -> torch.Tensor:
        self.seen.append(x[:, 1:].detach())
        return self.first + x[:, 1:] / 2


def test_self_conditioning_shows_the_last_guess():
    """Half of a batch in training; in sampling, each step the one before: arXiv:2208.04202, Algorithm 1."""
    model = Diffusion(DataSpec("image", (1, 8, 8)), conditional=False, first_stage=None, parametrisation="x0",
                      weighting="even", noise=functools.partial(LogNormal, mean=-1.2, deviation=1.2),
                      self_conditioning=True, clip=True,
                      label_dropout=0.0, guidance=1.0, denoiser=Remembers,
                      sampler=functools.partial(ddim, steps=3, spacing="time", eta=0.0))  # fmt: skip
    loss, _ = model.loss(Batch(torch.full((4, 1, 8, 8), 7), None, torch.tensor(0)))
    loss.backward()
    first, second = model.denoiser.seen
    assert first.shape[0] == 2
    assert not first.any()
    assert torch.equal(second[:, 0, 0, 0], torch.tensor([0.8, 0.8, 0.0, 0.0]))
    model.denoiser.seen.clear()
    model.sample(2, None, generator=torch.Generator().manual_seed(0))
    assert [guess.mean().item() for guess in model.denoiser.seen] == pytest.approx([0.0, 0.8, 1.0])  # clipped
