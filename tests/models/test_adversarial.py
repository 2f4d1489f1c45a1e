"""Games between networks: penalties, augmentations and style-based networks keep what their papers promise."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from aigc_cli.composing.compose import compose
from aigc_cli.config import bind
from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Batch, Classes, DataSpec, Shapes
from aigc_cli.models import augmentations, penalties
from aigc_cli.models.adversarial import Wasserstein
from aigc_cli.models.path_length import PathLength
from aigc_cli.networks import dcgan, resnet, stylegan2, stylegan2_critic
from aigc_cli.networks.labels import ConditionalBatchNorm, Projection
from aigc_cli.networks.normalisation import SpectralNorm

SPEC = DataSpec("image", (1, 16, 16), 256, Classes(("zero", "one", "two")))
SMALL = ["model.generator.width=4", "model.critic.width=4"]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=generator(seed))


def build(*words: str, spec: DataSpec = SPEC):
    torch.manual_seed(0)
    return bind("models", compose("train", [*words]).config["model"], "model")(spec)


# Losses and penalties ------------------------------------------------------------------------------------------------


def test_wasserstein_is_a_difference_of_means():
    loss = Wasserstein()
    assert loss.critic(torch.tensor([3.0, 5.0]), torch.tensor([1.0, 1.0])).item() == -3
    assert loss.generator(torch.tensor([1.0, 3.0])).item() == -2


@pytest.mark.parametrize(("slope", "expected"), [(1.0, 0.0), (3.0, 40.0)])
def test_the_gradient_penalty_holds_slopes_at_one(slope, expected):
    weight = F.normalize(normal(12), dim=0) * slope
    penalty = penalties.GradientPenalty(weight=10.0)
    value = penalty.loss(lambda x: x.flatten(1) @ weight, normal(5, 3, 2, 2), normal(5, 3, 2, 2, seed=1))
    assert value.item() == pytest.approx(expected, abs=1e-4)


def test_a_picture_judged_in_patches_is_penalised_as_one_judged_as_a_whole():
    x, r1 = normal(5, 1, 4, 4), penalties.R1(weight=1.0, every=1)
    whole, patches = (r1.loss(critic, x, x) for critic in (lambda x: x.square().mean((1, 2, 3)), lambda x: x.square()))
    assert patches.item() == pytest.approx(whole.item(), rel=1e-6)


def test_the_gradient_penalty_looks_between_real_and_generated():
    seen = []

    def critic(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.detach())
        return x.flatten(1).sum(1)

    penalties.GradientPenalty(weight=1.0).loss(critic, torch.ones(64, 1, 2, 2), torch.zeros(64, 1, 2, 2))
    (x,) = seen
    assert 0 < x.min() < x.max() < 1
    assert torch.equal(x[:, 0, 0, 0], x[:, 0, 1, 1])  # one share a sample


def test_a_lazy_r1_weighs_as_many_times_more():
    critic, x = (lambda x: x.square().flatten(1).sum(1)), normal(4, 1, 2, 2)
    often, lazy = (penalties.R1(weight=2.0, every=every).loss(critic, x, x).item() for every in (1, 16))
    assert lazy == pytest.approx(16 * often)


def test_a_lazy_r1_runs_on_its_own_steps_with_the_critics_optimizer():
    model = build("model=dcgan", *SMALL, "model/penalty=r1", "model.penalty.every=4")
    phases = {phase.name: phase for phase in model.phases()}
    assert list(phases) == ["critic", "penalty", "generator"]
    assert phases["penalty"].every == 4
    assert phases["penalty"].optimizer == "critic"


def test_clipping_holds_every_weight_of_the_critic():
    model = build("model=wgan", *SMALL)
    x = torch.randint(256, (4, 1, 16, 16), dtype=torch.uint8, generator=generator())
    critic = model.phases()[0]
    with torch.no_grad():
        critic.after(Batch(x, None, torch.tensor(0)))
    assert max(float(p.detach().abs().max()) for p in model.critic.parameters()) == pytest.approx(0.01)
    assert max(float(p.detach().abs().max()) for p in model.generator.parameters()) > 0.01


# Augmentations -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("height", [16, 24])
def test_diffaugment_changes_each_picture_and_lets_gradients_through(channels, height):
    augment = augmentations.DiffAugment(policy=["colour", "translation", "cutout"])
    x = normal(8, channels, height, 16).requires_grad_()
    (changed,) = augment(x)
    assert changed.shape == x.shape
    assert not any(torch.equal(one, other) for one, other in zip(x, changed, strict=True))
    (gradient,) = torch.autograd.grad(changed.square().sum(), x)
    assert (gradient != 0).any(dim=(1, 2, 3)).all()


def test_translation_moves_whole_pixels_by_an_eighth_at_most():
    x = torch.zeros(64, 1, 16, 16)
    x[:, :, 8, 8] = 1
    (moved,) = augmentations.translation(x)
    assert (moved.sum([1, 2, 3]) == 1).all()
    places = moved.flatten(1).argmax(1)
    rows, columns = places // 16, places % 16
    assert set(rows.tolist()) == set(columns.tolist()) == set(range(6, 11))


def test_cutout_blanks_half_the_sides_where_it_lies_inside():
    blank = (augmentations.cutout(torch.ones(256, 1, 16, 16))[0] == 0).sum([1, 2, 3])
    assert blank.max() == 64
    assert blank.min() >= 16  # a corner


def adaptive(**changes) -> augmentations.AdaptiveAugmentation:
    return augmentations.AdaptiveAugmentation(**{"target": 0.6, "images": 100, "flips": True, "turns": True, **changes})


def test_ada_begins_with_pictures_as_they_are():
    x = normal(4, 3, 16, 16)
    assert torch.allclose(adaptive()(x)[0], x, atol=1e-5)


@pytest.mark.parametrize("shape", [(8, 1, 16, 16), (8, 3, 12, 20)])
def test_ada_changes_pictures_as_often_as_it_says(shape):
    augment = adaptive(turns=False, flips=False)
    augment.probability.fill_(0.8)
    x = normal(*shape).requires_grad_()
    (changed,) = augment(x)
    assert changed.shape == x.shape
    assert changed.isfinite().all()
    (gradient,) = torch.autograd.grad(changed.sum(), x)
    assert gradient.isfinite().all()
    augment.probability.fill_(0.05)
    many = normal(400, 1, 4, 4)
    same = (augment(many)[0] - many).abs().amax(dim=(1, 2, 3)) < 1e-4
    assert 0.6 < same.float().mean() < 0.85  # 0.95 to the power of its six changes, one of them of no effect here


@pytest.mark.parametrize("kind", ["adaptive", "diffaugment"])
def test_pictures_that_belong_together_change_alike(kind):
    augment = (
        adaptive() if kind == "adaptive" else augmentations.DiffAugment(policy=["colour", "translation", "cutout"])
    )
    if kind == "adaptive":
        augment.probability.fill_(0.8)  # type: ignore[union-attr]
    x, other = normal(16, 3, 16, 16), normal(16, 3, 16, 16, seed=1)
    first, between, again = augment(x, other, x)
    assert torch.allclose(first, again, atol=1e-5)
    assert not torch.allclose(first, x)
    assert not torch.allclose(first, between)
    alone = torch.autograd.grad(augment(other, x.requires_grad_())[0].sum(), x, allow_unused=True)[0]
    assert alone is None or not alone.any()  # nothing of one picture gets into another


GAMES = {
    "gan": (["model=dcgan", *SMALL], 2),
    "vae_gan": (["model=vae_gan", *SMALL[1:], "model.encoder.width=4", "model.decoder.width=4"], 3),
    "pix2pix": (["model=pix2pix", *SMALL, "model.critic.halvings=2"], 2),
    "denoising_diffusion_gan": (
        ["model=denoising_diffusion_gan", "model.generator.width=8", "model.generator.multipliers=[1]",
         "model.generator.blocks=1", "model.generator.attention=[]", "model.generator.patch=2", "model.critic.width=4",
         "model.critic.halvings=2"], 2),
}  # fmt: skip
HELP = ["model/penalty=r1", "model/penalty=gradient", "model/penalty=clip", "model/augmentation=adaptive",
        "model/augmentation=diffaugment", "model/loss=hinge", "model/loss=wasserstein"]  # fmt: skip


@pytest.mark.parametrize("help_", HELP)
@pytest.mark.parametrize("game", GAMES)
def test_any_game_takes_any_help(game, help_):
    words, updates = GAMES[game]
    spec = SPEC if game != "pix2pix" else DataSpec("image", (3, 16, 16), 256, DataSpec("image", (1, 16, 16)))
    model = build(*words, help_, "model.critic_steps=3", spec=spec)
    condition = torch.zeros(4, dtype=torch.long) if game != "pix2pix" else torch.randint(256, (4, 1, 16, 16)).byte()
    batch = Batch(torch.randint(256, (4, *spec.shape)).byte(), condition, torch.tensor(0))
    phases = {phase.name: phase for phase in model.phases()}
    assert len(phases) == updates + ("penalty" in phases)
    assert [phase.every for name, phase in phases.items() if name not in ("critic", "penalty")] == [3] * (updates - 1)
    for phase in phases.values():
        loss, logs = phase.loss(batch)
        gradients = torch.autograd.grad(loss, phase.params, allow_unused=True)
        assert any(each is not None and each.any() for each in gradients)
        assert all(value.isfinite() for value in logs.values())
        with torch.no_grad():
            phase.after(batch)
    if "clip" in help_:
        assert max(float(p.detach().abs().max()) for p in model.critic.parameters()) <= 0.0101
    if "adaptive" in help_:
        assert "augmented" in phases["critic"].loss(batch)[1]


def test_a_lazy_penalty_of_pairs_weighs_as_many_times_more_as_of_others():
    spec = DataSpec("image", (1, 16, 16), 256, DataSpec("image", (1, 16, 16)))
    batch = Batch(*(torch.randint(256, (4, 1, 16, 16), generator=generator(s)).byte() for s in (0, 1)), torch.tensor(0))
    words = ["model=pix2pix", *SMALL, "model.critic.halvings=2", "model/penalty=r1"]
    model = build(*words, "model.penalty.every=1", spec=spec)
    source, target = model._signals(batch)
    at_once = model.penalty.loss(lambda x: model._judge(source, x), target, target) / 2  # as in the loss, which is half
    lazy = build(*words, "model.penalty.every=16", spec=spec)
    assert lazy.penalty_loss(batch)[0].item() == pytest.approx(16 * at_once.item(), rel=1e-5)


def test_ada_turns_keep_a_pictures_centre():
    augment = adaptive(flips=False)
    augment.probability.fill_(0.8)
    x = torch.zeros(64, 1, 17, 17)
    x[:, :, 8, 8] = 1
    grid = F.affine_grid(
        torch.cat(
            [augmentations.turned(torch.eye(2).expand(64, 2, 2), torch.rand(64) * 6, 1.0), torch.zeros(64, 2, 1)], 2
        ),
        [64, 1, 17, 17],
        align_corners=False,
    )
    assert torch.allclose(F.grid_sample(x, grid, align_corners=False)[:, 0, 8, 8], torch.ones(64), atol=1e-5)


@pytest.mark.parametrize(("logit", "expected"), [(1.0, 0.4), (-1.0, 0.0)])
def test_ada_rises_while_the_critic_is_sure_and_falls_while_it_is_not(logit, expected):
    augment = adaptive()
    for _ in range(8):  # three fill the moving average, five move by 8 in 100
        augment.advance()
        augment.observe(torch.full((8,), logit))
        augment.adapt()
    assert augment.probability.item() == pytest.approx(expected, abs=1e-6)
    for _ in range(100):
        augment.advance()
        augment.observe(torch.full((8,), logit))
        augment.adapt()
    assert augment.probability.item() == pytest.approx(augmentations.MOST_OFTEN if logit > 0 else 0)


def test_the_critic_sees_real_and_generated_pictures_augmented_alike(monkeypatch):
    model = build("model=dcgan", *SMALL, "model/augmentation=adaptive")
    seen = []
    forward = type(model.augmentation).forward
    monkeypatch.setattr(type(model.augmentation), "forward", lambda self, x: seen.append(len(x)) or forward(self, x))
    x = torch.randint(256, (4, 1, 16, 16), dtype=torch.uint8, generator=generator())
    batch = Batch(x, None, torch.tensor(0))
    _, logs = model.critic_loss(batch)
    model.generator_loss(batch)
    assert seen == [4, 4, 4]
    assert logs["augmented"] == 0


def test_augmentations_are_for_pictures():
    with pytest.raises(ConfigError, match="model/augmentation=none"):
        build("model=gan", "model.conditional=false", "model/augmentation=diffaugment", spec=DataSpec("audio", (1, 64)))


# Networks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("critic", [dcgan.Critic, resnet.Critic])
def test_a_spectral_norm_makes_the_largest_singular_value_one(critic):
    torch.manual_seed(0)
    settings = {"normalisation": "none", "label": "maps"} if critic is dcgan.Critic else {"widest": 4}
    network = critic(Shapes((1, 16, 16), ()), width=4, spectral_norm=True, **settings)
    layers = [module for module in network.modules() if isinstance(module, SpectralNorm)]
    for _ in range(30):  # one power iteration an update, however many passes it takes
        for layer in layers:
            layer.advance()
        network(normal(2, 1, 16, 16))
        before = [layer._u.clone() for layer in layers]
        network(normal(2, 1, 16, 16))
        assert all(torch.equal(layer._u, u) for layer, u in zip(layers, before, strict=True))
    weights = [module.weight.detach().flatten(1) for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert len(weights) > 2
    for weight in weights:
        assert torch.linalg.matrix_norm(weight, 2).item() == pytest.approx(1, abs=0.05)


def test_projection_is_an_inner_product_with_the_labels_embedding():
    projection = Projection(3, 2)
    features = normal(2, 3)
    expected = (features * projection.embedding.weight[[1, 0]]).sum(1)
    assert torch.equal(projection(features, torch.tensor([1, 0])), expected)


def test_each_label_has_its_own_scale_and_bias():
    norm = ConditionalBatchNorm(2, 3)
    with torch.no_grad():
        norm.scale.weight[1] = 5
        norm.bias.weight[2] = 7
    x = normal(6, 2, 4, 4)
    plain = nn.BatchNorm2d(2, affine=False)(x)
    out = norm(x, torch.tensor([0, 1, 2, 0, 1, 2]))
    assert torch.allclose(out[0], plain[0], atol=1e-6)
    assert torch.allclose(out[1], 5 * plain[1], atol=1e-5)
    assert torch.allclose(out[2], plain[2] + 7, atol=1e-5)


def test_scaling_channels_equals_modulating_weights():
    """arXiv:1912.04958, Eq. 1 and 3, as written there: one convolution for each sample."""
    torch.manual_seed(0)
    layer = stylegan2.Modulated(3, 5, 4, 3, demodulate=True, double=False)
    x, style = normal(2, 3, 8, 8), normal(2, 4, seed=1)
    scales = layer.affine(style)
    for index in range(2):
        weight = layer.weight * layer.scale * scales[index][None, :, None, None]
        weight = weight / (weight.square().sum([1, 2, 3], keepdim=True) + 1e-8).sqrt()
        expected = F.conv2d(x[index : index + 1], weight, padding=1)
        assert torch.allclose(layer(x, style)[index : index + 1], expected, atol=1e-5)


def test_smoothing_keeps_even_areas_and_halving_and_doubling_fit():
    assert torch.allclose(stylegan2.smoothed(torch.ones(1, 2, 8, 8), 0), torch.ones(1, 2, 5, 5))
    assert stylegan2.Convolution(2, 3, 3, halve=True)(normal(1, 2, 14, 14)).shape == (1, 3, 7, 7)
    assert stylegan2.Convolution(2, 3, 1, halve=True)(normal(1, 2, 14, 14)).shape == (1, 3, 7, 7)
    assert stylegan2.Modulated(2, 3, 4, 3, demodulate=False, double=True)(normal(1, 2, 7, 7), normal(1, 4)).shape == (
        1,
        3,
        14,
        14,
    )


def test_the_critic_compares_samples_of_its_batch():
    x = normal(1, 4, 4, 4).expand(8, -1, -1, -1)
    assert stylegan2_critic.compared(x)[:, -1].max() < 1e-3
    assert stylegan2_critic.compared(normal(8, 4, 4, 4))[:, -1].min() > 0.5


def styled() -> stylegan2.Generator:
    torch.manual_seed(0)
    return stylegan2.Generator(Shapes((8,), (1, 16, 16)), width=4, most=8, style=8, depth=2, mixing=0.9)


def test_truncation_draws_styles_towards_their_mean():
    network = styled()
    for seed in range(50):
        network(normal(16, 8, seed=seed))
    network.eval()
    whole, half, none = (network.styles(normal(4, 8), None, share) for share in (1.0, 0.5, 0.0))
    assert torch.allclose(half, (whole + network.mean) / 2, atol=1e-5)
    assert torch.allclose(none, network.mean.expand_as(none), atol=1e-6)


def test_truncation_is_a_setting_of_sampling():
    model = build(
        "model=stylegan2", "model.latent=8", *SMALL, "model.generator.style=8", "model.generator.depth=2"
    ).eval()
    one = model.sample(3, None, generator=generator(), truncation=0.0)
    assert torch.equal(one[0], one[1])
    assert not torch.equal(model.sample(3, None, generator=generator(), truncation=0.7), one)
    plain = build("model=dcgan", *SMALL).eval()
    assert torch.equal(*plain.sample(2, None, generator=generator(), truncation=0.0))


def test_mixed_styles_are_of_two_latents():
    network = styled()
    styles, others = torch.zeros(400, 5, 8), torch.ones(400, 5, 8)
    mixed = network._mixed(styles, others)[:, :, 0]
    assert (mixed[:, 0] == 0).all()
    assert (mixed.diff(dim=1) >= 0).all()  # one crossing
    assert 0.85 < (mixed[:, -1] == 1).float().mean() < 0.95


class Isometry(nn.Module):
    """Pictures that are the styles themselves, times a factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def styles(self, latent, condition, truncation):
        return latent[:, None].expand(-1, 1, -1)

    def synthesise(self, styles):
        return self.factor * styles.reshape(len(styles), 1, 8, 8)


def test_path_lengths_of_an_isometry_are_its_factor():
    torch.manual_seed(0)
    penalty = PathLength(weight=2.0, every=4, decay=0.01, share=1.0)
    loss, mean = penalty.loss(Isometry(3.0), normal(512, 64).requires_grad_(), None)
    # |J^T y| = 3 |y|, and y is as long as the root of its number of pixels over that of their area: 1 on average
    assert mean.item() == pytest.approx(3, abs=0.05)
    assert loss.item() < 1  # from the first step on it only asks for equal lengths
    penalty.settle()
    assert (penalty.sum / penalty.weight_of_sum).item() == pytest.approx(mean.item())


def test_path_length_is_for_styles():
    with pytest.raises(ConfigError, match="model/regulariser=none"):
        build("model=dcgan", *SMALL, "model/regulariser=path_length")


def test_vae_gan_needs_a_critic_that_shows_features():
    with pytest.raises(ConfigError, match="dcgan_critic"):
        build("model=vae_gan", "model/network@model.critic=mlp_critic")


def test_ada_knows_where_each_loss_cannot_tell():
    """A least-squares critic that cannot tell says a half: no reason to augment."""
    model = build("model=lsgan", *SMALL, "model/augmentation=adaptive")
    with torch.no_grad():
        model.critic.layers[-1].weight.zero_()
    model.critic.forward = lambda x, condition=None: torch.full((len(x),), 0.45)  # type: ignore[method-assign]
    x = torch.randint(256, (4, 1, 16, 16), dtype=torch.uint8, generator=generator())
    batch = Batch(x, None, torch.tensor(0))
    for _ in range(20):
        model.augmentation.advance()
        model.critic_loss(batch)
        model.augmentation.adapt()
    assert model.augmentation.probability == 0


def test_ada_refuses_scores_without_a_middle():
    with pytest.raises(ConfigError, match="model/augmentation=diffaugment"):
        build("model=wgan_gp", *SMALL, "model/augmentation=adaptive")
