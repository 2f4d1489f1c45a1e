"""Text as other data are: compared in sweeps, by its own figures; told what to type next; mistakes in one line."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest

from aigc_cli.cli import main
from aigc_cli.commands import train
from aigc_cli.evaluating.measures import MEASURES
from aigc_cli.manual import MANUAL
from aigc_cli.sweeping import objectives
from aigc_cli.sweeping.page import made
from aigc_cli.sweeping.result import Result

PLAIN = ["steps=2", "batch_size=4", "preview.n=2", "preview.tensorboard=false", "device=cpu", "data.cache=cache"]
SUMS = ["data=sums", "data.count=100", "model.network.width=8", *PLAIN]
PAIRS = ["model=seq2seq", "data=pairs", "data.root=pairs.tsv", "data.length=12", "data.source_length=12",
         "data.vocabulary=characters", *(f"model.{part}.{size}" for part in ("encoder", "decoder")
                                         for size in ("width=8", "depth=1", "heads=2")), *PLAIN]  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def place(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("sweeps"))
        Path("pairs.tsv").write_text("".join(f"{'ab' * (1 + i % 3)}\t{'ba' * (1 + i % 4)}\n" for i in range(100)))
        yield


def swept(output: str, *words: str) -> tuple[list[dict], str]:
    assert main(["train", "-m", *words, f"output={output}"]) == 0
    (page,) = Path(output, "sweeps").glob("*/index.html")
    return [json.loads(path.read_text()) for path in page.parent.glob("jobs/*.json")], page.read_text()


def test_a_sweep_of_text_sorts_by_how_well_text_is_foreseen_and_shows_what_is_written(capsys):
    jobs, page = swept("by_default", "model=lstm,gru", *SUMS)
    figures = sorted(job["objective"] for job in jobs)
    assert all(1 < figure < 4 for figure in figures)  # log of the 13 symbols is 2.56
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2] == "the best comes first: the smaller nats_per_symbol, the better"
    ranked = [line.split() for line in lines if re.match(r"[12]  ", line)]
    assert [float(row[2]) for row in ranked] == pytest.approx(figures, rel=1e-3)
    for job in jobs:
        text = Path(job["run"], job["grid"]).read_text()
        assert re.search(rf'<pre class="made" [^>]*>{re.escape(html.escape(text))}</pre>', page)
        assert (Path("by_default/sweeps/any") / re.findall(r'<dd><a href="([^"]*\.txt)">', page)[0]).resolve().exists()
    assert not swept("by_default", "model=lstm,gru", *SUMS)[1].count("no samples")
    assert capsys.readouterr().out.count("is finished: 2 steps") == 2


def test_where_more_is_better_the_largest_comes_first(capsys):
    jobs, page = swept("by_chrf", "seed=1,2,3", "optimizer.lr=0.05", *PAIRS, "objective=chrf")
    lines = capsys.readouterr().out.splitlines()
    ranked = [line.split()[2] for line in lines if re.match(r"[123]  ", line)]
    assert ranked == [f"{figure:.4g}" for figure in sorted((job["objective"] for job in jobs), reverse=True)]
    assert "The best comes first: the larger chrf, the better." in page
    assert sum(line.endswith("(the objective: more is better)") for line in lines) == 3


def test_without_an_objective_nothing_is_said_of_the_best(capsys):
    jobs, page = swept("by_nothing", "model=lstm,gru", *SUMS, "objective=null")
    said = capsys.readouterr().out
    assert [job["objective"] for job in jobs] == [None, None]
    assert "best comes first" not in page + said
    assert "null" not in said.replace("objective=null", "")
    assert "<dt>None" not in page


def test_another_objective_is_measured_anew(capsys):
    words = ["train", "model=gru", *SUMS, "name=twice"]
    found = {}
    for name in ("nats_per_symbol", "correct", "nats_per_symbol"):
        assert main([*words, f"objective={name}"]) == 0
        found.setdefault(name, []).append(json.loads(Path("outputs/twice/summary.json").read_text())["objective"])
    assert found["nats_per_symbol"][0] == found["nats_per_symbol"][1] > 1 >= found["correct"][0]
    capsys.readouterr()
    assert main([*words, "objective=nats_per_symbol"]) == 0
    assert "is finished: 2 steps" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model=gru", *SUMS, "objective=frechet"],
         "objective: frechet does not apply to this model and data. Type objective=nats_per_symbol."),
        (["model=gru", *SUMS, "objective=bleu"],
         "objective: bleu does not apply to this model and data. Type objective=nats_per_symbol."),
        (["model=gan", *PLAIN, "objective=perplexity"],
         "objective: perplexity does not apply to this model and data. Type objective=sliced_wasserstein."),
        (["-m", "recipe=sums_transformer,mnist_dcgan"],
         "objective: no figure compares jobs on text with jobs on other data. Type objective=null."),
        (["-m", "model=gru", "objective=null", "hydra/sweeper=optuna", "optimizer.lr=interval(1e-4,1e-2)", *SUMS],
         "objective: a search needs a figure to go by. Leave objective=null out."),
        (["-m", "model=gru", "objective=correct", "hydra/sweeper=optuna", "hydra.sweeper.direction=maximize",
          "optimizer.lr=interval(1e-4,1e-2)", *SUMS], "hydra.sweeper.direction: which way is better follows"),
        (["model=gru", *SUMS, "evaluate_every=1"],
         "Type evaluation.metrics=[perplexity] evaluation.best=perplexity."),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_one_line(capsys, words, said):
    if "hydra/sweeper=optuna" in words:
        pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="the extra 'sweep' is not installed")
    assert main(["train", *words, "output=never"]) == 2
    found = capsys.readouterr().err.splitlines()
    assert said in found[-1]
    assert not Path("never").exists()


def test_what_is_said_of_evaluating_works():
    words = ["evaluation.metrics=[perplexity]", "evaluation.best=perplexity"]
    assert main(["train", "model=gru", *SUMS, "evaluate_every=1", *words, "name=watched"]) == 0


def test_costs_are_what_to_look_for_the_smallest_of():
    assert objectives.cost(20.0, "bleu") < objectives.cost(10.0, "bleu") < objectives.cost(None, "bleu")
    assert objectives.cost(1.0, "perplexity") < objectives.cost(2.0, "perplexity") < objectives.cost(
        float("nan"), "perplexity")  # fmt: skip
    assert all(MEASURES[name].better for name in train.Objective.__args__)


def test_texts_on_a_page_are_no_markup_and_not_endless(tmp_path):
    (tmp_path / "step.txt").write_text("<script>&" + "x" * 10_000)
    shown = made(Result([], str(tmp_path), "finished", grid="step.txt"), "a run")
    assert shown.startswith('<pre class="made" tabindex="0" aria-label="samples of a run">&lt;script&gt;&amp;xxx')
    assert shown.endswith("x ...</pre>")
    assert len(shown) < 2000
    (tmp_path / "step.txt").write_text("many words\n" * 1000)
    assert made(Result([], str(tmp_path), "finished", grid="step.txt"), "a run").endswith("many words ...</pre>")
    assert "no samples" in made(Result([], str(tmp_path), "finished", grid="gone.txt"), "a run")


def test_a_recipe_for_what_is_to_be_trained_is_named_once(capsys):
    assert main(["show", "model=transformer", "data=sums"]) == 0
    known = "known to work: recipe=sums_transformer: A small transformer learns to add"
    assert f"# {known}" in capsys.readouterr().out
    words = ["train", "model=transformer", *SUMS, "model.network.heads=2", "name=hinted"]
    assert main(words) == 0
    assert f"aigc: {known}" in capsys.readouterr().err
    assert main(words) == 0
    assert main(["train", "recipe=sums_transformer", *SUMS, "model.network.heads=2", "name=chosen"]) == 0
    assert main(["train", "model=gru", *SUMS, "name=without"]) == 0
    assert main(["train", "-m", *words[1:-1], "seed=1,2", "output=many"]) == 0
    assert "known to work" not in capsys.readouterr().err


# What to type next, and how walks are asked for -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "more"),
    [(PAIRS, " source='...'"), (["model=gru", *SUMS], ""), (["model=gan", *PLAIN, "model.latent=4"], " n=64")],
)
def test_the_command_that_is_told_after_training_is_one_that_works(words, more, capsys):
    name = f"next{len(more)}"
    command = f"aigc sample ckpt=outputs/{name}{more}"
    for _ in range(2):  # the second says that it is finished
        assert main(["train", *words, f"name={name}"]) == 0
        (line,) = [line for line in capsys.readouterr().out.splitlines() if "aigc sample" in line]
        assert line.removeprefix("  sample:").strip() == command
    assert main(["sample", f"ckpt=outputs/{name}", *([more.strip().replace("'...'", "ab")] if more else [])]) == 0


@pytest.fixture(scope="module")
def latents(place) -> str:
    small = [f"model.{part}.width=8" for part in ("encoder", "decoder")]
    assert main(["train", "model=text_vae", *small, "data=sums", "data.count=100", *PLAIN, "name=latents"]) == 0
    return "ckpt=outputs/latents"


@pytest.mark.parametrize(("words", "count"), [([], 9), (["frames=31"], 31), (["frames=2"], 2)])
def test_a_walk_of_texts_has_as_many_as_are_typed(latents, words, count):
    assert main(["sample", latents, "interpolate=true", "output=walk.jsonl", "n=1", *words]) == 0
    newest = max(Path().glob("walk*.jsonl"), key=lambda path: path.stat().st_mtime_ns)
    assert len(newest.read_text().splitlines()) == count


def test_a_walk_is_one_file(latents, capsys):
    assert main(["sample", latents, "interpolate=true", "files=true"]) == 2
    assert "files: not with interpolate=true, which makes one file." in capsys.readouterr().err


def test_a_prompt_of_question_marks_is_a_prompt(latents, capsys):
    assert main(["sample", latents, "prompt=???"]) == 2
    assert "prompt: the model knows no '?'" in capsys.readouterr().err


def test_the_manual_names_what_measures_text():
    for group in ("perplexity", "sums", "novelty", "translation", "top_p", "beam"):
        assert group in MANUAL["evaluate"]
