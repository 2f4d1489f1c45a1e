"""Losses are compiled where it is asked for: to rounding the same training, under the same names."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from aigc_cli import checkpoints
from aigc_cli.cli import main
from aigc_cli.compiled import explained
from tests.test_train import TINY, place  # noqa: F401 (place is a fixture)

WORDS = [*(word for word in TINY if not word.startswith("model") and not word.startswith("name")), "preview.every=0",
         "model=autoencoder", "model.encoder.widths=[8]", "model.decoder.widths=[8]"]  # fmt: skip


def train(*words: str) -> int:
    return main(["train", *WORDS, *words])


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch's compiler needs g++ on a CPU")
@pytest.mark.filterwarnings("ignore")  # of the compiler's own
def test_a_compiled_run_learns_alike_and_goes_on_without(place, capsys):  # noqa: F811
    torch.compiler.reset()
    assert train("steps=2", "trainer.compile=true", "name=run") == 0
    assert train("steps=2", "trainer.compile=false", "name=plain") == 0
    one, other = (checkpoints.resolve(Path("outputs", name)).tensors() for name in ("run", "plain"))
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=1e-4, atol=1e-5)
    capsys.readouterr()
    assert train("steps=3", "name=run") == 0
    assert "continuing at step 2 of 3" in capsys.readouterr().out


def test_what_the_compiler_cannot_do_is_said_in_a_line():
    double = RuntimeError("torch.compile with aot_autograd does not currently support double backward")
    broken = torch._dynamo.exc.BackendCompilerFailed(lambda: None, ValueError("no g++"), None)
    for error, said in ((double, "gradients of gradients"), (broken, "BackendCompilerFailed")):
        told = explained(error, {"compile": True})
        assert said in str(told)
        assert str(told).endswith("Type trainer.compile=false.")
        assert explained(error, {"compile": "auto"}) is None
    assert explained(RuntimeError("another"), {"compile": True}) is None
