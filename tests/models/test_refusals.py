"""Models refuse data that they cannot learn, in a line that says what to type instead."""

from __future__ import annotations

import pytest
import torch

from aigc_cli.composing.compose import compose
from aigc_cli.config import bind
from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Classes, DataSpec, Model, Shapes
from aigc_cli.networks import NETWORKS, ROLES

DIGITS = Classes(tuple("0123456789"))


def build(*overrides: str, shape: tuple[int, ...] = (1, 32, 32), kind: str = "image", labels: bool = True) -> Model:
    spec = DataSpec(kind, shape, condition=DIGITS if labels else None)  # type: ignore[arg-type]
    node = compose("train", list(overrides)).config["model"]
    with torch.device("meta"):
        return bind("models", node, "model")(spec)


SMALL = ("model=ddpm", "model.denoiser.width=8", "model.denoiser.blocks=1")


@pytest.mark.parametrize(("overrides", "settings", "said"), [
    (["model=ddpm"], {"shape": (1, 16000), "kind": "audio"}, "Type model=audio_diffusion, or data.features=mel"),
    (["model=gan"], {"shape": (64,), "kind": "text"}, "given text data, allowed: image or audio"),
    (["model=dcgan"], {"shape": (1, 30, 30)}, "data.size=32"),
    (["model=dcgan"], {"shape": (3, 32, 64)}, "allowed: squares"),
    (["model=dcgan"], {"shape": (1, 16000), "kind": "audio"}, "sides such as 16, 28, 32"),
    (["model=vae_conv"], {"shape": (1, 30, 30)}, "divisible by 4"),
    (["model=vae_conv"], {"shape": (1, 16000), "kind": "audio"}, "model=vae"),
    (["model=ddpm"], {"shape": (1, 28, 28)}, r"model.denoiser.multipliers=\[1,2,2\]"),
    (["model=ddpm"], {"shape": (3, 33, 33)}, r"model.denoiser.multipliers=\[1\]"),
    (["model=ddpm", "model.denoiser.multipliers=[1,2,2]"], {"shape": (1, 28, 28)}, r"model.denoiser.attention=\[14\]"),
    (["model=ddpm"], {"shape": (3, 96, 96)}, "96, 48, 24, 12"),
    (["model=vqvae"], {"shape": (1, 30, 30)}, "Type data.size=32"),
    (["model=vqvae"], {"shape": (1, 16000), "kind": "audio"}, "given audio data, allowed: image"),
    (["model=vae", "model.halvings=2"], {"shape": (1, 30, 30)}, "model.halvings: 2 halvings are given data of 1x30x30"),
    (["model=super_resolution"], {"shape": (3, 33, 33)}, "data.size=34"),
    (["model=super_resolution", "model.scale=4"], {"shape": (3, 8, 8)}, "data.size=16"),
    (["model=vqvae_prior", "model.first_stage=null", "model.network.heads=3"], {}, "Type model.network.width=258"),
    (["model=ddpm", "model.conditional=true", "model.label_dropout=0", "model.guidance=2"], {}, "model.guidance=1"),
    *((([f"model={name}", "model.conditional=true"]), {"labels": False}, "model.conditional=false")
      for name in ("gan", "vae", "ddpm")),
])  # fmt: skip
def test_what_cannot_be_learnt_is_refused(overrides, settings, said):
    with pytest.raises(ConfigError, match=said) as caught:
        build(*overrides, **settings)
    assert str(caught.value).startswith("model")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("overrides", "said"), [
    (["model.denoiser.width=6"], "model.denoiser.width"),
    (["model.denoiser.multipliers=[]"], "model.denoiser.multipliers"),
    (["model.denoiser.dropout=1.0"], "model.denoiser.dropout"),
    (["model.noise.timesteps=1"], "model.noise.timesteps"),
    (["model.noise.name=cubic"], "model.noise.name"),
    (["model.parametrisation=x1"], "model.parametrisation"),
    (["model.sampler.eta=2"], "model.sampler.eta"),
    (["model.sampler.steps=0"], "model.sampler.steps"),
    (["model.sampler.name=eular"], "model.sampler.name"),
])  # fmt: skip
def test_settings_out_of_range_are_refused(overrides, said):
    with pytest.raises(ConfigError, match=said):
        build("model=ddpm", *overrides)


@pytest.mark.parametrize(("shape", "patch"), [((1, 28, 28), 2), ((3, 24, 12), 3)])
def test_a_unet_on_patches_keeps_the_pictures_shape(shape, patch):
    chosen = [
        *SMALL,
        f"model.denoiser.patch={patch}",
        "model.denoiser.multipliers=[1,2]",
        "model.denoiser.attention=[4]",
    ]
    node = compose("train", chosen).config["model"]["denoiser"]
    if shape[1] == 28:
        with pytest.raises(ConfigError, match=r"14, 7 pixels a side. Type model.denoiser.attention=\[7\]"):
            bind("networks", node, "model.denoiser")(Shapes(shape, shape))
        node["attention"] = [7]
    network = bind("networks", node, "model.denoiser")(Shapes(shape, shape))
    assert network(torch.zeros(2, *shape), torch.tensor([0, 5])).shape == (2, *shape)
    with pytest.raises(ConfigError, match=r"model.denoiser.patch: given 5"):
        bind("networks", {**node, "patch": 5}, "model.denoiser")(Shapes(shape, shape))


@pytest.mark.parametrize(("shape", "multipliers", "attention"), [
    ((1, 28, 28), "[1,2,2]", "[7]"), ((1, 28, 28), "[1,2,2]", "[]"), ((3, 96, 96), "[1,1,2]", "[24]"),
    ((3, 64, 96), "[1,2]", "[48]"), ((1, 15, 15), "[1]", "[15]"),
])  # fmt: skip
def test_a_unet_keeps_the_pictures_shape(shape, multipliers, attention):
    chosen = [*SMALL, f"model.denoiser.multipliers={multipliers}", f"model.denoiser.attention={attention}"]
    node = compose("train", chosen).config["model"]["denoiser"]
    network = bind("networks", node, "model.denoiser")(Shapes(shape, shape))
    assert network(torch.zeros(2, *shape), torch.tensor([0, 5])).shape == (2, *shape)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 12, 20)])
@pytest.mark.parametrize("normalisation", ["none", "group"])
def test_convolutional_autoencoders_keep_the_pictures_shape(shape, normalisation):
    chosen = [f"model.{part}.{setting}" for part in ("encoder", "decoder")
              for setting in ("width=4", f"normalisation={normalisation}")]  # fmt: skip
    spec = DataSpec("image", shape)
    model = bind("models", compose("train", ["model=vae_conv", *chosen]).config["model"], "model")(spec)
    assert model.reconstruct(torch.zeros(2, *shape, dtype=torch.uint8), None).shape == (2, *shape)


@pytest.mark.parametrize(("overrides", "said"), [
    (["model=gan", "model/network@model.critic=time_critic"], "model.critic: time_critic is no critic. Names: .*mlp"),
    (["model=ddpm", "model/network@model.denoiser=encoder_decoder"], "encoder_decoder is no denoiser. Names: .*dit"),
    (["model=autoencoder", "model/network@model.encoder=dcgan_critic"], "dcgan_critic is no encoder"),
    (["model=denoising_diffusion_gan", "model/network@model.generator=dit"], "dit is no denoiser with latents. Names"),
])  # fmt: skip
def test_a_network_in_a_role_that_it_cannot_play_is_answered_before_it_is_built(overrides, said):
    with pytest.raises(ConfigError, match=said):
        build(*overrides)


@pytest.mark.parametrize("name", ["dcgan_generator", "resnet_generator", "stylegan2_generator"])
def test_generators_that_begin_with_a_vector_do_not_decode_maps(name):
    with pytest.raises(ConfigError, match=f"{name} begins with a vector, given maps of 64x8x8. Choose residual_dec"):
        build("model=vqvae", f"model/network@model.decoder={name}")


def test_a_misspelt_network_is_answered_by_those_that_would_serve():
    node = compose("train", ["model=dcgan"]).config["model"]
    with pytest.raises(ConfigError, match=r"no 'dcgan_critik' among the networks. Did you mean 'dcgan_critic'") as told:
        bind("models", {**node, "critic": {"name": "dcgan_critik", "width": 8}}, "model")
    assert "dcgan_generator" not in str(told.value)


def test_every_network_says_what_it_serves_as():
    assert set(ROLES) == set(NETWORKS)
