"""Texts of files are measured without a model, whoever wrote them; what cannot be is one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from aigc_cli.cli import main
from aigc_cli.evaluating import given_text
from aigc_cli.texts.given import read_passages
from aigc_cli.texts.pages import PAGES, Passage, as_txt

PLAY = "".join(f"KATE:\nLine {number} of many, and no other.\n" for number in range(100))
HELD_OUT = [("a dog runs", "ein Hund rennt"), ("two dogs sleep here", "zwei Hunde schlafen hier"),
            ("the cat sees a bird", "die Katze sieht einen Vogel")]  # fmt: skip
PAIRS = ["data=pairs", "data.root=pairs", "data.vocabulary=characters", "data.cache=cache"]
RUNNING = ["data=text_file", "data.root=play.txt", "data.length=32", "data.cache=cache"]
SUMS = ["data=sums", "data.count=200", "data.cache=cache"]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("play.txt").write_text(PLAY)
    Path("pairs").mkdir()
    Path("pairs/train.tsv").write_text("".join(f"{each[0]} again\t{each[1]} wieder\n" for each in HELD_OUT * 5))
    Path("pairs/val.tsv").write_text("".join("\t".join(pair) + "\n" for pair in HELD_OUT))
    return tmp_path


def figures(*words: str, output: str = "told") -> dict[str, float]:
    assert main(["evaluate", *words, f"output={output}"]) == 0
    return json.loads(Path(output, "evaluation.json").read_text())["figures"]


def write(name: str, *lines: dict | str) -> str:
    texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    Path(name).write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return f"samples={name}"


def test_sums_are_graded_and_what_the_data_hold_is_not_new():
    assert main(["data", "check", *SUMS, "n=5"]) == 0
    page = next(Path("outputs/data").glob("*.txt")).read_text()
    known = page.splitlines()[0]
    given = write("sums.txt", known, "1+1=3", "", "1+=")
    assert figures(given, *SUMS) == {"correct": 0.25, "novelty": 0.75}


@pytest.mark.parametrize("vocabulary", ["characters", "bytes", "bpe"])
@pytest.mark.parametrize("at_once", [7, 1 << 20])
def test_of_running_text_what_occurs_in_it_is_not_new(monkeypatch, vocabulary, at_once):
    if vocabulary == "bpe":
        pytest.importorskip("tokenizers")
    monkeypatch.setattr(given_text, "AT_ONCE", at_once)
    copied, new = PLAY[70:140], PLAY[70:139] + "Z"
    assert "\n" in copied
    passages = [Passage(copied), Passage(new.replace("Z", "K")), Passage("no other.\nKATE")]
    Path("given").mkdir()
    for ending in ("txt", "jsonl"):
        Path("given", f"few.{ending}").write_text(PAGES[ending](passages, ""))
    Path("given", "whole.txt").write_text(PLAY[5:60] + "\n")
    Path("given", "page.html").write_text("not this")
    assert figures("samples=given", *RUNNING, f"data.vocabulary={vocabulary}") == {"novelty": 2 / 7}
    assert len(list(Path("given").iterdir())) == 4


def test_translations_are_compared_with_the_targets_of_their_sources(capsys):
    sacrebleu = pytest.importorskip("sacrebleu")
    made = ["ein Hund rennt", "zwei Hunde schlafen dort", "eine Katze sieht Vögel"]
    lines = [{"text": text, "source": source} for text, (source, _) in zip(made, HELD_OUT, strict=True)]
    given = write("made.jsonl", *reversed(lines))
    found = figures(given, *PAIRS, "metrics=[translation]")
    wanted = [[target for _, target in HELD_OUT]]
    assert found["bleu"] == pytest.approx(sacrebleu.corpus_bleu(made, wanted).score)
    assert found["chrf"] == pytest.approx(sacrebleu.corpus_chrf(made, wanted).score)
    assert figures(write("made.txt", *made), *PAIRS, "metrics=[translation]", output="lines") == pytest.approx(found)
    two = figures(write("made.txt", *made), *PAIRS, "metrics=[translation]", "n=2", output="two")
    assert two["bleu"] == pytest.approx(sacrebleu.corpus_bleu(made[:2], [wanted[0][:2]]).score)
    assert main(["evaluate", given, *PAIRS]) == 2
    assert "samples, text 1: the data know no 'ö'" in capsys.readouterr().err
    right = write("right.txt", *(target for _, target in HELD_OUT))
    assert figures(right, *PAIRS, output="right") == pytest.approx(
        {"novelty": 1.0, "bleu": 100.0, "chrf": 100.0, "rouge_l": 100.0})  # fmt: skip


def test_what_is_written_is_read_as_it_was():
    pieces = [Passage("1+1=2"), Passage(""), Passage("x", source="y")]
    for ending, passages in (("txt", pieces[:2]), ("jsonl", pieces)):
        Path(f"few.{ending}").write_text(PAGES[ending](passages, ""))
        assert read_passages(Path(f"few.{ending}"), running=False) == passages


LINES = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\ufeff")), min_size=1, max_size=4)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=LINES, running=st.booleans())
@example(texts=["a\nb"], running=False)
@example(texts=["a", "b"], running=True)
@example(texts=["a\n", ""], running=False)
def test_what_sample_writes_as_txt_is_read_as_as_many_texts(texts, running):
    """A file of nothing but blanks is refused as empty; all others come back."""
    assume("".join(texts).strip())
    Path("few.txt").write_bytes(as_txt([Passage(text) for text in texts], "", running=running).encode())
    assert [passage.text for passage in read_passages(Path("few.txt"), running=running)] == texts


def test_several_samples_of_running_text_without_line_ends_are_several(capsys):
    Path("words.txt").write_text("one two three four " * 60)
    data = ["data=text_file", "data.root=words.txt", "data.length=8", "data.cache=cache"]
    small = ["model=gru", "model.network.width=4", "model.network.depth=1", "steps=1", "batch_size=2"]
    assert main(["train", *data, *small, "name=words", "preview.every=0", "preview.tensorboard=false"]) == 0
    assert main(["sample", "ckpt=outputs/words", "n=3", "length=20", "output=three.txt"]) == 0
    assert [len(each.text) for each in read_passages(Path("three.txt"), running=True)] == [20, 20, 20]


@pytest.mark.parametrize(("content", "words", "said"), [
    (("few.txt", b"\xff\xfea\0"), SUMS, "samples: few.txt is not UTF-8 at byte 0. Save it as UTF-8."),
    (("few.txt", "für".encode("latin-1")), RUNNING, "samples: few.txt is not UTF-8 at byte 1."),
    (("few.txt", b"\n"), SUMS, "samples: 'few.txt' is empty."),
    (("few.pdf", b"x"), SUMS, "samples: no text at 'few.pdf'. Allowed: .txt, .jsonl, or a folder of them."),
    (("few.txt", b"1+1=2\n1+one=2\n"), SUMS, "samples, text 2: the data know no 'one'. Take it out"),
    (("few.txt", "Kate é\n".encode()), RUNNING, "samples, text 1: the data know no 'é'."),
    (("few.jsonl", b'{"text": "1"}\n{"texts": "1"}\n'), SUMS, "samples: 'few.jsonl', line 2, allowed: a JSON object"),
    (("few.jsonl", b'{"text": 1}\n'), SUMS, "line 1, allowed: a JSON object with a text"),
    (("few.jsonl", b'{"text": "1", "source": 2}\n'), SUMS, "line 1, allowed: a JSON object with a text"),
    (("few.jsonl", b"[" * 100_000), SUMS, "line 1, allowed: a JSON object with a text"),
    (("few.txt", b"ein Hund\n"), PAIRS, "samples: given 1 texts, 1 of them without a source, allowed: a .jsonl with"),
    (("few.jsonl", b'{"text": "ein Hund", "source": "a zebra"}'), PAIRS, "text 1: its source 'a zebra' is none of"),
    (("few.txt", b"1"), [*SUMS, "metrics=[perplexity]"], "metrics: perplexity cannot be told of these texts. Allowed"),
    (("few.txt", b"1"), [*SUMS, "metrics=[frechet]"], "metrics: frechet is for pictures and sounds"),
    (("few.txt", b"1"), [*SUMS, "temperature=1"], "temperature: samples= are there already"),
    (("few.txt", b"1"), [*SUMS, "samples=nowhere.txt"], "samples: no file or folder 'nowhere.txt'"),
])  # fmt: skip
def test_what_cannot_be_measured_is_one_line_and_leaves_nothing(capsys, content, words, said):
    name, data = content
    Path(name).write_bytes(data)
    assert main(["evaluate", f"samples={name}", *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not list(Path().glob("*-evaluation"))
