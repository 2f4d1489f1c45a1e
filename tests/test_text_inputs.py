"""Texts that are put into models: reconstructed, encoded, scored, walked between; what cannot be is one line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from aigc_cli import checkpoints
from aigc_cli.checkpoints.restoring import restore
from aigc_cli.cli import main
from aigc_cli.texts.reading import stored_sources, symbols_of, texts_of

PLAIN = ["steps=2", "batch_size=8", "preview.every=0", "preview.tensorboard=false", "device=cpu", "data.cache=cache"]
SMALL = [f"model.{part}.width=8" for part in ("encoder", "decoder")]
REVIEWS = ["data=reviews", "data.root=reviews.tsv", "data.vocabulary=characters", "data.length=24"]
WORDS = ("good", "bad", "dull", "fine")


@pytest.fixture(autouse=True, scope="module")
def place(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("inputs"))
        rows = [f"{WORDS[i % 4]} film {i}\t{'pos' if i % 4 in (0, 3) else 'neg'}\n" for i in range(120)]
        Path("reviews.tsv").write_text("text\tlabel\n" + "".join(rows))
        Path("pairs.tsv").write_text("".join(f"{'ab' * (1 + i % 3)}\t{'ba' * (1 + i % 4)}\n" for i in range(100)))
        Path("plain.txt").write_text("one line and another line.\n" * 60)
        Path("few.txt").write_text("good film\nbad film 7\ngood bad dull fine\n")
        yield


@pytest.fixture(scope="module")
def vae(place) -> str:
    assert main(["train", "model=text_vae", *SMALL, *REVIEWS, *PLAIN, "name=vae"]) == 0
    return "ckpt=outputs/vae"


@pytest.fixture(scope="module")
def labelled(place) -> str:
    words = ["model=text_vae", "model.conditional=true", *SMALL, *REVIEWS, *PLAIN, "name=labelled"]
    assert main(["train", *words]) == 0
    return "ckpt=outputs/labelled"


def opened(run: str):
    return restore(checkpoints.resolve(run.removeprefix("ckpt=")), torch.device("cpu"))


def table(path: Path | str) -> list[dict[str, str]]:
    return list(csv.DictReader(Path(path).read_text().splitlines()))


def test_given_sentences_are_reconstructed_as_the_model_does(vae, capsys):
    assert main(["reconstruct", vae, "samples=few.txt", "output=few.jsonl", "batch_size=2"]) == 0
    model, lines = opened(vae), Path("few.txt").read_text().splitlines()
    made = texts_of(model.reconstruct(stored_sources(lines, model.spec, "x"), None), model.spec)
    found = [json.loads(line) for line in Path("few.jsonl").read_text().splitlines()]
    assert found == [{"text": text, "source": line} for text, line in zip(made, lines, strict=True)]
    out = capsys.readouterr().out
    assert f"good film\n  made:   {made[0]}" in out
    assert "3 texts and their reconstructions by text_vae" in out
    assert main(["reconstruct", vae, "n=4", "label=pos"]) == 0
    given = Path("outputs/vae/samples/reconstructions-step-00000002.txt").read_text().split("\n")[::3]
    assert len([line for line in given if line]) == 4
    assert all(line.startswith(("good", "fine")) for line in given if line)


def test_codes_of_a_file_are_those_of_its_texts(vae):
    assert main(["encode", vae, "samples=few.txt", "output=few.npy"]) == 0
    model, lines = opened(vae), Path("few.txt").read_text().splitlines()
    wanted = model.encode(stored_sources(lines, model.spec, "x"), None).numpy()
    np.testing.assert_allclose(np.load("few.npy"), wanted, rtol=1e-5, atol=1e-6)
    assert [row["name"] for row in table("few.csv")] == lines
    assert Path("few.png").exists()
    assert main(["encode", vae, "n=5", "output=five.npy"]) == 0
    assert {row["label"] for row in table("five.csv")} <= {"pos", "neg"}
    assert all(" film " in row["name"] for row in table("five.csv"))


def test_unusual_texts_are_those_of_the_most_nats_a_symbol(place, capsys):
    small = ["model.network.width=8", "model.network.depth=1"]
    assert main(["train", "model=gru", *small, *REVIEWS, *PLAIN, "name=gru"]) == 0
    assert main(["anomaly", "ckpt=outputs/gru", "samples=few.txt", "output=unusual"]) == 0
    model, lines = opened("outputs/gru"), Path("few.txt").read_text().splitlines()
    nats = model.score(stored_sources(lines, model.spec, "x"), None).numpy() / [len(line) + 1 for line in lines]
    found = {row["name"]: float(row["score"]) for row in table("unusual/scores.csv")}
    assert found == pytest.approx(dict(zip(lines, nats.tolist(), strict=True)), rel=1e-4)
    assert main(["anomaly", "ckpt=outputs/gru", "usual=pos", "output=apart"]) == 0
    assert 0 <= json.loads(Path("apart/scores.json").read_text())["area_under_curve"] <= 1


def test_running_text_is_scored_window_by_window(place, capsys):
    words = ["model=gru", "model.network.width=8", "data=text_file", "data.root=plain.txt", "data.length=16"]
    assert main(["train", *words, *PLAIN, "name=running"]) == 0
    Path("two.txt").write_text("one line and another line.\nand one more than 32")
    assert main(["anomaly", "ckpt=outputs/running", "samples=two.txt", "output=windows"]) == 2
    assert "samples, text 1: the model knows no 'm32'" in capsys.readouterr().err
    Path("two.txt").write_text("one line and another line.\nand on")
    assert main(["anomaly", "ckpt=outputs/running", "samples=two.txt", "output=windows"]) == 0
    model, text = opened("outputs/running"), Path("two.txt").read_text()
    rows = torch.stack([symbols_of(part, model.spec, "x") for part in (text[:16], text[16:32])])
    scores = model.score(rows.to(model.spec.dtype), None).tolist()
    content = Path("windows/scores.csv").read_text()
    assert sorted(float(score) for score in (f"{each:.6g}" for each in scores)) == sorted(
        float(row["score"]) for row in csv.DictReader(content.splitlines(keepends=True)))  # fmt: skip
    assert main(["anomaly", "ckpt=outputs/running", "n=3", "output=held_out"]) == 0


def test_pairs_are_scored_given_their_sources(place, capsys):
    sizes = [f"model.{part}.{size}" for part in ("encoder", "decoder") for size in ("width=8", "depth=1", "heads=2")]
    data = ["data=pairs", "data.root=pairs.tsv", "data.length=12", "data.source_length=12", "data.vocabulary=bytes"]
    assert main(["train", "model=seq2seq", *sizes, *data, *PLAIN, "name=answers"]) == 0
    assert main(["anomaly", "ckpt=outputs/answers", "n=4", "output=held_pairs"]) == 0
    lines = [("ab", "ba"), ("ab", "ab"), ("abab", "ba")]
    Path("pairs.jsonl").write_text("".join(json.dumps({"source": a, "text": b}) + "\n" for a, b in lines))
    assert main(["anomaly", "ckpt=outputs/answers", "samples=pairs.jsonl", "output=pairs_told"]) == 0
    model = opened("outputs/answers")
    targets = stored_sources([target for _, target in lines], model.spec, "x")
    nats = model.score(targets, stored_sources([source for source, _ in lines], model.source, "x")) / 3
    scores = [float(row["score"]) for row in table("pairs_told/scores.csv")]
    assert scores == pytest.approx(sorted(nats.tolist(), reverse=True), rel=1e-4)
    assert main(["anomaly", "ckpt=outputs/answers", "samples=few.txt", "output=no"]) == 2
    assert "samples, text 1: without a source" in capsys.readouterr().err
    assert main(["encode", "ckpt=outputs/answers"]) == 2
    assert "ckpt: model 'seq2seq' encodes nothing" in capsys.readouterr().err


def test_labels_of_a_file_are_told_to_a_model_that_learnt_them(labelled, capsys):
    lines = [{"text": "good film", "label": "pos"}, {"text": "good film", "label": "neg"}]
    Path("labelled.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert main(["encode", labelled, "samples=labelled.jsonl", "output=labelled.npy", "map=false"]) == 0
    codes, model = np.load("labelled.npy"), opened(labelled)
    stored, classes = stored_sources(["good film"] * 2, model.spec, "x"), model.spec.class_names
    wanted = model.encode(stored, torch.tensor([classes.index(line["label"]) for line in lines])).numpy()
    np.testing.assert_allclose(codes, wanted, rtol=1e-5, atol=1e-6)
    assert main(["encode", labelled, "samples=few.txt", "output=never.npy"]) == 2
    said = capsys.readouterr().err
    assert "each line of a .jsonl needs a label, given none, allowed: neg, pos." in said


def test_a_walk_between_two_sentences_begins_and_ends_as_their_reconstructions(vae, labelled):
    ends = ["source=good film 12", "target=bad, dull film"]
    assert main(["sample", vae, "interpolate=true", ends[0], "target=bad dull film", "frames=5", "output=w.jsonl"]) == 0
    walked = [json.loads(line) for line in Path("w.jsonl").read_text().splitlines()]
    model = opened(vae)
    stored = stored_sources(["good film 12", "bad dull film"], model.spec, "x")
    made = texts_of(model.reconstruct(stored, None), model.spec)
    assert [walked[0], walked[-1]] == [{"text": text} for text in made]
    assert len(walked) == 5
    words = ["interpolate=true", ends[0], "target=dull film", "label=[pos,neg]", "n=2", "frames=3", "output=l.jsonl"]
    assert main(["sample", labelled, *words]) == 0
    found = [json.loads(line)["label"] for line in Path("l.jsonl").read_text().splitlines()]
    assert found == ["pos"] * 3 + ["neg"] * 3


@pytest.mark.parametrize(("words", "said"), [
    (["sample", "target=x"], "target: only of a walk from a text. Type interpolate=true source='...' as well"),
    (["sample", "interpolate=true", "source=good"], "target: not set. A walk from a text leads to another"),
    (["sample", "interpolate=true", "target=good"], "target: only of a walk from a text."),
    (["sample", "interpolate=true", "source=good", "target=bad", "n=3"], "n: given 3, but between two texts"),
    (["sample", "interpolate=true", "source=good", "target=Q"], "target: the model knows no 'Q'"),
    (["sample", "interpolate=true", "source=", "target=bad"], "source: given nothing, allowed: 1 to 23 symbols"),
    (["sample", "source=good"], "source: this model makes text of nothing."),
    (["reconstruct", "output=x.png"], "output: given x.png, but this model makes texts. Allowed: a name that ends"),
    (["reconstruct", "output=x.pdf"], "output: given x.pdf, allowed: a name that ends in .png"),
    (["encode", "samples=nowhere.txt"], "samples: no file or folder 'nowhere.txt'"),
    (["encode", "samples=few.txt", "data.root=x"], "data: samples=few.txt are read already."),
    (["anomaly", "samples=few.txt", "usual=good"], "usual: these samples have no labels."),
])  # fmt: skip
def test_what_cannot_be_is_one_line(vae, capsys, words, said):
    assert main([words[0], vae, *words[1:]]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_text_is_cut_as_the_data_were_and_an_empty_one_is_its_end(vae, capsys):
    Path("long.txt").write_text(f"good\n\n{'d' * 40}\n")
    assert main(["encode", vae, "samples=long.txt", "format=npy", "output=codes.npy"]) == 0
    assert "aigc: 1 of 3 texts are cut to 24 symbols, as the data were." in capsys.readouterr().err
    long = np.load("codes.npy")
    Path("short.txt").write_text(f"good\n\n{'d' * 24}\n")
    assert main(["encode", vae, "samples=short.txt", "format=npy", "output=short.npy"]) == 0
    np.testing.assert_array_equal(long, np.load("short.npy"))
    assert len(long) == 3
