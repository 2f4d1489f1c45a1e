"""The VAE of text and translation from pairs: what they do is what their papers' equations say."""

from __future__ import annotations

import itertools
import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load as read_safetensors
from safetensors.torch import save

from aigc_cli.abilities import Bounds, Consults, Encodes, Reconstructs, Renders, Samples, Scores, Transforms, Writes
from aigc_cli.composing.compose import compose
from aigc_cli.config import bind
from aigc_cli.devices import Device
from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Batch, Classes, DataSpec, Shapes, Text
from aigc_cli.models.decoding import follow, search
from aigc_cli.models.pieces import counted, shortened
from aigc_cli.networks import lstm, recurrent, translation_transformer
from aigc_cli.networks.attention import attend
from aigc_cli.trainer import Trainer

LETTERS = tuple("abcdefgh")
END = len(LETTERS)
SMALL = {"width": 16, "inner": 32, "depth": 2, "heads": 2, "dropout": 0.0}
TINY_VAE = ["model.encoder.width=16", "model.decoder.width=16", "model.latent=4"]
TINY = {
    "text_vae": TINY_VAE,
    "seq2seq": [
        f"model.{part}.{name}={value}" for part in ("encoder", "decoder") for name, value in SMALL.items()
    ],
    "seq2seq_lstm": [f"model.{part}.width=16" for part in ("encoder", "decoder")],
}  # fmt: skip


def pieces(length: int = 6, condition: Any = None, letters: tuple[str, ...] = LETTERS) -> DataSpec:
    return DataSpec("text", (length,), len(letters) + 1, condition, text=Text(letters, end=len(letters)))


PAIRS = pieces(6, pieces(7))


def written(*texts: str, length: int = 6) -> torch.Tensor:
    rows = [[LETTERS.index(letter) for letter in text] + [END] * (length - len(text)) for text in texts]
    return torch.tensor(rows, dtype=torch.uint8)


def node(preset: str, *overrides: str) -> dict[str, Any]:
    return compose("train", [f"model={preset}", *TINY[preset], *overrides]).config["model"]


def build(preset: str, *overrides: str, spec: DataSpec | None = None) -> Any:
    torch.manual_seed(0)
    spec = spec or (pieces() if preset == "text_vae" else PAIRS)
    return shaken(bind("models", node(preset, *overrides), "model")(spec)).eval()


def shaken(model: Any) -> Any:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def batch(x: torch.Tensor, condition: torch.Tensor | None = None, step: int = 0) -> Batch:
    return Batch(x, condition, torch.tensor(step))


def random_pairs(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return targets (n, 6) and sources (n, 7) of all lengths."""
    generator = torch.Generator().manual_seed(n)
    made = []
    for length in (6, 7):
        symbols = torch.randint(END, (n, length), generator=generator)
        sizes = torch.arange(n)[:, None] % length
        made.append(symbols.masked_fill(torch.arange(length) >= sizes, END).to(torch.uint8))
    return made[0], made[1]


def learnt(model: Any, data: tuple[torch.Tensor, torch.Tensor | None], *, steps: int, size: int, lr: float) -> Any:
    optimizer = torch.optim.Adam(model.train().parameters(), lr)
    for step in range(steps):
        torch.manual_seed(step)
        rows = torch.randint(len(data[0]), (size,))
        loss, _ = model.loss(batch(data[0][rows], data[1][rows] if data[1] is not None else None, step))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval()


# What both promise ----------------------------------------------------------------------------------------------------


def test_abilities():
    vae, translator = build("text_vae"), build("seq2seq")
    for ability in (Samples, Renders, Reconstructs, Encodes, Bounds, Scores, Writes, Consults):
        assert isinstance(vae, ability)
    for ability in (Transforms, Scores, Writes, Consults):
        assert isinstance(translator, ability)
    assert not isinstance(translator, Samples)
    assert translator.verb == "translate"


@pytest.mark.parametrize("preset", TINY)
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_they_learn_in_every_precision_and_average(preset, precision):
    config = compose("train", [f"model={preset}", *TINY[preset]]).config
    model = build(preset).train()
    settings = {key: value for key, value in config["optimizer"].items() if key != "phases"}
    optimizers = {phase.name: bind("optimizers", settings, "optimizer") for phase in model.phases()}
    trainer = Trainer(model, optimizers, lambda step: 1.0, Device(torch.device("cpu"), precision), seed=0, accumulate=2,
                      clip=1.0, ema=0.9, channels_last=False, cuda_graph=False,
                      compile=False)  # fmt: skip
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    x, source = random_pairs(8)
    for step in range(4):
        logs = trainer.step(batch(x, source if preset != "text_vae" else None, step))
        assert all(value.isfinite() for value in logs.values())
    trainer.losses.check()
    still = [name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])]
    assert not still, "parameters without a use"
    with trainer.sampling() as averaged:
        condition = source if preset != "text_vae" else None
        drawn = averaged.write(8, condition, generator=torch.Generator(), prompt=None, length=4, tell=None)  # type: ignore[operator]
        assert drawn.shape[1] <= 4


def test_what_counts_are_the_symbols_up_to_the_first_end():
    x = written("abc", "", "abcdef")
    x[0, 5] = 2  # what follows the end means nothing
    assert counted(x, END).sum(1).tolist() == [4, 1, 6]
    assert shortened(x[:2], END)[0].shape == (2, 4)


@pytest.mark.parametrize("preset", TINY)
def test_what_follows_the_end_changes_nothing(preset):
    model, (x, source) = build(preset), random_pairs(12)
    other = x.where(counted(x, END), torch.tensor(3, dtype=torch.uint8))
    condition = source if preset != "text_vae" else None
    torch.manual_seed(1)
    one, _ = model.loss(batch(x, condition))
    torch.manual_seed(1)
    again, _ = model.loss(batch(other, condition))
    assert torch.allclose(one, again, atol=1e-6)


@pytest.mark.parametrize(("preset", "spec", "said"), [
    ("text_vae", DataSpec("text", (6,), 9, text=Text(LETTERS)), "running text. Type data=reviews"),
    ("text_vae", DataSpec("text", (6,), 9), "running text. Type data=reviews"),
    ("text_vae", DataSpec("image", (1, 8, 8)), "given image data, allowed: text"),
    ("seq2seq", DataSpec("image", (1, 8, 8)), "given image data, allowed: text"),
    ("seq2seq", pieces(), "pairs of texts, and these come alone. Type data=pairs"),
    ("seq2seq", pieces(6, Classes(("a", "b"))), "pairs of texts, and these come alone. Type data=pairs"),
    ("seq2seq", pieces(6, DataSpec("text", (6,), 9)), "running text. Type data=pairs"),
    ("seq2seq", DataSpec("text", (6,), 9, pieces()), "running text. Type data=pairs"),
])  # fmt: skip
def test_data_that_they_cannot_learn_are_refused_in_one_line(preset, spec, said):
    with pytest.raises(ConfigError, match=said) as caught:
        build(preset, spec=spec)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("model")


@pytest.mark.parametrize(("overrides", "said"), [
    (["model.encoder.heads=3"], "model.encoder.width: given 16, allowed: an even multiple of heads=3. "
                                "Type model.encoder.width=18"),
    (["model.decoder.width=7", "model.decoder.heads=7"], "Type model.decoder.width=14"),
    (["model/network@model.encoder=lstm_latent_decoder"], "is no encoder of text"),
])  # fmt: skip
def test_networks_that_do_not_fit_are_refused_in_one_line(overrides, said):
    with pytest.raises(ConfigError, match=said) as caught:
        bind("models", compose("train", ["model=seq2seq", *([] if "@" in overrides[0] else TINY["seq2seq"]),
                                         *overrides]).config["model"], "model")(PAIRS)  # fmt: skip
    assert "\n" not in str(caught.value)


# The VAE of text ------------------------------------------------------------------------------------------------------


def test_the_bound_is_the_one_that_a_hand_computes():
    model, x = build("text_vae", "model.latent=3"), written("ab", "hgfe")
    torch.manual_seed(3)
    bound = model.bounds(x, None, draws=2)
    torch.manual_seed(3)
    mean, log_variance = model._posterior(*shortened(x, END), None)
    weights = []
    for _ in range(2):
        z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        ratio = torch.distributions.Normal(0, 1).log_prob(z) - torch.distributions.Normal(
            mean, (log_variance / 2).exp()
        ).log_prob(z)
        nats = []
        for row, text in enumerate(("ab", "hgfe")):
            symbols = [LETTERS.index(letter) for letter in text] + [END]
            state, total, newest = model.decoder.start(z[row : row + 1]), 0.0, torch.zeros(1, 0, dtype=torch.int64)
            for symbol in symbols:  # one symbol after the other, as it writes
                chances = model.decoder(newest, state)[0, -1].log_softmax(0)
                total, newest = total - chances[symbol], torch.tensor([[symbol]])
            nats.append(total)
        weights.append(ratio.sum(1) - torch.stack(nats))
    expected = torch.stack(weights)
    assert torch.allclose(bound["elbo"], expected.mean(0), atol=1e-4)
    assert torch.allclose(bound["importance_weighted"], expected.exp().mean(0).log(), atol=1e-4)


@pytest.mark.parametrize(("step", "share"), [(0, 0.1), (4, 0.5), (9, 1.0), (1000, 1.0)])
def test_the_divergence_gains_weight_while_warming_up(step, share):
    model = build("text_vae", "model.warmup=10", "model.beta=2", "model.free_bits=0", "model.word_dropout=0")
    torch.manual_seed(0)
    loss, logs = model.loss(batch(random_pairs(6)[0], None, step))
    assert float(loss.detach()) == pytest.approx(float(logs["reconstruction"] + 2 * share * logs["kl"]), rel=1e-5)
    assert logs["kl"] > 0


def test_free_bits_cost_nothing():
    model = build("text_vae", "model.warmup=0", "model.free_bits=100")
    loss, logs = model.loss(batch(random_pairs(6)[0]))
    assert float(loss.detach()) == pytest.approx(float(logs["reconstruction"]) + 4 * 100, rel=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_so_many_symbols_are_hidden_from_the_decoder(share):
    spec = pieces(50)
    model, told = build("text_vae", f"model.word_dropout={share}", spec=spec), []
    model.decoder.register_forward_pre_hook(lambda _, arguments: told.append(arguments[0]))
    model.loss(batch(torch.randint(END, (200, 50), dtype=torch.uint8)))
    hidden = torch.cat(told) == spec.levels
    assert float(hidden.float().mean()) == pytest.approx(share, abs=0.02)
    assert len(model.decoder.token.weight) == spec.levels + 1


def test_the_decoder_is_told_of_its_latent_at_every_place():
    network = lstm.LatentDecoder(Shapes((3,), (6, 9)), width=8, depth=1, dropout=0.0)
    tokens, z = torch.randint(9, (1, 5)), torch.randn(1, 3)
    with torch.no_grad():
        network.enter.weight.zero_()  # so that it starts from the same state
    one, other = network(tokens, network.start(z)), network(tokens, network.start(z + 1))
    assert (one != other).any(2).all()


def test_lstms_are_those_of_the_language_models():
    """They remember at first, and single places are read as they are there, which is 5 times as fast on CPUs."""
    for layer in lstm.layers(3, 4, 5, 2):
        gates = (layer.bias_ih_l0 + layer.bias_hh_l0).detach().chunk(4)
        assert gates[1].tolist() == [1.0] * 4
        assert all((gate < 1).all() for gate in (gates[0], gates[2], gates[3]))
    assert lstm.run is recurrent.run


@pytest.mark.parametrize(("dtype", "kept"), [(torch.bfloat16, torch.bfloat16), (torch.float16, torch.float32)])
def test_lstms_run_in_the_half_precision_that_cpus_have(dtype, kept):
    network = lstm.Encoder(Shapes((5, 9), (5, 8)), width=8, depth=1, dropout=0.0)
    tokens, among = torch.randint(9, (2, 5)), torch.ones(2, 5, dtype=torch.bool)
    with torch.autocast("cpu", dtype):
        hidden = network(tokens, among)
    assert hidden.dtype == kept
    assert torch.allclose(hidden.float(), network(tokens, among), atol=0.03)


def test_a_few_sentences_are_learnt_by_heart_and_walked_between():
    texts = ("abc", "hgfedc", "bbbb", "deadb", "cafe", "f")
    x = written(*texts, length=8)
    spec = pieces(8)
    model = build("text_vae", "model.warmup=0", "model.beta=0.02", "model.encoder.width=32", "model.decoder.width=32",
                  "model.word_dropout=0.3", spec=spec)  # fmt: skip
    model = learnt(model, (x, None), steps=400, size=16, lr=1e-2)
    again = model.reconstruct(x, None)
    assert torch.equal(again, x)
    assert again.dtype == spec.dtype
    ends = model.encode(x[:2], None)
    moments = torch.stack([ends[0].lerp(ends[1], share / 10) for share in range(11)])
    walk = model.render(moments, None, generator=torch.Generator())
    assert torch.equal(walk[[0, -1]], x[:2])
    assert len(walk.unique(dim=0)) > 1
    drawn = model.sample(200, None, generator=torch.Generator().manual_seed(0), temperature=0.0)
    known = (drawn[:, None] == x[None]).all(2).any(1)
    assert float(known.float().mean()) > 0.3  # the prior finds them
    assert model.score(x, None).mean() < model.score(written("habe", "ffff", "cdcdcd", length=8), None).mean()


def test_labels_are_told():
    spec = pieces(6, Classes(("a", "b")))
    model, labels = build("text_vae", "model.conditional=true", spec=spec), torch.tensor([0, 1])
    z = model.latent(1, generator=torch.Generator().manual_seed(0)).expand(2, -1)
    state = model.decoder.start(model._told(z, labels))
    one, other = model.decoder(torch.zeros(2, 0, dtype=torch.int64), state).unbind()
    assert not torch.allclose(one, other)
    x = written("abc", "abc")
    assert not torch.allclose(*model.encode(x, labels))
    assert model.sample(2, labels, generator=torch.Generator()).shape == (2, 6)
    loss, _ = model.loss(batch(x, labels))
    assert loss.isfinite()


@pytest.mark.parametrize("preset", TINY)
def test_writing_goes_on_from_a_prompt_and_tells_each_symbol(preset):
    model, told = build(preset), []
    source = random_pairs(5)[1] if preset != "text_vae" else None
    prompt, generator = torch.tensor([1, 2]), torch.Generator().manual_seed(4)
    drawn = model.write(5, source, generator=generator, prompt=prompt, length=20, tell=told.append, temperature=1.0)
    assert torch.equal(torch.stack(told, dim=1), drawn)
    assert drawn.dtype == torch.int64
    ended = (drawn == END).cumsum(1) > 0
    assert (drawn[ended] == END).all()  # what follows an end symbol is that symbol
    assert drawn.shape[1] == 20 or ended[:, -1].all()
    state = torch.get_rng_state()
    again = model.write(5, source, generator=torch.Generator().manual_seed(4), prompt=prompt, length=20, tell=None,
                        temperature=1.0)  # fmt: skip
    assert torch.equal(again, drawn)
    assert torch.equal(state, torch.get_rng_state())
    assert model.write(5, source, generator=generator, prompt=prompt, length=None, tell=None).shape[1] <= 4
    first = model.write(5, source, generator=generator, prompt=None, length=1, tell=None, top_k=1, temperature=1.0)
    assert first.shape == (5, 1)


# Decoders and their search --------------------------------------------------------------------------------------------


def decoder(
    kind: str, vocabulary: int = 4, length: int = 6, sources: int = 3
) -> tuple[Any, torch.Tensor, torch.Tensor]:
    """Return a decoder, and sources of different lengths as an encoder may have read them."""
    torch.manual_seed(1)
    shapes = Shapes((5, 12), (length, vocabulary))
    if kind == "lstm":
        network: Any = lstm.AttentionDecoder(shapes, width=16, depth=2, dropout=0.0)
    else:
        network = translation_transformer.Decoder(shapes, **SMALL)
    among = torch.arange(5) <= torch.arange(sources)[:, None] * 2 % 5
    return shaken(network).eval(), torch.randn(sources, 5, 12), among


KINDS = pytest.mark.parametrize("kind", ["transformer", "lstm"])


@KINDS
@torch.no_grad()
def test_what_a_decoder_has_seen_it_keeps(kind):
    """Symbols one at a time, or several after a prompt, get the logits that they get all at once."""
    network, memory, among = decoder(kind)
    tokens = torch.randint(4, (3, 7))
    whole = network(tokens, network.start(memory, among))
    state = network.start(memory, among)
    parts = [network(tokens[:, :0], state), *(network(token, state) for token in tokens.split(1, dim=1))]
    assert torch.allclose(torch.cat(parts, dim=1), whole, atol=1e-5)
    state = network.start(memory, among)
    parts = [network(tokens[:, :3], state), network(tokens[:, 3:], state)]
    assert torch.allclose(torch.cat(parts, dim=1), whole, atol=1e-5)


@KINDS
@torch.no_grad()
def test_no_place_sees_what_comes_after_it(kind):
    network, memory, among = decoder(kind)
    tokens = torch.randint(4, (3, 6))
    changed = tokens.clone()
    changed[:, 3] = (changed[:, 3] + 1) % 4
    one, other = (network(each, network.start(memory, among)) for each in (tokens, changed))
    assert torch.allclose(one[:, :4], other[:, :4], atol=1e-6)
    assert (one[:, 4:] - other[:, 4:]).abs().amax(2).min() > 1e-4


def brute_force(network: Any, memory: torch.Tensor, among: torch.Tensor, length: int, alpha: float) -> list[int]:
    """Return the best of all texts of at most `length` symbols, of which 3 is the end; others stop at the length."""
    best, found = -math.inf, []
    every = {symbols[: symbols.index(3) + 1] if 3 in symbols else symbols
             for symbols in itertools.product(range(4), repeat=length)}  # fmt: skip
    for symbols in sorted(every):
        tokens = torch.tensor([symbols])
        chances = network(tokens[:, :-1], network.start(memory, among)).log_softmax(-1)
        score = float(chances.gather(2, tokens[..., None]).sum()) / ((5 + len(symbols)) / 6) ** alpha
        if score > best:
            best, found = score, list(symbols)
    return found


@KINDS
@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
@torch.no_grad()
def test_a_wide_beam_finds_the_best_of_all_texts(kind, alpha):
    network, memory, among = decoder(kind)
    state = network.start(memory.repeat_interleave(300, 0), among.repeat_interleave(300, 0))
    settings = {"beam": 300, "length": 4, "end": 3, "length_penalty": alpha}
    found = search(network, state, torch.zeros(3, 0, dtype=torch.int64), **settings)
    for row in range(3):
        best = brute_force(network, memory[row : row + 1], among[row : row + 1], 4, alpha)
        assert found[row].tolist() == (best + [3] * 4)[: found.shape[1]]


@KINDS
@torch.no_grad()
def test_a_beam_of_one_is_greedy_and_a_wider_one_no_worse(kind):
    network, memory, among = decoder(kind, vocabulary=9, sources=40)
    nothing = torch.zeros(40, 0, dtype=torch.int64)
    greedy = follow(network, network.start(memory, among), nothing, lambda logits: logits.argmax(1, keepdim=True),
                    length=6, end=3)  # fmt: skip
    one = search(network, network.start(memory, among), nothing, beam=1, length=6, end=3, length_penalty=0.6)
    assert torch.equal(one[:, : greedy.shape[1]], greedy)
    scores = []
    for beam in (1, 20):
        state = network.start(memory.repeat_interleave(beam, 0), among.repeat_interleave(beam, 0))
        found = search(network, state, nothing, beam=beam, length=6, end=3, length_penalty=0.0)
        chances = network(found[:, :-1], network.start(memory, among)).log_softmax(-1).gather(2, found[..., None])
        scores.append((chances[..., 0] * counted(found, 3)).sum(1))
    assert (scores[1] >= scores[0] - 1e-5).all()
    assert (scores[1] > scores[0] + 1e-3).any()


# Translation ----------------------------------------------------------------------------------------------------------


def test_attention_gathers_from_what_counts_only():
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 2, places, 4) for places in (3, 5, 5))
    mask = torch.tensor([[1, 1, 0, 0, 0], [1, 0, 1, 1, 0]], dtype=torch.bool)
    gathered = attend(query, key, value, mask=mask[:, None, None])
    for row in range(2):
        seen = mask[row]
        alone = attend(query[row : row + 1], key[row : row + 1, :, seen], value[row : row + 1, :, seen])
        assert torch.allclose(gathered[row : row + 1], alone, atol=1e-6)
    rough = attend(*(each.bfloat16() for each in (query, key, value)), mask=mask[:, None, None])
    assert torch.allclose(rough.float(), gathered, atol=0.05)


@pytest.mark.parametrize("preset", ["seq2seq", "seq2seq_lstm"])
@torch.no_grad()
def test_a_sources_padding_changes_nothing(preset):
    model, (_, source) = build(preset), random_pairs(14)
    padded = torch.cat([source, torch.full((14, 5), END, dtype=torch.uint8)], dim=1).long()
    whole = model.encoder(padded, counted(padded, END))
    for row, size in enumerate(counted(source, END).sum(1).tolist()):
        alone = model.encoder(source[row : row + 1, :size].long(), torch.ones(1, size, dtype=torch.bool))
        assert torch.allclose(whole[row : row + 1, :size], alone, atol=1e-5)
    x = random_pairs(14)[0]
    scores = model.score(x, source)
    one_by_one = torch.cat([model.score(x[row : row + 1], source[row : row + 1]) for row in range(14)])
    assert torch.allclose(scores, one_by_one, atol=1e-4)
    longer = torch.cat([source, torch.full((14, 5), END, dtype=torch.uint8)], dim=1)
    assert torch.allclose(model.score(x, longer), scores, atol=1e-4)


def test_the_scores_of_all_targets_add_up_to_one():
    model = build("seq2seq", spec=pieces(3, pieces(7), letters=("a", "b")))
    every = {tuple((*symbols, 2, 2, 2)[:3]) if 2 not in symbols else tuple((*symbols[: symbols.index(2)], 2, 2, 2)[:3])
             for symbols in itertools.product(range(3), repeat=3)}  # fmt: skip
    targets = torch.tensor(sorted(every), dtype=torch.uint8)
    source = random_pairs(5)[1][4:].expand(len(targets), -1)
    assert float((-model.score(targets, source)).exp().sum()) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_the_loss_is_the_mean_over_symbols_that_count_smoothed(smoothing):
    model, (x, source) = build("seq2seq", f"model.label_smoothing={smoothing}"), random_pairs(40)
    loss, logs = model.loss(batch(x, source))
    with torch.no_grad():
        tokens = source.long()
        state = model.decoder.start(model.encoder(tokens, counted(tokens, END)), counted(tokens, END))
        chances = model.decoder(x[:, :-1].long(), state).log_softmax(-1)
    target = torch.nn.functional.one_hot(x.long(), END + 1) * (1 - smoothing) + smoothing / (END + 1)
    among = counted(x, END)
    assert float(loss.detach()) == pytest.approx(float(-(target * chances).sum(-1)[among].mean()), rel=1e-5)
    exact = -chances.gather(2, x.long()[..., None])[..., 0][among].mean()
    assert float(logs["nats"]) == pytest.approx(float(exact), rel=1e-5)


@pytest.mark.parametrize(("step", "share"), [(0, 1.0), (50, 0.6), (100, 0.2), (5000, 0.2)])
def test_scheduled_sampling_mixes_in_its_own_symbols(step, share):
    spec = pieces(60, pieces(7))
    model = build("seq2seq", "model.teacher_forcing=0.2", "model.teacher_forcing_steps=100", spec=spec)
    assert float(model.share(torch.tensor(step))) == pytest.approx(share)
    torch.manual_seed(1)
    symbols = torch.randint(END, (300, 59))
    source = torch.zeros(300, 7, dtype=torch.int64)
    memory = model._read(source)
    with torch.no_grad():
        own = model.decoder(symbols[:, :-1], model.decoder.start(*memory)).softmax(-1)
        told = model._told(symbols, memory, torch.tensor(step))
    agree = float(own.gather(2, symbols[..., None]).mean())  # it draws the true symbol that often
    same = share + (1 - share) * agree
    assert float((told == symbols).float().mean()) == pytest.approx(same, abs=0.02)
    assert torch.equal(build("seq2seq")._told(symbols, memory, torch.tensor(step)), symbols)


@pytest.mark.parametrize("preset", ["seq2seq", "seq2seq_lstm"])
def test_words_are_turned_round(preset):
    torch.manual_seed(2)
    rows = [[int(digit) for digit in torch.randint(END, (int(torch.randint(2, 6, ())),))] for _ in range(3000)]
    pack = [[*row, *[END] * (7 - len(row))] for row in rows], [[*row[::-1], *[END] * (6 - len(row))] for row in rows]
    source, x = (torch.tensor(part, dtype=torch.uint8) for part in pack)
    wide = [f"model.{part}.width=32" for part in ("encoder", "decoder")]
    torch.manual_seed(0)
    model = bind("models", node(preset, *wide, "model.beam=2"), "model")(PAIRS)
    model = learnt(model, (x[:2800], source[:2800]), steps=250, size=64, lr=1e-2)
    made = model.transform(source[2800:], generator=torch.Generator())
    assert made.dtype == PAIRS.dtype
    assert float((made == x[2800:]).all(1).float().mean()) > 0.9
    greedy = model.write(200, source[2800:], generator=torch.Generator(), prompt=None, length=None, tell=None, beam=1)
    right = (greedy == x[2800:, : greedy.shape[1]]).all(1)
    assert float(right.float().mean()) > 0.9


def test_a_search_and_a_draw_exclude_each_other():
    model, source = build("seq2seq"), random_pairs(2)[1]
    with pytest.raises(ConfigError, match="Type temperature=0") as caught:
        model.write(2, source, generator=torch.Generator(), prompt=None, length=3, tell=None, beam=2, temperature=0.5)
    assert "\n" not in str(caught.value)


# BERT -----------------------------------------------------------------------------------------------------------------

BERT = {"width": 16, "depth": 2, "heads": 2, "inner": 24, "places": 20}
AS_BERT = ["model/network@model.encoder=bert", *(f"model.encoder.{name}={size}" for name, size in BERT.items())]
DECODER = [f"model.decoder.{name}={value}" for name, value in SMALL.items()]


@pytest.fixture
def folder(tmp_path) -> Path:
    """Hold a tiny BERT with random weights, which knows the letters, as transformers writes it."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(5)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    config = transformers.BertConfig(vocab_size=END, max_position_embeddings=20, **sizes)
    shaken(transformers.BertModel(config)).save_pretrained(tmp_path)
    return tmp_path


def from_bert(*overrides: str, spec: DataSpec = PAIRS) -> Any:
    composed = compose("train", ["model=seq2seq", *AS_BERT, *DECODER, *overrides]).config["model"]
    torch.manual_seed(0)
    return bind("models", composed, "model")(spec).eval()


@torch.no_grad()
def test_bert_begins_as_transformers_has_it(folder):
    import transformers

    model = from_bert(f"model.encoder.folder={folder}")
    digests = model.consult()
    assert digests.keys() == {"model.encoder.folder"}
    theirs = transformers.BertModel.from_pretrained(folder).eval()
    tokens = random_pairs(14)[1].long()[1:]
    among = counted(tokens, END)
    alike = (tokens != END) & among  # the end symbol is ours: leave it out
    ours = model.encoder(tokens, alike)[alike]
    expected = theirs(input_ids=tokens.clamp(max=END - 1), attention_mask=alike.long()).last_hidden_state[alike]
    assert torch.allclose(ours, expected, atol=1e-5)
    words = theirs.embeddings.word_embeddings.weight
    assert torch.allclose(model.encoder.bert.embeddings.word_embeddings.weight[END], words.mean(0))
    assert from_bert().consult() == {}


@torch.no_grad()
def test_a_checkpoint_of_bert_needs_no_folder(folder):
    model = from_bert(f"model.encoder.folder={folder}")
    model.consult()
    kept = read_safetensors(save({name: value.contiguous() for name, value in model.state_dict().items()}))
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    with torch.device("meta"):
        outline = from_bert(f"model.encoder.folder={folder}")
    assert {name: value.shape for name, value in outline.state_dict().items()} == {
        name: value.shape for name, value in kept.items()
    }
    again = from_bert(f"model.encoder.folder={folder}")
    again.load_state_dict(kept)
    x, source = random_pairs(10)
    assert torch.equal(again.score(x, source), model.score(x, source))


def test_bert_learns(folder):
    model = from_bert(f"model.encoder.folder={folder}")
    model.consult()
    x, source = random_pairs(16)
    first, _ = model.loss(batch(x, source))
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    learnt(model, (x, source), steps=30, size=16, lr=3e-3)
    assert model.loss(batch(x, source))[0] < first
    assert not [name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])]


def spoilt(folder: Path, **changes: Any) -> None:
    about = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(about | changes))


@pytest.mark.parametrize(("spoil", "overrides", "said"), [
    (lambda f: (f / "config.json").unlink(), [], "no config.json in"),
    (lambda f: (f / "model.safetensors").unlink(), [], "no model.safetensors in"),
    (lambda f: (f / "config.json").write_text("{"), [], "is no JSON"),
    (lambda f: (f / "model.safetensors").write_bytes(b"nothing"), [], "cannot be read"),
    (lambda f: spoilt(f, model_type="gpt2"), [], "model_type=gpt2, allowed: bert"),
    (lambda f: spoilt(f, hidden_act="relu"), [], "hidden_act=relu, allowed: gelu"),
    (lambda f: spoilt(f, hidden_size=None), [], "does not say all sizes"),
    (lambda f: spoilt(f, vocab_size=500), [], "knows 500 symbols, the sources have 8 and an end symbol. Type data"),
    (lambda f: None, ["model.encoder.width=32", "model.encoder.depth=3"],
     "of other sizes than the settings. Type model.encoder.width=16 model.encoder.depth=2."),
])  # fmt: skip
def test_a_folder_that_is_no_such_bert_is_refused_in_one_line(folder, spoil, overrides, said):
    model = from_bert(f"model.encoder.folder={folder}", *overrides)
    spoil(folder)
    with pytest.raises(ConfigError, match=said) as caught:
        model.consult()
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("model.encoder.folder")


def test_bert_refuses_longer_sources_and_says_what_it_needs(monkeypatch):
    with pytest.raises(ConfigError, match=r"Type data.source_length=4"):
        from_bert("model.encoder.places=4")
    with pytest.raises(ConfigError, match=r"Type model.encoder.width=18"):
        from_bert("model.encoder.heads=3")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"pip install 'aigc\[bert\]'"):
        from_bert()
