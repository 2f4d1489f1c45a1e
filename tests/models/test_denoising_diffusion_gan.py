"""The denoising diffusion GAN's steps are those of diffusion, whatever its generator guesses."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from aigc_cli.composing.compose import compose
from aigc_cli.config import bind
from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Batch, DataSpec, Shapes
from aigc_cli.models.denoising_diffusion_gan import DenoisingDiffusionGAN, alpha_bars_of

SPEC = DataSpec("image", (1, 8, 8))
SMALL = ["model.generator.width=8", "model.generator.multipliers=[1]", "model.generator.attention=[]",
         "model.critic.width=4", "model.critic.halvings=2"]  # fmt: skip


class Knows(nn.Module):
    """Guess what the data are: one value."""

    value = 0.5

    def forward(self, x: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        return torch.full_like(x, math.atanh(self.value))


def build(*words: str) -> DenoisingDiffusionGAN:
    node = compose("train", ["model=denoising_diffusion_gan", *SMALL, *words]).config["model"]
    return bind("models", node, "model")(SPEC)


def test_what_is_left_of_the_data_falls_to_next_to_nothing():
    for timesteps in (1, 2, 4, 8):
        alpha_bars = alpha_bars_of(timesteps)
        assert alpha_bars[0] == 1
        assert alpha_bars[-1].item() == pytest.approx(math.exp(-10.05))
        assert (alpha_bars.diff() < 0).all()


@pytest.mark.parametrize("timestep", [1, 2, 4])
def test_a_true_guess_makes_a_step_of_diffusion(timestep):
    """From q(x_t | data) it leads to q(x_{t-1} | data): mean and deviation are right to 0.02."""
    model = build()
    model.generator = Knows()  # type: ignore[assignment]
    torch.manual_seed(0)
    before, now = model.alpha_bars[timestep - 1], model.alpha_bars[timestep]
    later = now.sqrt() * 0.5 + (1 - now).sqrt() * torch.randn(200, 1, 8, 8)
    time = torch.full((200,), timestep)
    earlier = model._step(later, torch.zeros(200, 100), time, None, torch.randn_like(later))
    assert earlier.mean().item() == pytest.approx((before.sqrt() * 0.5).item(), abs=0.02)
    assert earlier.std().item() == pytest.approx((1 - before).sqrt().item(), abs=0.02)


def test_sampling_takes_so_many_steps_and_ends_at_the_guess():
    model = build("model.timesteps=3")
    model.generator = Knows()  # type: ignore[assignment]
    passes: list[int] = []
    model.generator.register_forward_hook(lambda *_: passes.append(1))
    made = model.sample(2, None, generator=torch.Generator().manual_seed(0))
    assert len(passes) == 3
    assert (made == SPEC.decode(torch.tensor(0.5))).all()


def test_real_pairs_are_two_neighbours_of_one_chain():
    model = build()
    torch.manual_seed(0)
    x = SPEC.decode(torch.full((4000, 1, 8, 8), 0.5))
    earlier, later, time = model._noised(Batch(x, None, torch.tensor(0)))
    for timestep in (1, 4):
        drawn = time == timestep
        before, now = model.alpha_bars[timestep - 1], model.alpha_bars[timestep]
        assert drawn.float().mean().item() == pytest.approx(0.25, abs=0.03)
        assert earlier[drawn].std().item() == pytest.approx((1 - before).sqrt().item(), abs=0.02)
        assert later[drawn].std().item() == pytest.approx((1 - now).sqrt().item(), abs=0.02)
        together = ((earlier - earlier[drawn].mean()) * (later - later[drawn].mean()))[drawn].mean()
        assert together.item() == pytest.approx(((now / before).sqrt() * (1 - before)).item(), abs=0.02)


def test_a_rare_penalty_is_as_much_stronger():
    rare, usual = build("model.penalty.every=10"), build("model.penalty.every=1")
    usual.load_state_dict(rare.state_dict())
    batch, losses = Batch(torch.randint(256, (4, 1, 8, 8)), None, torch.tensor(0)), []
    for model in (rare, usual):
        torch.manual_seed(0)
        losses.append(model.penalty_loss(batch)[0].item())
    assert losses[0] == pytest.approx(10 * losses[1], rel=1e-4)
    assert losses[0] > 0


@pytest.mark.parametrize(("judges", "shape"), [("picture", (3,)), ("patches", (3, 1, 2, 3))])
def test_a_critic_judges_the_whole_or_its_patches(judges, shape):
    node = compose("train", ["model=denoising_diffusion_gan", *SMALL, f"model.critic.judges={judges}"]).config["model"]
    critic = bind("networks", node["critic"], "model.critic")(Shapes((2, 8, 12), (), 4))
    assert critic(torch.randn(3, 2, 8, 12), torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0, 1, 3])).shape == shape


def test_sides_that_do_not_halve_are_refused():
    with pytest.raises(ConfigError, match=r"model.critic.halvings=3 or data.size=32"):
        build("model.critic.halvings=4")
