"""Language models: caches, contexts, nuclei, ends and carried states against what is computed by hand."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from aigc_cli.composing.compose import compose
from aigc_cli.config import bind
from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Batch, Classes, DataSpec, Shapes, Text
from aigc_cli.models.autoregressive import Autoregressive, draw
from aigc_cli.models.drawing import nucleus
from aigc_cli.models.guidance import guided_reader
from aigc_cli.networks.attention import attend
from aigc_cli.networks.recurrent import run
from aigc_cli.networks.transformer import rotated, turns

NETWORKS: dict[str, dict[str, Any]] = {
    "rnn": {
        "name": "recurrent",
        "cell": "rnn",
        "width": 12,
        "depth": 2,
        "dropout": 0.0,
        "tied": False,
        "label_at": "every_place",
    },
    "lstm": {
        "name": "recurrent",
        "cell": "lstm",
        "width": 12,
        "depth": 2,
        "dropout": 0.0,
        "tied": True,
        "label_at": "every_place",
    },
    "gru": {
        "name": "recurrent",
        "cell": "gru",
        "width": 12,
        "depth": 1,
        "dropout": 0.0,
        "tied": False,
        "label_at": "begin",
    },
    "learned": {
        "name": "transformer",
        "width": 12,
        "depth": 2,
        "heads": 2,
        "dropout": 0.0,
        "positions": "learned",
        "label_at": "begin",
    },
    "rotary": {
        "name": "transformer",
        "width": 12,
        "depth": 2,
        "heads": 2,
        "dropout": 0.0,
        "positions": "rotary",
        "label_at": "every_place",
    },
    "wavenet": {"name": "wavenet", "width": 8, "skip": 8, "stacks": 2, "layers": 3, "embedding": 4},
}
RECURRENT = ("rnn", "lstm", "gru")
LETTERS = tuple("abcdefg")


def shaken(module: torch.nn.Module, share: float = 0.3) -> Any:
    """Add random weights, which stand for training."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(share * torch.randn(parameter.shape, generator=generator))
    return module.eval()


def network(name: str, length: int = 24, classes: int = 0) -> Any:
    torch.manual_seed(0)
    return shaken(bind("networks", NETWORKS[name], "network")(Shapes((length,), (length, 7), classes)))


def model(name: str, *, length: int = 24, ends: bool = False, labels: bool = False, **settings) -> Autoregressive:
    torch.manual_seed(0)
    text = Text(LETTERS[:-1], end=6) if ends else Text(LETTERS)
    spec = DataSpec("text", (length,), 7, Classes(("one", "other")) if labels else None, text=text)
    plain = {"name": "autoregressive", "conditional": labels, "first_stage": None, "temperature": 1.0, "top_k": None,
             "top_p": None, "carry": 0, "label_dropout": 0.0, "guidance": 1.0}  # fmt: skip
    return shaken(bind("models", {**plain, "network": NETWORKS[name], **settings}, "model")(spec))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def symbols(rows: int, length: int, seed: int = 0) -> Tensor:
    return torch.randint(7, (rows, length), generator=seeded(seed))


def write(one: Autoregressive, n: int = 2, condition: Tensor | None = None, seed: int = 0, **settings) -> Tensor:
    given: dict[str, Any] = {"prompt": None, "length": None, "tell": None, **settings}
    return one.write(n, condition, generator=seeded(seed), **given)


def batch(x: Tensor, condition: Tensor | None = None) -> Batch:
    return Batch(x.to(torch.uint8), condition, torch.tensor(0))


# Caches ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("cuts", [(0, 1, 1, 1, 20), (5, 1, 7, 1, 9), (23,), (0, 11, 12)])
def test_a_cache_that_is_told_several_symbols_at_once_changes_nothing(name, cuts):
    one, tokens, labels = network(name, classes=3), symbols(4, 23), torch.tensor([0, 1, 2, 0])
    for dtype, most in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        one = one.to(dtype)
        with torch.no_grad():
            cache = one.new_cache(4)
            parts = [one(part, labels, cache) for part in tokens.split(list(cuts), dim=1)]
            whole = one(tokens, labels)
        limit = most if name != "rotary" or dtype == torch.float32 else 1e-6  # its angles are float32
        assert (torch.cat(parts, dim=1) - whole).abs().max() < limit
        assert cache.length == 24


@pytest.mark.parametrize("name", NETWORKS)
def test_no_place_sees_what_comes_after_it(name):
    one, tokens = network(name), symbols(2, 23)
    changed = tokens.clone()
    changed[:, 9] = (changed[:, 9] + 1) % 7
    with torch.no_grad():
        whole, other = one(tokens), one(changed)
    assert torch.equal(whole[:, :10], other[:, :10])
    assert (whole[:, 10] != other[:, 10]).any()


@pytest.mark.parametrize("name", NETWORKS)
def test_text_is_drawn_with_a_cache_as_it_would_be_without(name):
    one = model(name).double()
    prompt = symbols(1, 6)[0]
    quick = write(one, 3, prompt=prompt, length=17)
    slow, generator = prompt.expand(3, -1), seeded()
    for _ in range(17):
        with torch.no_grad():
            logits: Tensor = one.network(slow)
        slow = torch.cat([slow, draw(logits[:, -1].float(), 1.0, None, generator)], dim=1)
    assert torch.equal(quick, slow[:, 6:])


@pytest.mark.parametrize("name", ["learned", "rotary"])
@pytest.mark.parametrize(("given", "length"), [(3, 60), (40, 30), (0, 24), (23, 2)])
def test_beyond_its_context_a_transformer_reads_the_newest_half_again(name, given, length):
    one = model(name).double()  # 24 places: the beginning and 23 symbols
    prompt = symbols(1, given)[0]
    quick = write(one, 2, prompt=prompt, length=length)
    text, generator = prompt.expand(2, -1), seeded()
    first = 0  # what is read begins here
    for _ in range(length):
        if 1 + text.shape[1] - first > 24:
            first = text.shape[1] - 12
        with torch.no_grad():
            logits: Tensor = one.network(text[:, first:])
        text = torch.cat([text, draw(logits[:, -1].float(), 1.0, None, generator)], dim=1)
    assert torch.equal(quick, text[:, given:])


@pytest.mark.parametrize("name", RECURRENT)
def test_a_recurrent_network_carries_its_state_without_limit(name):
    one = model(name).double()
    quick = write(one, 2, length=70)
    with torch.no_grad():
        logits = one.network(quick[:, :-1])
    generator = seeded()
    again = torch.cat([draw(each.float(), 1.0, None, generator) for each in logits.unbind(1)], dim=1)
    assert torch.equal(quick, again)


def test_the_newest_places_gather_from_all_before_them():
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 3, 9, 4) for _ in range(3))
    whole = attend(query, key, value, causal=True)
    assert torch.allclose(attend(query[:, :, 5:], key, value, causal=True), whole[:, :, 5:], atol=1e-6)
    half = [each.bfloat16() for each in (query[:, :, 5:], key, value)]
    assert torch.allclose(attend(half[0], half[1], half[2], causal=True).float(), whole[:, :, 5:], atol=0.05)


def test_rotary_scores_depend_on_distances_only():
    torch.manual_seed(0)
    query, key = torch.randn(1, 8).expand(40, 8), torch.randn(1, 8).expand(40, 8)
    turn = turns(0, 40, 8, torch.device("cpu"))
    scores = rotated(query, turn) @ rotated(key, turn).T
    for distance in (0, 1, 7, 20):
        diagonal = scores.diagonal(-distance)
        assert torch.allclose(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-4)
    assert scores[:, 0].std() > 0.01
    angle = torch.arange(40.0)[:, None] * torch.tensor([1.0, 0.1, 0.01, 0.001])  # 10,000^(-2 i / 8)
    matrix = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1).unflatten(-1, (2, 2))
    by_hand = (matrix @ query.unflatten(-1, (4, 2))[..., None]).flatten(1)  # arXiv:2104.09864, Eq. 15
    assert torch.allclose(rotated(query, turn), by_hand, atol=1e-5)
    assert torch.equal(turns(5, 3, 8, torch.device("cpu")), turn[5:8])


# Drawing --------------------------------------------------------------------------------------------------------------


def test_the_nucleus_is_the_fewest_that_have_the_share_together():
    chances = torch.tensor([[0.1, 0.4, 0.2, 0.3], [0.97, 0.01, 0.01, 0.01], [0.25, 0.25, 0.25, 0.25]])
    assert [row.nonzero()[:, 0].tolist() for row in nucleus(chances, 0.69)] == [[1, 3], [0], [0, 1, 2]]
    assert [row.nonzero()[:, 0].tolist() for row in nucleus(chances, 0.71)] == [[1, 2, 3], [0], [0, 1, 2]]
    assert [row.nonzero()[:, 0].tolist() for row in nucleus(chances, 1e-6)] == [[1], [0], [0]]
    logits = chances[:1].log().expand(6000, -1)
    shares = torch.bincount(draw(logits, 1.0, None, seeded(), 0.69)[:, 0], minlength=4) / 6000
    assert shares.tolist() == pytest.approx([0, 4 / 7, 0, 3 / 7], abs=0.025)
    hotter = (logits[0] / 2).softmax(0)  # 0.16, 0.33, 0.23, 0.28: the temperature comes first
    assert set(draw(logits, 2.0, None, seeded(), float(hotter[1]) + 0.01)[:, 0].tolist()) == {1, 3}
    assert set(draw(logits, 1.0, 3, seeded(), 0.5)[:, 0].tolist()) == {1, 3}  # 4/9, 3/9 and 2/9 of the three
    assert torch.equal(draw(logits, 1.0, None, seeded(), 1.0), draw(logits, 1.0, None, seeded()))


def test_settings_of_writing_are_those_configured_where_they_are_not_typed():
    configured, plain = model("gru", temperature=0.5, top_k=3, top_p=0.8), model("gru")
    typed = write(plain, temperature=0.5, top_k=3, top_p=0.8)
    assert torch.equal(write(configured), typed)
    assert not torch.equal(write(plain), typed)
    assert torch.equal(write(configured, temperature=1.0, top_k=7, top_p=1.0), write(plain))
    sampled = configured.sample(2, None, generator=seeded())
    assert torch.equal(sampled.long(), typed)
    assert sampled.dtype == torch.uint8


@pytest.mark.parametrize("name", NETWORKS)
def test_the_chances_of_all_texts_add_up_to_one(name):
    one = model(name, length=3)
    every = torch.tensor(list(itertools.product(range(7), repeat=3)), dtype=torch.uint8)
    assert float((-one.score(every, None)).exp().sum()) == pytest.approx(1, abs=1e-5)


def test_what_is_written_is_a_function_of_the_generator_and_the_label():
    one, ones = shaken(model("lstm", labels=True), 1.0), torch.tensor([1, 1])
    state = torch.get_rng_state()
    assert torch.equal(write(one, 2, ones), write(one, 2, ones))
    assert torch.equal(state, torch.get_rng_state())
    assert not torch.equal(write(one, 2, ones), write(one, 2, ones, seed=1))
    assert not torch.equal(write(one, 2, ones), write(one, 2, 1 - ones))


# Pieces ---------------------------------------------------------------------------------------------------------------

PIECES = torch.tensor([[0, 1, 6, 6, 6, 6, 6, 6], [3, 2, 4, 1, 0, 5, 2, 6], [6] * 8, [1, 2, 3, 4, 5, 0, 1, 2]])
COUNTED = (3, 8, 1, 8)  # symbols up to the first end


@pytest.mark.parametrize("name", ["lstm", "rotary"])
def test_what_follows_the_end_of_a_piece_counts_for_nothing(name):
    one = model(name, length=8, ends=True)
    sums = []
    for row, count in zip(PIECES, COUNTED, strict=True):
        with torch.no_grad():
            logits = one.network(row[None, : count - 1])[0]
        sums.append(float(F.cross_entropy(logits, row[:count], reduction="sum")))
    assert one.score(PIECES.to(torch.uint8), None).tolist() == pytest.approx(sums, rel=1e-5)
    assert float(one.loss(batch(PIECES))[0].detach()) == pytest.approx(sum(sums) / sum(COUNTED), rel=1e-5)
    spoilt = PIECES.clone()
    spoilt[0, 3:], spoilt[2, 1:] = 2, 5
    assert torch.allclose(one.score(spoilt.to(torch.uint8), None), one.score(PIECES.to(torch.uint8), None))
    assert torch.allclose(one.loss(batch(spoilt))[0], one.loss(batch(PIECES))[0])


def test_the_chances_of_all_pieces_add_up_to_one():
    one = model("rotary", length=4, ends=True)
    rows = [row for row in itertools.product(range(7), repeat=4)
            if 6 not in row or set(row[row.index(6) :]) == {6}]  # fmt: skip
    assert float((-one.score(torch.tensor(rows, dtype=torch.uint8), None)).exp().sum()) == pytest.approx(1, abs=1e-5)


def test_drawing_stops_once_all_pieces_have_ended():
    one = model("gru", length=40, ends=True)
    with torch.no_grad():
        one.network.bias[6] += 1.5  # it ends soon
    told: list[Tensor] = []
    drawn = write(one, 5, tell=told.append)
    assert torch.equal(drawn, torch.stack(told, dim=1))
    ended = (drawn == 6).cumsum(1) > 0
    assert (drawn[ended] == 6).all()
    assert ended[:, -1].all()
    assert drawn.shape[1] < 40
    assert not ended[:, -2].all()
    stored = one.sample(5, None, generator=seeded())
    assert torch.equal(stored[:, : drawn.shape[1]].long(), drawn)
    assert (stored[:, drawn.shape[1] :] == 6).all()
    with torch.no_grad():
        one.network.bias[6] = -50.0  # it never ends
    assert write(one, 2).shape == (2, 40)
    assert write(one, 2, prompt=torch.tensor([0, 1, 2])).shape == (2, 37)
    assert write(one, 2, prompt=torch.tensor([0, 1, 2]), length=50).shape == (2, 50)


# Carried states -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECURRENT)
@pytest.mark.parametrize("carry", [1, 9, 23])
def test_the_beginning_of_a_window_only_warms_the_state_up(name, carry):
    one, x = model(name, carry=carry), symbols(3, 24)
    with torch.no_grad():
        logits = one.network(x[:, :-1])
    by_hand = F.cross_entropy(logits[:, carry:].flatten(0, 1), x[:, carry:].flatten())
    loss, _ = one.loss(batch(x))
    assert float(loss.detach()) == pytest.approx(float(by_hand), rel=1e-5)
    loss.backward()
    read_early = set(x[:, : carry - 1].flatten().tolist()) - set(x[:, carry - 1 :].flatten().tolist())
    grown = one.network.token.weight.grad
    tied = NETWORKS[name]["tied"]  # then symbols are told by these weights as well
    assert tied or all(grown[symbol].abs().sum() == 0 for symbol in read_early)
    assert all(p.grad is not None for p in one.phases()[0].params)
    assert {name for name, p in one.named_parameters() if not p.requires_grad} == {"network.begin.weight"}
    learnt = F.cross_entropy(logits[:, carry:].mT, x[:, carry:], reduction="none").sum(1)  # it scores these alone
    assert torch.allclose(one.score(x.to(torch.uint8), None), learnt, rtol=1e-5)


@pytest.mark.parametrize(("name", "ends", "carry", "said"), [
    ("rotary", False, 4, "model.carry: given 4, but it needs running text without labels and a network"),
    ("wavenet", False, 4, "Type model.carry=0"),
    ("lstm", True, 4, "Type model.carry=0"),
    ("lstm", False, 24, "given 24, allowed: 0 to 23"),
    ("labelled", False, 4, "running text without labels"),
])  # fmt: skip
def test_a_carry_that_cannot_be_is_refused(name, ends, carry, said):
    with pytest.raises(ConfigError, match=said) as caught:
        model("gru" if name == "labelled" else name, ends=ends, labels=name == "labelled", carry=carry)
    assert "\n" not in str(caught.value)


def test_a_carried_state_learns_in_half_precision_too():
    one, x = model("lstm", carry=9), batch(symbols(3, 24))
    whole, grown = {}, {}
    for kept, enabled in ((whole, False), (grown, True)):
        one.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss, _ = one.loss(x)
        loss.backward()
        kept.update({name: p.grad.clone() for name, p in one.named_parameters() if p.grad is not None})
    assert whole.keys() == grown.keys()
    for name, gradient in whole.items():
        assert (grown[name] - gradient).norm() < 0.1 * gradient.norm(), name


@pytest.mark.parametrize("name", RECURRENT)
@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16])
def test_layers_of_all_precisions_read_one_place_after_the_other_as_they_read_all(name, dtype):
    layer, inputs = network(name).layers[0], torch.randn(3, 9, 12)
    with torch.no_grad(), torch.autocast("cpu", dtype, enabled=dtype is not None):
        whole, state = run(layer, inputs, None)
        parts, last = [], None
        for place in inputs.split(1, dim=1):
            part, last = run(layer, place, last)
            parts.append(part.float())
    in_half = dtype == torch.bfloat16 and name != "gru"  # which torch returns in fp32
    assert whole.dtype == (dtype if in_half else torch.float32)
    most = 0.03 if dtype == torch.bfloat16 else 1e-5  # fp16: in fp32
    assert (torch.cat(parts, dim=1) - whole).abs().max() < most
    pairs = zip(state, last, strict=True) if name == "lstm" else [(state, last)]
    assert all(one.shape == other.shape and (one.float() - other.float()).abs().max() < most for one, other in pairs)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("name", RECURRENT)
def test_on_cuda_small_gradients_do_not_vanish_in_layers(name):
    one, tokens = network(name).cuda(), symbols(2, 23).cuda()
    with torch.autocast("cuda", torch.bfloat16):
        loss = one(tokens).float().square().mean() * 1e-9  # below the least of fp16, 6e-8
    loss.backward()
    grown = one.layers[0].weight_hh_l0.grad
    assert grown.dtype == torch.float32
    assert (grown != 0).all()


def test_rotary_heads_are_even():
    node = {**NETWORKS["rotary"], "width": 6}
    with pytest.raises(ConfigError, match=r"heads of 3 are odd. Type model.network.width=12"):
        bind("networks", node, "model.network")(Shapes((8,), (8, 7)))


# Labels and guidance ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rnn", "rotary"])
def test_a_label_is_added_to_what_is_read_at_each_place(name):
    labels, tokens = torch.tensor([0, 2]), symbols(2, 9)
    one, plain = network(name, classes=3), bind("networks", {**NETWORKS[name], "label_at": "begin"}, "network")
    other = plain(Shapes((24,), (24, 7), 3)).eval()
    shared = {key: value for key, value in one.state_dict().items() if key != "label.weight"}
    with torch.no_grad():
        for row, label in enumerate(labels):
            moved = {key: shared[key] + one.label(label) for key in ("begin.weight", "token.weight")}
            other.load_state_dict({**shared, **moved})
            by_hand = other(tokens[row : row + 1], label[None])
            assert torch.allclose(one(tokens, labels)[row], by_hand[0], atol=1e-5)
        other.load_state_dict(shared)
        assert not torch.allclose(one(tokens, labels), other(tokens, labels), atol=1e-3)
        one.label.weight.zero_()
        assert torch.equal(one(tokens, labels), other(tokens, labels))


def test_a_fresh_networks_labels_add_nothing_and_networks_without_labels_have_none():
    for name in ("lstm", "rotary"):
        build = bind("networks", NETWORKS[name], "network")
        assert not build(Shapes((24,), (24, 7), 3)).label.weight.any()
        assert build(Shapes((24,), (24, 7))).label is None


def guidable(name: str, **settings) -> Autoregressive:
    return shaken(model(name, labels=True, label_dropout=0.2, **settings)).double()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("guidance", [0.0, 0.5, 3.0])
def test_guided_text_is_drawn_with_a_cache_as_it_would_be_without(name, guidance):
    one, labels, none = guidable(name), torch.tensor([0, 1, 1]), torch.full((3,), 2)
    prompt = symbols(1, 6)[0]
    told: list[Tensor] = []
    quick = write(one, 3, labels, prompt=prompt, length=17, guidance=guidance, top_k=4, tell=told.append)
    slow, generator = prompt.expand(3, -1), seeded()
    for _ in range(17):
        with torch.no_grad():
            without, labelled = (one.network(slow, each)[:, -1].float() for each in (none, labels))
        logits = without + guidance * (labelled - without)
        slow = torch.cat([slow, draw(logits, 1.0, 4, generator)], dim=1)
    assert torch.equal(quick, slow[:, 6:])
    assert torch.equal(quick, torch.stack(told, dim=1))
    configured = guidable(name, guidance=guidance)
    assert torch.equal(write(configured, 3, labels, prompt=prompt, length=17, top_k=4), quick)


@pytest.mark.parametrize("name", ["learned", "rotary"])
def test_beyond_its_context_a_guided_transformer_reads_on(name):
    one, labels = guidable(name), torch.tensor([0, 1])
    assert torch.equal(write(one, 2, labels, length=60, guidance=1.0), write(one, 2, labels, length=60))


@pytest.mark.parametrize("name", ["learned", "rotary"])
@pytest.mark.parametrize("guidance", [0.0, 2.0])
def test_a_full_context_is_read_again_with_guidance_as_it_would_be_without_a_cache(name, guidance):
    """Half of the context of 24 is kept: the newest 12 symbols, which stand at its beginning then."""
    one, labels, none = guidable(name), torch.tensor([0, 1]), torch.full((2,), 2)
    quick = write(one, 2, labels, length=60, guidance=guidance, top_k=4)
    known, generator, again = symbols(2, 0), seeded(), 0
    slow = known
    for _ in range(60):
        if 1 + known.shape[1] > 24:
            known, again = known[:, -12:], again + 1
        with torch.no_grad():
            without, labelled = (one.network(known, each)[:, -1].float() for each in (none, labels))
        newest = draw(without + guidance * (labelled - without), 1.0, 4, generator)
        known, slow = torch.cat([known, newest], dim=1), torch.cat([slow, newest], dim=1)
    assert again == 3
    assert torch.equal(quick, slow)


class TellsItsLabel(torch.nn.Module):
    """Predict by label only: rows of logits, the last of which is of no label."""

    context = None
    logits = torch.tensor([[1.0, 0.0, 0.0], [0.0, 3.0, 1.0], [2.0, 1.0, 0.0]])

    def forward(self, tokens: Tensor, condition: Tensor, cache: list[int]) -> Tensor:
        assert cache == [len(tokens)] == [len(condition)]
        return self.logits[condition][:, None].expand(-1, tokens.shape[1] + 1, -1)

    def new_cache(self, n: int) -> list[int]:
        return [n]


@pytest.mark.parametrize(("guidance", "by_hand"), [
    (0.0, [[2.0, 1.0, 0.0], [2.0, 1.0, 0.0]]),
    (0.5, [[1.5, 0.5, 0.0], [1.0, 2.0, 0.5]]),
    (1.0, [[1.0, 0.0, 0.0], [0.0, 3.0, 1.0]]),
    (3.0, [[-1.0, -2.0, 0.0], [-4.0, 7.0, 3.0]]),
])  # fmt: skip
def test_guidance_goes_from_no_label_over_the_label_beyond_it(guidance, by_hand):
    reader = guided_reader(TellsItsLabel(), 2, torch.tensor([0, 1]), 2, guidance)
    assert reader(symbols(2, 3), None)[:, -1].tolist() == by_hand


@pytest.mark.parametrize("name", NETWORKS)
def test_a_guidance_of_one_is_none_and_of_nothing_is_of_no_label(name):
    one, labels = guidable(name), torch.tensor([0, 1, 1])
    sizes: list[int] = []
    one.network.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    assert torch.equal(write(one, 3, labels, guidance=1.0), write(one, 3, labels))
    assert torch.equal(write(one, 3, labels, guidance=0.0), write(one, 3, 1 - labels, guidance=0.0))
    assert set(sizes) == {3}  # one pass is enough
    assert not torch.equal(write(one, 3, labels, guidance=4.0), write(one, 3, labels))
    assert set(sizes) == {3, 6}


def test_training_hides_the_stated_share_of_labels_and_scores_hide_none():
    one, sizes = guidable("gru"), []
    told: list[Tensor] = []
    one.network.register_forward_hook(lambda _, inputs, __: told.append(inputs[1]))
    labels = torch.arange(4000) % 2
    this = batch(symbols(4000, 24), labels)
    for seed in (0, 0, 1):
        torch.manual_seed(seed)  # as the trainer does by the step
        sizes.append(float(one.loss(this)[0].detach()))
    first, again, other = told
    assert torch.equal(first, again)
    assert sizes[0] == sizes[1] != sizes[2]
    assert not torch.equal(first, other)
    assert (first == 2).float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert torch.equal(first[first != 2], labels[first != 2])
    one.score(this.x, labels)
    assert torch.equal(told[-1], labels)


def test_without_label_dropout_nothing_is_drawn_and_no_label_added():
    one = model("rotary", labels=True)
    assert one.network.begin.weight.shape == (2, 12)
    assert guidable("rotary").network.begin.weight.shape == (3, 12)
    assert model("rotary", label_dropout=0.2).network.begin.weight.shape == (1, 12)
    state = torch.get_rng_state()
    one.loss(batch(symbols(2, 24), torch.tensor([0, 1])))
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(("labels", "dropout", "said"), [
    (True, 0.0, "guidance: given {}, but a model trained with model.label_dropout=0 never saw a hidden label"),
    (False, 0.1, "guidance: it needs labels"),
])  # fmt: skip
@pytest.mark.parametrize("guidance", [0.0, 2.0])
def test_guidance_that_cannot_be_is_refused(labels, dropout, said, guidance):
    one, condition = model("gru", labels=labels, label_dropout=dropout), torch.tensor([0, 1]) if labels else None
    with pytest.raises(ConfigError, match=f"^{said.format(guidance)}") as caught:
        write(one, 2, condition, guidance=guidance)
    assert "\n" not in str(caught.value)
    assert torch.equal(write(one, 2, condition, guidance=1.0), write(one, 2, condition))
    with pytest.raises(ConfigError, match=rf"^model\.{said.format(guidance)}"):
        model("gru", labels=labels, label_dropout=dropout, guidance=guidance)


# Learning -------------------------------------------------------------------------------------------------------------


def trained(one: Autoregressive, windows: Any, steps: int, rate: float = 1e-2) -> Autoregressive:
    optimizer = torch.optim.AdamW(one.train().parameters(), rate, weight_decay=0.0)
    for step in range(steps):
        optimizer.zero_grad()
        one.loss(windows(step))[0].backward()
        torch.nn.utils.clip_grad_norm_(one.parameters(), 1.0)
        optimizer.step()
    return one.eval()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_language_of_three_letters_is_learnt(name):
    """Only the first symbol is a surprise, of 1 in 3: log 3 = 1.0986 nats a text."""

    def windows(step: int) -> Batch:
        return batch((torch.arange(16)[:, None] + step + torch.arange(24)) % 3)

    one = trained(model(name), windows, 200)
    assert one.score(windows(0).x, None).tolist() == pytest.approx([1.0986] * 16, abs=0.15)
    drawn = write(one, 4, prompt=torch.tensor([1, 2]), length=22, temperature=0.5)
    assert torch.equal(drawn, (torch.arange(22) % 3).expand(4, -1))


def test_labels_are_learnt():
    """One label says abab, the other cdcd; each text ends after four symbols or after six."""

    def windows(step: int) -> Batch:
        labels = torch.arange(16) % 2
        text = torch.arange(10) % 2 + 2 * labels[:, None]
        text[:8, 4:], text[8:, 6:] = 6, 6
        return batch(text, labels)

    one = trained(model("gru", length=10, ends=True, labels=True), windows, 400)
    drawn = write(one, 40, torch.arange(40) % 2)
    texts = {"".join((*LETTERS[:-1], ".")[index] for index in row).rstrip(".") for row in drawn[0::2].tolist()}
    others = {"".join((*LETTERS[:-1], ".")[index] for index in row).rstrip(".") for row in drawn[1::2].tolist()}
    assert texts == {"abab", "ababab"}
    assert others == {"cdcd", "cdcdcd"}
    both = [batch(windows(0).x, torch.arange(16) % 2 ^ flip) for flip in (0, 1)]
    right, wrong = (float(one.loss(each)[0].detach()) for each in both)
    assert right < 0.2 < 1 < wrong


@pytest.mark.parametrize("preset", ["rnn", "lstm", "gru", "transformer"])
def test_presets_bring_their_optimiser_and_schedule(preset):
    config = compose("train", [f"model={preset}"]).config
    assert config["optimizer"]["name"] == "adamw"
    assert config["schedule"]["name"] == "cosine"
    cell = config["model"]["network"].get("cell", "transformer")
    assert cell == preset
