"""pix2pix: the patches are of the paper's sizes, the noise is in the dropout, and pairs are learnt."""

from __future__ import annotations

import pytest
import torch

from aigc_cli.composing.compose import compose
from aigc_cli.config import bind
from aigc_cli.devices import Device
from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Batch, Classes, DataSpec, Shapes
from aigc_cli.networks.encoder_decoder import EncoderDecoder
from aigc_cli.networks.patch import RECEPTIVE, PatchCritic
from aigc_cli.trainer import Trainer


@pytest.mark.parametrize("halvings", range(5))
def test_a_logit_sees_a_patch_of_the_papers_size(halvings):
    side = max(48, 2 * RECEPTIVE[halvings])
    critic = PatchCritic(Shapes((1, side, side), ()), width=1, halvings=halvings, normalisation="none")
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.fill_(0.1)  # no weight hides a pixel
    x = torch.ones(1, 1, side, side, requires_grad=True)
    logits = critic(x)
    middle = logits.shape[1] // 2
    (gradient,) = torch.autograd.grad(logits[0, middle, middle], x)
    rows = gradient[0, 0].abs().sum(1).nonzero()
    assert int(rows.max() - rows.min()) + 1 == RECEPTIVE[halvings]


@pytest.mark.parametrize("doubling", ["transposed", "nearest"])
@pytest.mark.parametrize("side", [32, 48, 64, 256])
def test_the_generator_goes_down_as_far_as_it_can_and_back(side, doubling):
    shapes = Shapes((1, side, side), (3, side, side))
    network = EncoderDecoder(shapes, width=1, levels=None, dropout=0.5, doubling=doubling)
    assert network(torch.randn(2, 1, side, side)).shape == (2, 3, side, side)
    assert len(network.down) == {32: 5, 48: 4, 64: 6, 256: 8}[side]


def test_dropout_is_the_noise_of_sampling_and_nothing_else_is():
    for dropout, alike in ((0.5, False), (0.0, True)):
        shapes = Shapes((1, 16, 16), (1, 16, 16))
        network = EncoderDecoder(shapes, width=4, levels=None, dropout=dropout, doubling="transposed").eval()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(10)
        x = torch.randn(1, 1, 16, 16)
        one, other = (network(x, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
        assert torch.allclose(one, other) is alike


def paired(side: int = 16, channels: int = 1) -> DataSpec:
    return DataSpec("image", (1, side, side), condition=DataSpec("image", (channels, side, side)))


def composed(*overrides: str) -> dict:
    tiny = ["model.generator.width=8", "model.critic.width=8", "model.critic.halvings=2"]
    return compose("train", ["model=pix2pix", *tiny, *overrides]).config


def test_pairs_are_learnt():
    """Sources and their negatives: the distance to the target falls below that of the grey mean."""
    torch.manual_seed(0)
    config = composed("model.generator.dropout=0.0")
    model = bind("models", config["model"], "model")(paired())
    build = bind("optimizers", {k: v for k, v in config["optimizer"].items() if k != "phases"} | {"lr": 2e-3}, "")
    trainer = Trainer(model, {"critic": build, "generator": build}, lambda step: 1.0,
                      Device(torch.device("cpu"), "fp32"), seed=0, accumulate=1, clip=None, ema=0.0,
                      channels_last=False, cuda_graph=False,
                      compile=False)  # fmt: skip
    x = torch.randint(256, (8, 1, 4, 4), dtype=torch.uint8).repeat_interleave(4, 2).repeat_interleave(4, 3)
    for step in range(60):
        trainer.step(Batch(x, 255 - x, torch.tensor(step)))
    with trainer.sampling() as trained:
        made = trained.transform(255 - x, generator=torch.Generator())
    mean = x.float().mean()
    assert (made.float() - x.float()).abs().mean() < 0.5 * (x.float() - mean).abs().mean()


REFUSED = {
    "labels": (DataSpec("image", (1, 32, 32), condition=Classes(("a",))), [], "Type data=picture_pairs"),
    "nothing": (DataSpec("image", (1, 32, 32)), [], "Type data=picture_pairs"),
    "other sizes": (DataSpec("image", (1, 32, 32), condition=DataSpec("image", (1, 16, 16))), [],
                    "the pictures of a pair are of 16x16 and 32x32"),
    "odd": (paired(30), [], "sides that 4 divides. Type data.size=64"),
    "too deep": (paired(48), ["model.generator.levels=5"], "pictures of 1x48x48 halve 4 times. "
                 "Type model.generator.levels=4 or null"),
    "too wide patches": (paired(16), ["model.critic.halvings=4"], "pictures of 2x16x16 bear 2 (patches of 34 pixels)"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_data_and_sizes_that_do_not_suit_are_one_line(case):
    spec, overrides, said = REFUSED[case]
    with pytest.raises(ConfigError) as caught:
        bind("models", composed(*overrides)["model"], "model")(spec)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
