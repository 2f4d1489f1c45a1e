"""What the command line chooses among our own configs is that, whole."""

from __future__ import annotations

import pytest

from aigc_cli.composing.compose import compose


@pytest.mark.parametrize(
    ("words", "path", "node"),
    [
        (["model/penalty=none"], "penalty", {"name": "none"}),
        (["model/penalty=r1"], "penalty", {"name": "r1", "weight": 10.0, "every": 1}),
        (["model.penalty=r1", "model.penalty.weight=2"], "penalty", {"name": "r1", "weight": 2, "every": 1}),
        (["recipe=mnist_dcgan", "data.root=x", "model/loss=hinge"], "loss", {"name": "hinge"}),
        (["recipe=mnist_dcgan", "data.root=x"], "loss", {"name": "bce", "smoothing": 0.1}),
    ],
)
def test_a_part_that_is_chosen_is_whole(words, path, node):
    """What a pair or a recipe says of another part is not mixed into it (our own configs)."""
    assert compose("train", words).config["model"][path] == node


def test_a_chosen_optimizer_keeps_its_own_settings():
    assert compose("train", ["optimizer=adam_gan"]).config["optimizer"]["lr"] == 2e-4
    assert compose("train", []).config["optimizer"]["lr"] == 2e-3  # as the pair has it
