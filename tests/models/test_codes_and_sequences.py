"""Codebooks, transformers, corruptions, free bits and enlargements do what their equations say."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.nn import functional as F

from aigc_cli.composing.compose import compose
from aigc_cli.config import bind
from aigc_cli.interfaces import Batch, DataSpec, Model, Shapes
from aigc_cli.models.autoregressive import draw
from aigc_cli.models.codebook import Codebook
from aigc_cli.models.corruptions import gaussian, masking, salt_and_pepper
from aigc_cli.models.vae import kl_of_each
from aigc_cli.networks.transformer import Transformer

SMALL = {"vqvae": ["model.encoder.width=4", "model.decoder.width=4", "model.codes=8", "model.code_size=4"]}


def build(preset: str, *overrides: str, shape: tuple[int, ...] = (1, 8, 8)) -> Model:
    torch.manual_seed(0)
    node = compose("train", [f"model={preset}", *SMALL.get(preset, []), *overrides]).config["model"]
    return bind("models", node, "model")(DataSpec("image", shape))


def batch(step: int, n: int = 6, side: int = 8) -> Batch:
    generator = torch.Generator().manual_seed(step)
    x = torch.randint(256, (n, 1, side, side), generator=generator, dtype=torch.uint8)
    return Batch(x, None, torch.tensor(step))


# The codebook ---------------------------------------------------------------------------------------------------------


def test_the_nearest_code_is_chosen():
    torch.manual_seed(0)
    book, vectors = Codebook(32, 5, decay=0.9, revive=0.0), torch.randn(200, 5)
    assert torch.equal(book.choose(vectors), torch.cdist(vectors, book.codes).argmin(1))


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_codes_are_the_running_means_of_what_chose_them(decay):
    torch.manual_seed(0)
    book = Codebook(3, 2, decay=decay, revive=0.0)
    untouched = book.codes[2].clone()
    rounds = [(torch.randn(50, 2), torch.randint(2, (50,))) for _ in range(5)]
    for vectors, ids in rounds:
        book.update(vectors, ids)
    weights = [(1 - decay) * decay ** (len(rounds) - 1 - index) for index in range(len(rounds))]
    for code in range(2):
        sums = sum(w * v[i == code].sum(0) for w, (v, i) in zip(weights, rounds, strict=True))
        counts = sum(w * (i == code).sum() for w, (_, i) in zip(weights, rounds, strict=True))
        assert torch.allclose(book.codes[code], sums / counts, atol=1e-5)
    assert torch.equal(book.codes[2], untouched)  # nobody chose it


def test_codes_that_nobody_chooses_move_onto_data():
    torch.manual_seed(0)
    book = Codebook(4, 2, decay=0.5, revive=0.1)
    with torch.no_grad():
        book.codes.fill_(1000.0)
    vectors = torch.randn(40, 2)
    book.update(vectors, book.choose(vectors))
    revived = book.codes[1:]
    assert all((vectors == code).all(1).any() for code in revived)
    assert book.logs(torch.arange(4))["codes_used"] == 1
    assert book.logs(torch.arange(4))["perplexity"] == pytest.approx(4)
    assert book.logs(torch.zeros(9, dtype=torch.int64))["perplexity"] == pytest.approx(1)


def test_a_skipped_step_leaves_no_trace_in_the_codes():
    one, other = build("vqvae"), build("vqvae")
    one.loss(batch(1))  # type: ignore[operator]  (loss scaling skips it: `after` is not called)
    for model in (one, other):
        this = batch(2)
        model.advance()  # type: ignore[operator]
        for part in (slice(0, 3), slice(3, 6)):
            model.loss(Batch(this.x[part], None, this.step))  # type: ignore[operator]
        torch.manual_seed(3)
        with torch.no_grad():
            model.follow(this)  # type: ignore[operator]
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_gradients_skip_from_the_codes_to_the_encoder():
    model = build("vqvae", "model.commitment=0", "model.encoder.width=16", "model.decoder.width=16")
    loss, _ = model.loss(batch(0))  # type: ignore[operator]
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.encoder.parameters())  # type: ignore[union-attr]


# Sequences ------------------------------------------------------------------------------------------------------------


def transformer(length: int, vocabulary: int, classes: int = 0) -> Transformer:
    torch.manual_seed(0)
    network = Transformer(Shapes((length,), (length, vocabulary), classes), width=8, depth=2, heads=2, dropout=0.0,
                          positions="learned", label_at="every_place")  # fmt: skip
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return network.eval()


def test_no_place_sees_what_comes_after_it():
    network, tokens = transformer(6, 5), torch.randint(5, (2, 5))
    changed = tokens.clone()
    changed[:, 3] = (changed[:, 3] + 1) % 5
    one, other = network(tokens), network(changed)
    assert torch.equal(one[:, :4], other[:, :4])
    assert (one[:, 4:] != other[:, 4:]).any(2).all()


def test_a_cache_changes_nothing():
    network, tokens, labels = transformer(6, 5, 3), torch.randint(5, (4, 5)), torch.tensor([0, 1, 2, 0])
    whole, cache = network(tokens, labels), network.new_cache(4)
    with torch.no_grad():
        steps = [network(tokens[:, :0], labels, cache), *(network(t, labels, cache) for t in tokens.split(1, dim=1))]
    assert torch.allclose(torch.cat(steps, dim=1), whole, atol=1e-5)


def test_the_chances_of_all_sequences_add_up_to_one():
    node = compose("train", ["model=vqvae_prior", "model.first_stage=null", "model.network.width=8",
                             "model.network.depth=1", "model.network.heads=2"]).config["model"]  # fmt: skip
    torch.manual_seed(0)
    model = bind("models", node, "model")(DataSpec("image", (1, 1, 3), levels=3)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    every = torch.tensor(list(itertools.product(range(3), repeat=3)), dtype=torch.uint8).reshape(-1, 1, 1, 3)
    chances = (-model.score(every, None)).exp()
    assert float(chances.sum()) == pytest.approx(1, abs=1e-5)
    drawn = model.sample(4000, None, generator=torch.Generator().manual_seed(0))
    index = (drawn.long().flatten(1) * torch.tensor([9, 3, 1])).sum(1)
    shares = torch.bincount(index, minlength=27) / 4000
    assert torch.allclose(shares, chances, atol=4 * 0.5 / 4000**0.5)  # four deviations
    assert drawn.dtype == torch.uint8


def test_temperature_and_top_k_narrow_the_choice():
    logits, generator = torch.tensor([[0.0, 1.0, 2.0, 3.0]]).expand(3000, -1), torch.Generator().manual_seed(0)
    shares = torch.bincount(draw(logits, 2.0, None, generator)[:, 0], minlength=4) / 3000
    assert torch.allclose(shares, (logits[0] / 2).softmax(0), atol=0.04)
    assert set(draw(logits, 1.0, 2, generator)[:, 0].tolist()) == {2, 3}
    for settings in ((0.0, None), (1.0, 1), (1e-3, None)):
        assert set(draw(logits, *settings, generator)[:, 0].tolist()) == {3}


# Corruptions, free bits, warm-up, enlargement -------------------------------------------------------------------------


def test_corruptions_spoil_their_share_of_places_with_all_channels():
    x, generator = torch.rand(8, 3, 32, 32) * 1.8 - 0.9, torch.Generator().manual_seed(0)
    masked, peppered = masking(x, generator, share=0.3), salt_and_pepper(x, generator, share=0.4)
    for spoilt, share in ((masked, 0.3), (peppered, 0.4)):
        changed = spoilt != x
        assert torch.equal(changed.any(1), changed.all(1))
        assert float(changed.float().mean()) == pytest.approx(share, abs=0.02)
        assert set(spoilt[changed].tolist()) <= {-1.0, 1.0}
    assert float((peppered == 1).float().mean()) == pytest.approx(0.2, abs=0.02)
    noisy = gaussian(torch.zeros(8, 3, 32, 32), generator, deviation=0.2)
    assert float(noisy.std()) == pytest.approx(0.2, rel=0.02)
    assert noisy.abs().max() <= 1


def vae_loss(model: Model, step: int) -> tuple[float, dict[str, torch.Tensor]]:
    torch.manual_seed(1)
    loss, logs = model.loss(batch(0)._replace(step=torch.tensor(step)))  # type: ignore[operator]
    return float(loss.detach()), logs


SLIM = ["model.encoder.widths=[8]", "model.decoder.widths=[8]"]


@pytest.mark.parametrize(("step", "share"), [(0, 0.1), (4, 0.5), (9, 1.0), (1000, 1.0)])
def test_the_divergence_gains_weight_while_warming_up(step, share):
    loss, logs = vae_loss(build("vae", "model.warmup=10", "model.beta=2", *SLIM), step)
    assert loss == pytest.approx(float(logs["reconstruction"] + 2 * share * logs["kl"]), rel=1e-5)


def test_free_bits_cost_nothing():
    model = build("vae", "model.free_bits=100", *SLIM)
    loss, logs = vae_loss(model, 0)
    assert loss == pytest.approx(float(logs["reconstruction"]) + 20 * 100, rel=1e-5)
    few, logs = vae_loss(build("vae", "model.free_bits=1e-6", *SLIM), 0)
    assert few == pytest.approx(float(logs["reconstruction"] + logs["kl"]), rel=1e-4)


def test_the_divergence_of_each_dimension_adds_up():
    mean, log_variance = torch.randn(4, 3), torch.randn(4, 3)
    normal = torch.distributions.Normal(mean, (log_variance / 2).exp())
    expected = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0))
    assert torch.allclose(kl_of_each(mean, log_variance), expected, atol=1e-5)


def test_a_latent_may_be_a_map():
    residual = ["model/network@model.encoder=residual_encoder", "model/network@model.decoder=residual_decoder"]
    model = build("vae", "model.halvings=2", "model.latent=3", *residual, shape=(1, 16, 16))
    x = batch(0, side=16).x
    assert model.compress(x, None).shape == (6, 3, 4, 4)  # type: ignore[operator]
    assert model.encode(x, None).shape == (6, 48)  # type: ignore[operator]
    assert model.sample(2, None, generator=torch.Generator()).shape == (2, 1, 16, 16)  # type: ignore[operator]
    assert model.bounds(x, None, draws=2)["elbo"].shape == (6,)  # type: ignore[operator]


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("downscale", ["area", "bicubic"])
def test_a_fresh_network_enlarges_as_well_as_bicubic_interpolation(scale, downscale):
    chosen = (f"model.scale={scale}", f"model.downscale={downscale}", "model.network.blocks=1")
    model = build("super_resolution", *chosen, shape=(1, 16, 16)).eval()
    with torch.no_grad():
        model.network.leave[-1].bias.zero_()  # type: ignore[index,union-attr]
    small = model.given(batch(0, side=16).x, None, generator=torch.Generator())  # type: ignore[operator]
    made = model.transform(small, generator=torch.Generator())  # type: ignore[operator]
    signal = F.interpolate(model.spec.encode(small), scale_factor=float(scale), mode="bicubic")
    assert torch.equal(made, model.spec.decode(signal))
    if downscale == "area":
        squares = batch(0, side=16).x.float().unfold(2, scale, scale).unfold(3, scale, scale).mean((-1, -2))
        assert (small.float() - squares).abs().max() <= 0.51
