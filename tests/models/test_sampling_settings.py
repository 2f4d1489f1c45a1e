"""What `aigc sample` may ask of a diffusion model, and what it answers to what it cannot do."""

from __future__ import annotations

import pytest
import torch

from aigc_cli.composing.compose import compose
from aigc_cli.composing.parts import sampler_node
from aigc_cli.config import bind
from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Classes, DataSpec
from aigc_cli.models.diffusion import Diffusion

TINY = ["model.denoiser.width=8", "model.denoiser.multipliers=[1,1]", "model.denoiser.blocks=1",
        "model.denoiser.attention=[]", "model.noise.timesteps=20", "model.sampler.steps=5"]  # fmt: skip


def build(*overrides: str) -> Diffusion:
    torch.manual_seed(0)
    node = compose("train", ["model=ddpm", *TINY, *overrides]).config["model"]
    model = bind("models", node, "model")(DataSpec("image", (1, 8, 8), condition=Classes(("a", "b"))))
    with torch.no_grad():  # a fresh network predicts no noise at all
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


def passes(model: Diffusion, condition: torch.Tensor | None = None, **settings) -> list[int]:
    """Return the batch size of each pass through the network while two samples are drawn."""
    sizes: list[int] = []
    settings = with_node(settings)
    hook = model.denoiser.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    model.sample(2, condition, generator=torch.Generator().manual_seed(0), **settings)
    hook.remove()
    return sizes


def draw(model: Diffusion, seed: int = 0, **settings) -> torch.Tensor:
    latent = model.latent(2, generator=torch.Generator().manual_seed(3))
    return model.render(latent, None, generator=torch.Generator().manual_seed(seed), **with_node(settings))


def with_node(settings: dict) -> dict:
    """Name a sampler as the command line does: with the settings of its YAML."""
    if "sampler" not in settings:
        return settings
    return {**settings, "sampler": bind("samplers", sampler_node(settings["sampler"]), "sampler")}


def test_steps_are_passes_through_the_network():
    model = build()
    assert passes(model) == [2] * 5
    assert passes(model, steps=3) == [2] * 3
    assert passes(model, steps=20, sampler="ancestral") == [2] * 20
    assert passes(build("model.sampler.steps=null")) == [2] * 20


def test_only_true_guidance_costs_a_second_pass():
    model, labels = build("model.conditional=true"), torch.tensor([0, 1])
    assert passes(model, labels) == [2] * 5
    assert passes(model, labels, guidance=0.0) == [2] * 5
    assert passes(model, labels, guidance=3.0) == [4] * 5
    assert passes(build("model.conditional=true", "model.guidance=2"), labels) == [4] * 5


def test_ddim_is_a_function_of_the_latent_and_eta_adds_noise():
    model = build()
    assert torch.equal(draw(model, 0), draw(model, 1))
    assert not torch.equal(draw(model, 0, eta=1.0), draw(model, 1, eta=1.0))
    assert not torch.equal(draw(model, 0, sampler="ancestral"), draw(model, 1, sampler="ancestral"))


def test_going_over_to_ddim_means_no_noise():
    model = build("model/sampler=ancestral", "model.sampler.steps=5")
    assert not torch.equal(draw(model, 0), draw(model, 1))
    assert torch.equal(draw(model, 0, sampler="ddim"), draw(model, 1, sampler="ddim"))


@pytest.mark.parametrize(("settings", "said"), [
    ({"steps": 21}, "steps: given 21, allowed: 1 to 20"),
    ({"sampler": "ancestral", "eta": 0.5}, "sampler=ddim"),
])  # fmt: skip
def test_what_a_sampler_cannot_do_is_said(settings, said):
    with pytest.raises(ConfigError, match=said):
        draw(build(), **settings)


def test_guidance_needs_labels_that_were_hidden_in_training():
    model = build("model.conditional=true", "model.label_dropout=0")
    with pytest.raises(ConfigError, match="guidance=1"):
        passes(model, torch.tensor([0, 1]), guidance=2.0)
