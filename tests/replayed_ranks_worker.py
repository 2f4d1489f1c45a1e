"""Train some presets as one rank of several, by replayed steps and by called ones, which must agree: a process."""

from __future__ import annotations

import pytest
import torch

from aigc_cli.distributed import connected
from tests.emulated_graphs import EmulatedGraphs
from tests.ranks_worker import part
from tests.test_captured import STEPS, assert_close_states, called, emulate, replayed
from tests.test_every_model import batch

PRESETS = ("vqvae", "stylegan2", "wgan")  # what ranks do after an update, with what the replayed loss left
SIZE = 8


def main() -> None:
    """Take the same steps twice."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch, connected("cpu", 5):
        emulate(patch)
        for preset in PRESETS:
            one, other = replayed(preset), called(preset)
            for number in range(STEPS):
                given = part(batch(number, SIZE, preset))
                assert_close_states(one.step(given), other.step(given), f"step {number} of {preset}")
            assert_close_states(one.state_dict(), other.state_dict(), preset)
            assert isinstance(one.pieces.graphs, EmulatedGraphs)
            assert one.pieces.graphs.replays > 0


if __name__ == "__main__":
    main()
