"""Diffusion in the latent space of a first stage."""

from __future__ import annotations

import pytest
import torch

from aigc_cli.composing.compose import compose
from aigc_cli.config import bind
from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Batch, Classes, DataSpec
from aigc_cli.models.diffusion import Diffusion
from aigc_cli.models.latent_space import UnitVariance

SPEC = DataSpec("image", (1, 8, 8), condition=Classes(("a", "b")))
DIT = ["model.denoiser.width=16", "model.denoiser.depth=1", "model.denoiser.heads=2", "model.noise.timesteps=20",
       "model.sampler.steps=3"]  # fmt: skip
STAGES = {
    "vqvae": ["model.encoder.width=8", "model.decoder.width=8", "model.codes=16", "model.code_size=4"],
    "vae_map": ["model.encoder.width=8", "model.decoder.width=8"],
    "gan": [],
    "vae_conv": ["model.conditional=true", "model.halvings=0"],
}  # fmt: skip


def build(stage: str = "vqvae") -> Diffusion:
    torch.manual_seed(0)
    config = compose("train", ["model=latent_diffusion", "model.first_stage=trained", *DIT]).config["model"]
    first = compose("train", [f"model={stage}", *STAGES[stage]]).config["model"]
    return bind("models", {**config, "first_stage": first}, "model")(SPEC)


def test_the_first_batch_sets_the_scale_and_later_ones_do_not():
    space, latents = UnitVariance((3, 2, 2)), 5 + 4 * torch.randn(100, 3, 2, 2)
    space.fit(latents)
    scaled = space(latents)
    assert scaled.mean((0, 2, 3)) == pytest.approx(torch.zeros(3), abs=1e-5)
    assert scaled.std((0, 2, 3)) == pytest.approx(torch.ones(3), abs=1e-2)
    assert space.undo(scaled) == pytest.approx(latents, abs=1e-5)
    space.fit(7 * latents)
    assert torch.equal(space(latents), scaled)


@pytest.mark.parametrize("stage", ["vqvae", "vae_map"])
def test_pictures_come_from_latents_and_the_first_stage_stays_as_it_is(stage):
    model = build(stage)
    before = {key: value.clone() for key, value in model.first_stage.state_dict().items()}  # type: ignore[union-attr]
    loss, _ = model.loss(Batch(torch.randint(256, (4, 1, 8, 8), dtype=torch.uint8), None, torch.tensor(0)))
    loss.backward()
    assert model.latent(2, generator=torch.Generator()).shape == (2, 4, 2, 2)
    assert all(torch.equal(value, before[key]) for key, value in model.first_stage.state_dict().items())  # type: ignore[union-attr]
    made = model.sample(2, None, generator=torch.Generator().manual_seed(0))
    assert made.shape == (2, 1, 8, 8)
    assert made.dtype == torch.uint8


def test_it_claims_neither_bounds_nor_kept_pixels():
    model = build()
    assert model.bound_names == ()
    assert not model.keeps


def test_a_first_stage_without_a_latent_space_is_refused():
    with pytest.raises(ConfigError, match=r"has no latent space\. Train another \(aigc train model=vqvae\)"):
        build("gan")


def test_a_first_stage_by_label_asks_for_labels():
    with pytest.raises(ConfigError, match=r"Type model\.conditional=true"):
        build("vae_conv")
