"""The trainer on a model small enough to reckon by hand."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from aigc_cli.devices import Device
from aigc_cli.divergence import Diverged
from aigc_cli.errors import CheckpointError
from aigc_cli.interfaces import Batch, DataSpec, Model, Phase
from aigc_cli.optimizers import adam, sgd
from aigc_cli.trainer import Trainer

SPEC = DataSpec("image", (1, 2, 2))


class Duel(Model):
    """Two linear parts that chase each other, with noise, so that randomness matters."""

    kinds = ("image",)
    generative = ("maker",)

    def __init__(self, every: int = 1, shared: bool = False) -> None:
        super().__init__()
        self.spec, self.conditional, self.every, self.shared = SPEC, False, every, shared
        self.maker, self.judge = nn.Linear(3, 4), nn.Linear(4, 1)
        self.afters: list[int] = []
        self.spoil_at = -1

    def phases(self) -> tuple[Phase, ...]:
        return (
            Phase("judge", list(self.judge.parameters()), self.judge_loss, after=self.note),
            Phase("maker", list(self.maker.parameters()), self.maker_loss, every=self.every),
        )

    def note(self, batch: Batch) -> None:
        self.afters.append(int(batch.step))

    def judge_loss(self, batch: Batch):
        real, fake = self.spec.encode(batch.x).flatten(1), self.maker(torch.randn(len(batch.x), 3))
        loss = self.judge(fake).mean() - self.judge(real).mean() + self.judge.weight.square().sum()
        loss = loss * float("nan") if int(batch.step) == self.spoil_at else loss
        return loss, {"margin": loss.detach()}

    def maker_loss(self, batch: Batch):
        return -self.judge(self.maker(torch.randn(len(batch.x), 3))).mean(), {}


def make(model=Duel, *, precision="fp32", build=None, schedule=lambda step: 1.0, **settings):
    torch.manual_seed(0)
    model = model() if callable(model) and not isinstance(model, Model) else model
    build = build or partial(adam, lr=0.01, betas=[0.5, 0.9], eps=1e-8, weight_decay=0.0)
    chosen = {
        "seed": 0,
        "accumulate": 1,
        "clip": None,
        "ema": 0.0,
        "channels_last": False,
        "cuda_graph": False,
        "compile": False,
        **settings,
    }
    return Trainer(model, {"judge": build, "maker": build}, schedule, Device(torch.device("cpu"), precision), **chosen)


def batch(step: int, size: int = 8) -> Batch:
    x = torch.randint(256, (size, 1, 2, 2), generator=torch.Generator().manual_seed(step), dtype=torch.uint8)
    return Batch(x, None, torch.tensor(step))


def train(trainer: Trainer, steps: range) -> Trainer:
    for step in steps:
        trainer.step(batch(step))
    return trainer


def assert_same(one, other) -> None:
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_same(*pair)
    else:
        assert one == other


def test_phase_moves_only_its_own_parameters():
    trainer = make(build=partial(sgd, lr=0.1, momentum=0.0, nesterov=False, weight_decay=0.0))
    trainer.phases = trainer.phases[1:]
    judge = [p.clone() for p in trainer.model.judge.parameters()]
    maker = [p.clone() for p in trainer.model.maker.parameters()]
    trainer.step(batch(0))
    assert all(torch.equal(a, b) for a, b in zip(judge, trainer.model.judge.parameters(), strict=True))
    assert all(p.grad is None for p in trainer.model.judge.parameters())
    assert not all(torch.equal(a, b) for a, b in zip(maker, trainer.model.maker.parameters(), strict=True))


def test_every_lets_the_critic_learn_first():
    trainer = make(Duel(every=3))
    ran = ["maker/loss" in trainer.step(batch(step)) for step in range(6)]
    assert ran == [False, False, True, False, False, True]


def test_accumulation_descends_the_mean_gradient_of_its_parts():
    """Four parts of two see the same noise as the gradient computed by hand from those parts."""
    build = partial(sgd, lr=1.0, momentum=0.0, nesterov=False, weight_decay=0.0)
    whole, parts = make(build=build), make(build=build, accumulate=4)
    whole.phases, parts.phases = whole.phases[:1], parts.phases[:1]
    # The judge's loss is linear in its bias with gradient 0 and in its weight through means: take noise away.
    for trainer in (whole, parts):
        nn.init.zeros_(trainer.model.maker.weight)
        trainer.step(batch(0))
    torch.testing.assert_close(whole.model.judge.weight, parts.model.judge.weight)


def test_clip_bounds_the_gradient_and_reports_its_norm():
    trainer = make(clip=1e-3)
    logs = trainer.step(batch(0))
    norm = torch.stack([p.grad.norm() for p in trainer.model.judge.parameters()]).norm()
    assert norm <= 1.001e-3
    assert logs["judge/gradient_norm"] > 1e-3


def test_average_follows_its_formula():
    trainer = make(ema=0.9)
    expected = trainer.model.maker.weight.detach().clone()
    for step in range(30):
        trainer.step(batch(step))
        if step == 0:
            expected = trainer.model.maker.weight.detach().clone()  # the first update copies
        else:
            decay = min(0.9, (1 + step) / (10 + step))
            expected = expected + (1 - decay) * (trainer.model.maker.weight.detach() - expected)
    with trainer.sampling() as model:
        torch.testing.assert_close(model.maker.weight, expected)
        assert not model.training
    assert trainer.model.training
    assert not torch.equal(trainer.model.maker.weight, expected)


def test_sampling_leaves_training_randomness_alone():
    trainer = make(ema=0.9)
    state = torch.get_rng_state()
    with trainer.sampling():
        torch.randn(10)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("settings", [{}, {"accumulate": 2, "clip": 1.0, "ema": 0.99}])
def test_resume_equals_never_stopping(precision, settings):
    whole = train(make(partial(Duel, every=2), precision=precision, **settings), range(7))
    first = train(make(partial(Duel, every=2), precision=precision, **settings), range(4))
    second = make(partial(Duel, every=2), precision=precision, **settings)
    second.load_state_dict(first.state_dict())
    train(second, range(4, 7))
    assert_same(second.state_dict(), whole.state_dict())


def test_randomness_is_a_function_of_the_step():
    one = train(make(), range(3))
    torch.manual_seed(99)
    other = make()
    torch.randn(1000)
    train(other, range(3))
    assert_same(one.state_dict(), other.state_dict())


def test_divergence_names_phase_and_first_step():
    model = Duel()
    model.spoil_at = 3
    trainer = make(model)
    train(trainer, range(6))
    with pytest.raises(Diverged, match=r"phase 'judge'.*step 4"):
        trainer.losses.check()


def test_fp16_skips_what_overflowed_with_its_average_and_after():
    model = Duel()
    model.spoil_at = 2
    trainer = make(model, precision="fp16", ema=0.9)
    train(trainer, range(2))
    weight, scale = model.judge.weight.clone(), trainer.scalers["judge"].get_scale()
    trainer.step(batch(2))
    assert torch.equal(weight, model.judge.weight)
    assert trainer.scalers["judge"].get_scale() == scale / 2
    assert 2 not in model.afters
    trainer.losses.check()  # the scale adapts: no divergence yet
    trainer.step(batch(3))
    assert not torch.equal(weight, model.judge.weight)
    assert model.afters[-1] == 3


def test_masked_average_does_not_move():
    trainer = make(ema=0.5)
    train(trainer, range(3))
    before = trainer.average.average.module["maker"].weight.clone()
    trainer.average.update(torch.tensor(False))
    assert torch.equal(before, trainer.average.average.module["maker"].weight)


def test_schedule_scales_the_rate():
    trainer = make(schedule=lambda step: 0.5**step)
    train(trainer, range(3))
    assert trainer.learning_rate() == 0.01 * 0.25


def test_optimisers_of_another_model_are_refused():
    """Equal counts of parameters, other shapes: torch itself would load them silently."""
    state = make().state_dict()
    state["parameters"]["judge"][0][1] = [2, 2]
    with pytest.raises(CheckpointError, match="another model"):
        make().load_state_dict(state)
