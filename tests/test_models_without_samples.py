"""Models that draw no samples train, show what they do, are measured, and say what to type next."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from aigc_cli.cli import main
from aigc_cli.metrics.fidelity import psnr, ssim

TRAIN = ["train", "data.count=200", "data.size=16", "batch_size=20", "steps=4", "preview.n=16", "log_every=2",
         "preview.tensorboard=false", "device=cpu"]  # fmt: skip
SMALL = {
    "autoencoder": ["model.encoder.widths=[8]", "model.decoder.widths=[8]"],
    "super_resolution": ["model.network.width=4", "model.network.blocks=1"],
}
NEXT = {"autoencoder": "aigc reconstruct ckpt=outputs/autoencoder", "super_resolution": "aigc upscale ckpt=outputs/"}


@pytest.mark.parametrize(("model", "rows"), [("autoencoder", 2), ("super_resolution", 3)])
def test_training_shows_examples_and_figures(tmp_path, monkeypatch, capsys, model, rows):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIGC_CACHE", str(tmp_path / "cache"))
    words = [*TRAIN, f"model={model}", f"name={model}", *SMALL[model], "evaluate_every=2",
             "evaluation.metrics=[restoration]", "evaluation.best=psnr"]  # fmt: skip
    assert main(words) == 0
    assert NEXT[model] in capsys.readouterr().out
    with Image.open(f"outputs/{model}/samples/step-00000004.png") as page:
        assert page.size == (4 * 66 - 2, rows * 66 - 2)  # four of the held-out data in each row
    assert json.loads(Path(f"outputs/{model}/best.json").read_text())["figure"] == "psnr"
    assert main(words) == 0
    assert NEXT[model] in capsys.readouterr().out  # a finished run says it too
    assert main(["evaluate", f"ckpt=outputs/{model}"]) == 0
    figures = json.loads(Path(f"outputs/{model}/evaluation.json").read_text())["figures"]
    given = {"given_psnr", "given_ssim"} if model == "super_resolution" else set()
    assert set(figures) == {"psnr", "ssim"} | given
    capsys.readouterr()
    for wrong, said in {
        "metrics=[frechet]": "metrics: frechet needs samples, which this model draws none of.",
        "metrics=[likelihood]": "metrics: likelihood needs a model that bounds it",
        "steps=5": "steps: no samples are drawn for these figures.",
    }.items():
        assert main(["evaluate", f"ckpt=outputs/{model}", wrong]) == 2
        assert said in capsys.readouterr().err
    assert main([*words, "evaluation.metrics=[frechet]", "name=other"]) == 2
    assert "evaluation.metrics: frechet does not apply" in capsys.readouterr().err


def test_fidelities_of_known_errors():
    wanted = torch.randint(20, 236, (3, 1, 16, 16), dtype=torch.uint8)
    assert psnr(wanted, wanted, 256).tolist() == [100.0] * 3
    assert psnr(wanted + 1, wanted, 256)[0] == pytest.approx(48.1308, abs=1e-3)  # 20 log10 255
    assert torch.allclose(ssim(wanted, wanted, 256), torch.ones(3))
    assert (ssim(255 - wanted, wanted, 256) < 0).all()
    assert ssim(wanted[:, :, :8, :8], wanted[:, :, :8, :8], 256).shape == (3,)
