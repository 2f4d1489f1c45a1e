"""The diffusion transformer against its paper."""

from __future__ import annotations

import pytest
import torch

from aigc_cli.composing.compose import compose
from aigc_cli.config import bind
from aigc_cli.errors import ConfigError
from aigc_cli.interfaces import Shapes
from aigc_cli.networks.dit import embed_positions

SIZES = {  # width, depth, heads, millions of parameters with patches of 2: arXiv:2212.09748, Table 4
    "S": (384, 12, 6, 33), "B": (768, 12, 12, 130), "L": (1024, 24, 16, 458), "XL": (1152, 28, 16, 675),
}  # fmt: skip


def dit(shapes: Shapes, **settings):
    words = [f"model.denoiser.{key}={value}" for key, value in settings.items()]
    return bind("networks", compose("train", ["model=dit", *words]).config["model"]["denoiser"], "model.denoiser")(
        shapes
    )


@pytest.mark.parametrize("size", SIZES)
def test_sizes_have_the_papers_parameters(size):
    width, depth, heads, millions = SIZES[size]
    with torch.device("meta"):  # latents of 4 channels, 32 x 32; out come their noise and its variance
        network = dit(Shapes((4, 32, 32), (8, 32, 32), 1001), width=width, depth=depth, heads=heads)
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(millions * 1e6, rel=0.01)


@pytest.mark.parametrize(("shape", "patch"), [((1, 28, 28), 2), ((3, 32, 16), 4), ((3, 8, 12), 1)])
def test_pictures_keep_their_shape_and_a_fresh_network_returns_zeros(shape, patch):
    network = dit(Shapes(shape, shape), width=16, depth=1, heads=2, patch=patch)
    assert torch.equal(network(torch.randn(2, *shape), torch.tensor([0.0, 5.0])), torch.zeros(2, *shape))


def test_patches_are_put_together_where_they_were_cut():
    """With its blocks passing on what they get, each patch of the output depends on its own patch only."""
    network = dit(Shapes((1, 8, 12), (1, 8, 12)), width=16, depth=2, heads=2, patch=4)
    torch.nn.init.normal_(network.leave.weight)
    x, time = torch.randn(1, 1, 8, 12), torch.tensor([3.0])
    changed = x.clone()
    changed[:, :, 4:, 8:] += 1
    moved = (network(x, time) != network(changed, time))[0, 0]
    assert moved[4:, 8:].all()
    assert not moved[:4].any()
    assert not moved[:, :8].any()


def test_positions_tell_rows_and_columns_apart():
    positions = embed_positions(3, 5, 16)
    assert positions.shape == (15, 16)
    assert torch.cdist(positions, positions).fill_diagonal_(1).min() > 0.1
    row, column = positions[:, :8].reshape(3, 5, 8), positions[:, 8:].reshape(3, 5, 8)
    assert torch.equal(row[:, 0], row[:, 4])
    assert torch.equal(column[0], column[2])


@pytest.mark.parametrize(("settings", "said"), [({"patch": 5}, r"model.denoiser.patch=4"), ({"heads": 5}, "heads=4")])
def test_what_does_not_divide_is_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        dit(Shapes((1, 28, 28), (1, 28, 28)), **settings)
