"""What was trained before a part was given a setting opens and goes on; the signature itself has no default."""

from __future__ import annotations

import inspect
import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from aigc_cli import checkpoints
from aigc_cli.cli import main
from aigc_cli.config import TABLES, load, names, parameters
from aigc_cli.runs.added_settings import ADDED, completed

WORDS = ["model.network.width=16", "model.network.depth=1", "batch_size=8", "preview.every=0",
         "preview.tensorboard=false", "device=cpu", "data.cache=cache", "schedule=constant",
         "model.network.label_at=begin", "model.label_dropout=0"]  # fmt: skip
TRANSFORMER = ["model=transformer", "model.network.heads=2", "model.network.positions=learned"]
SUMS, LABELLED = ["data=sums", "data.count=200"], ["data=reviews", "data.root=reviews.tsv", "data.length=16",
                                                   "data.vocabulary=characters", "model.conditional=true"]  # fmt: skip
LATER = {"top_p", "carry", "positions", "label_at", "label_dropout", "guidance"}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def without(node):
    return {key: without(value) for key, value in node.items() if key not in LATER} if isinstance(node, dict) else node


def tensors(name: str) -> dict[str, torch.Tensor]:
    return checkpoints.resolve(Path("outputs", name)).tensors()


@pytest.mark.parametrize("kind", [[*TRANSFORMER, *SUMS], [*TRANSFORMER, *LABELLED], ["model=gru", *LABELLED]])
def test_a_run_from_before_goes_on_and_its_checkpoint_opens(kind, capsys):
    words = [*WORDS, *kind]
    rows = [f"{('bad', 'good')[i % 2]}\tit was {('dull', 'fun')[i % 2]} {i}" for i in range(200)]
    Path("reviews.tsv").write_text("\n".join(["label\ttext", *rows]) + "\n")
    assert main(["train", *words, "steps=2", "name=old"]) == 0
    assert "network.label.weight" not in tensors("old")
    shutil.copytree("outputs/old", "outputs/new")
    run, checkpoint = Path("outputs/old"), checkpoints.resolve("outputs/old")
    stored = yaml.safe_load((run / "config.yaml").read_text())
    stored["config"]["model"] = without(stored["config"]["model"])
    (run / "config.yaml").write_text(yaml.safe_dump(stored))
    config = checkpoint.meta["config"]
    meta = {**checkpoint.meta, "config": {**config, "model": without(config["model"])}}
    assert "carry" not in json.dumps(meta["config"])
    checkpoints.save(run / "checkpoints", 2, checkpoint.tensors(), meta, checkpoint.state(), keep=2)
    for name in ("old", "new"):
        assert main(["sample", f"ckpt=outputs/{name}", f"output={name}.txt"]) == 0
        assert main(["train", *words, "steps=4", f"name={name}"]) == 0
        assert "continuing at step 2 of 4" in capsys.readouterr().out
    assert Path("old.txt").read_text() == Path("new.txt").read_text()
    assert all(torch.equal(tensors("old")[key], value) for key, value in tensors("new").items())


def test_what_is_set_stays_and_parts_within_are_completed():
    node = {"name": "autoregressive", "carry": 3, "network": {"name": "transformer"}, "first_stage": None}
    since = {"top_p": None, "label_dropout": 0.0, "guidance": 1.0}
    learned = {"name": "transformer", "positions": "learned", "label_at": "begin"}
    assert completed(node) == {**node, **since, "network": learned}
    assert completed({"name": ["transformer"]}) == {"name": ["transformer"]}
    assert completed(5) == 5


def test_no_signature_has_a_default_and_every_line_is_of_a_setting():
    tables = {name: load(target) for table in TABLES for name, target in names(table).items()}
    for name, part in tables.items():
        every = inspect.signature(part.__init__ if inspect.isclass(part) else part).parameters.values()
        settings = [each for each in every if each.kind is each.KEYWORD_ONLY]
        assert not [f"{name}.{each.name}" for each in settings if each.default is not each.empty]
    for name, added in ADDED.items():
        assert set(added) <= set(parameters(tables[name]))
