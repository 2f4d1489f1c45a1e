"""Text through the verbs: written, told as it comes, kept as pages, measured, talked with; and what is refused."""

from __future__ import annotations

import io
import itertools
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from aigc_cli.cli import main
from aigc_cli.composing.compose import compose
from aigc_cli.data.pack import open_data
from aigc_cli.interfaces import DataSpec, Text
from aigc_cli.runs import read_config
from aigc_cli.texts.pages import Passage, as_html, as_jsonl, as_txt
from aigc_cli.texts.reading import Teller, safe, texts_of

LANGUAGE = ["model=transformer", "model.network.width=16", "model.network.depth=1", "model.network.heads=2",
            "preview.tensorboard=false", "device=cpu", "data.cache=cache"]  # fmt: skip
RUNNING = DataSpec("text", (16,), 256, text=Text())


@pytest.fixture(autouse=True, scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


def run(*words: str) -> int:
    return main(list(words))


def pairs() -> str:
    lines = [f"{'ab' * (1 + i % 3)}{'c' * (i % 5)}\t{'c' * (i % 5)}{'ba' * (1 + i % 3)}x" for i in range(200)]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def sums(place) -> str:
    words = ["data=sums", "data.count=400", "steps=3", "batch_size=16", "preview.every=2", "preview.n=2"]
    assert run("train", *LANGUAGE, *words, "name=sums") == 0
    return "outputs/sums"


@pytest.fixture(scope="module")
def running(place) -> str:
    Path("plain.txt").write_text("Größe zählt, sagte der Igel.\n" * 200, encoding="utf-8")
    words = ["data=text_file", "data.root=plain.txt", "data.length=32", "steps=3", "batch_size=4", "preview.every=0"]
    assert run("train", *LANGUAGE, *words, "name=running") == 0
    return "outputs/running"


@pytest.fixture(scope="module")
def answering(place) -> str:
    Path("pairs.tsv").write_text(pairs())
    small = [f"model.{part}.{size}" for part in ("encoder", "decoder") for size in ("width=16", "depth=1", "heads=2")]
    words = ["model=seq2seq", *small, "data=pairs", "data.root=pairs.tsv", "data.length=24", "data.source_length=24",
             "data.vocabulary=characters", "steps=3", "batch_size=16", "preview.every=2", "preview.n=2",
             "preview.tensorboard=false", "device=cpu", "data.cache=cache"]  # fmt: skip
    assert run("train", *words, "name=answering") == 0
    return "outputs/answering"


@pytest.fixture(scope="module")
def labelled(place) -> str:
    rows = [f"{('bad', 'good')[i % 2]}\tit was {('dull', 'fun')[i % 2]} {i}" for i in range(200)]
    Path("reviews.tsv").write_text("\n".join(["label\ttext", *rows]) + "\n")
    words = ["data=reviews", "data.root=reviews.tsv", "data.length=24", "data.vocabulary=characters", "steps=3",
             "batch_size=8", "preview.every=0", "model.conditional=true", "optimizer.lr=0.05"]  # fmt: skip
    assert run("train", *LANGUAGE, *words, "name=labelled") == 0
    assert run("train", *LANGUAGE, *words, "model.label_dropout=0", "name=always_labelled") == 0
    return "outputs/labelled"


def newest(folder: str, ending: str) -> Path:
    return max(Path(folder, "samples").glob(f"*{ending}"), key=lambda path: path.stat().st_mtime_ns)


# Samples -------------------------------------------------------------------------------------------------------------


def test_short_texts_are_printed_and_kept_a_line_each(sums, capsys):
    assert run("sample", f"ckpt={sums}") == 0
    out = capsys.readouterr().out
    lines = newest(sums, ".txt").read_text().splitlines()
    assert len(lines) == 10
    assert out.splitlines()[:10] == lines
    assert "10 texts of transformer, step 3" in out


def test_the_same_seed_writes_the_same(sums):
    texts = []
    for seed in (1, 1, 2):
        assert run("sample", f"ckpt={sums}", f"seed={seed}", "n=6", f"output=seed{seed}.txt") == 0
        texts.append(Path(f"seed{seed}.txt").read_text())
    assert texts[0] == texts[1] != texts[2]


def test_a_long_text_begins_with_its_prompt_and_goes_on_as_asked(running, capsys):
    assert run("sample", f"ckpt={running}", "prompt=Größe ", "length=80") == 0
    out = capsys.readouterr().out
    written = newest(running, ".txt").read_text()
    assert written.startswith("Größe ")
    assert len(written) == len("Größe ") + 80 + 1
    assert out.startswith(written)


@pytest.mark.parametrize("words", [["temperature=0"], ["top_k=1"], ["top_p=0.000001"]])
def test_the_likeliest_text_is_the_same_by_every_setting(running, words):
    assert run("sample", f"ckpt={running}", "length=40", *words, f"output={words[0]}.txt") == 0
    assert run("sample", f"ckpt={running}", "length=40", "temperature=0", "output=likeliest.txt") == 0
    assert Path(f"{words[0]}.txt").read_text() == Path("likeliest.txt").read_text()


def test_formats(sums):
    assert run("sample", f"ckpt={sums}", "n=3", "prompt=1", "output=three.jsonl") == 0
    lines = [json.loads(line) for line in Path("three.jsonl").read_text().splitlines()]
    assert [line["prompt"] for line in lines] == ["1"] * 3
    assert all(line["text"].startswith("1") for line in lines)
    assert run("sample", f"ckpt={sums}", "n=3", "format=html", "output=three.html") == 0
    assert Path("three.html").read_text().startswith("<!doctype html>")
    assert run("sample", f"ckpt={sums}", "n=3", "files=true", "output=three") == 0
    assert sorted(path.name for path in Path("three").iterdir()) == ["00000.txt", "00001.txt", "00002.txt"]


def test_text_of_text(answering, capsys):
    assert run("sample", f"ckpt={answering}", "source=ababc", "beam=2") == 0
    assert "1 text of seq2seq" in capsys.readouterr().out
    assert run("sample", f"ckpt={answering}") == 2
    assert "source: not set. This model makes text of text: type source='...'." in capsys.readouterr().err


def test_texts_are_guided_by_their_label(labelled):
    told = {}
    for label, guidance in itertools.product(("bad", "good"), (None, 0, 1, 40)):
        words = [f"label={label}", f"output={label}-{guidance}.txt"]
        words += [] if guidance is None else [f"guidance={guidance}"]
        assert run("sample", f"ckpt={labelled}", "n=4", "prompt=it ", *words) == 0
        told[label, guidance] = Path(f"{label}-{guidance}.txt").read_text()
    assert told["bad", 0] == told["good", 0]
    assert told["bad", None] == told["bad", 1]
    assert len({told["bad", 0], told["bad", 40], told["good", 40]}) == 3
    assert run("sample", f"ckpt={labelled}", "n=1", "label=bad", "prompt=it ", "guidance=2", "precision=bf16") == 0
    assert run("evaluate", f"ckpt={labelled}", "metrics=[novelty]", "n=20", "guidance=2") == 0


@pytest.mark.parametrize("verb", ["sample", "evaluate"])
@pytest.mark.parametrize("guidance", [0, 2])
def test_guidance_needs_labels_that_were_hidden_in_training(labelled, verb, guidance, capsys):
    capsys.readouterr()
    assert run(verb, "ckpt=outputs/always_labelled", "n=1", f"guidance={guidance}") == 2
    out, said = capsys.readouterr()
    assert not out
    assert f"guidance: given {guidance}" in said
    assert "Type guidance=1, or train with model.label_dropout=0.1." in said
    assert len(said.splitlines()) == 1


REFUSED = {
    "sums format=png": "format: given png, but this model makes text. Allowed: txt, jsonl, html.",
    "sums output=x.wav": "format: given wav, but this model makes text.",
    "sums prompt=1é": "prompt: the model knows no 'é', its",
    "sums source=1": "source: this model makes text of nothing.",
    "sums grid=2x2": "grid: texts stand below each other. Type n= in its place.",
    "sums interpolate=true": "interpolate: model 'transformer' has no latents to walk between.",
    "sums manifold=true": "they are for models of pictures",
    "sums guidance=2": "guidance: model 'transformer' has no use for it",
    "sums label=1": "label: this model was trained without labels. Leave label out, or train one of data that have "
    "them, such as data=reviews with model.conditional=true.",
    "answering source=abq": "source: the model knows no 'q'",
    f"answering source={'ab' * 40}": "source: given 80 symbols",
    "answering source=ab prompt=a length=0": "length:",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_is_refused_in_one_line(words, sums, answering, capsys):
    name, *rest = words.split()
    before = sorted(Path("outputs", name, "samples").iterdir())
    assert run("sample", f"ckpt=outputs/{name}", *rest) == 2
    said = capsys.readouterr().err
    assert REFUSED[words] in said
    assert len(said.splitlines()) == 1
    assert sorted(Path("outputs", name, "samples").iterdir()) == before


def test_settings_of_text_are_refused_for_pictures(place, capsys):
    small = ["model.generator.widths=[8]", "model.critic.widths=[8]", "data.count=200", "data.size=16", "steps=1"]
    words = ["batch_size=8", "preview.every=0", "device=cpu", "data.cache=cache", "preview.tensorboard=false"]
    assert run("train", *small, *words, "name=pictures") == 0
    assert run("sample", "ckpt=outputs/pictures", "prompt=a") == 2
    assert "prompt: it is for models of text, and this one makes pictures. Leave it out." in capsys.readouterr().err


# Previews, measuring, talking, translating ---------------------------------------------------------------------------


def test_previews_are_texts(sums, answering):
    assert len(Path(sums, "samples/step-00000002.txt").read_text().split("\n\n")) == 2
    shown = Path(answering, "samples/step-00000002.txt").read_text()
    assert shown.count("  wanted: ") == shown.count("  made:   ") == 2


def test_tensorboard_gets_the_texts_of_previews_and_the_sounds(place):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    words = ["preview.tensorboard=true", "device=cpu", "data.cache=cache", "steps=2", "preview.every=2", "preview.n=3"]
    small = [word for word in LANGUAGE if word.startswith("model")]
    assert run("train", *small, "data=sums", "data.count=64", "batch_size=4", *words, "name=board") == 0
    sizes = ["model.denoiser.width=8", "model.denoiser.multipliers=[1]", "model.denoiser.blocks=1",
             "model.denoiser.attention=[]", "model.denoiser.patch=4", "model.sampler.steps=2"]  # fmt: skip
    tones = ["data=tones", "data.count=24", "data.seconds=0.064", "batch_size=4", *words, "name=sounds"]
    assert run("train", "model=audio_diffusion", *sizes, *tones) == 0
    board, sounds = (events.EventAccumulator(f"outputs/{name}/tensorboard").Reload() for name in ("board", "sounds"))
    (text,) = board.Tensors("samples/text_summary")
    lines = Path("outputs/board/samples/step-00000002.txt").read_text().split("\n\n")
    assert all(line.strip() in text.tensor_proto.string_val[0].decode() for line in lines)
    assert sounds.Tags()["audio"] == [f"samples/{number:02d}" for number in range(3)]
    assert sounds.Audio("samples/00")[0].sample_rate == 8000
    assert sounds.Tags()["images"] == ["samples"]


def test_figures_of_sums(sums):
    assert run("evaluate", f"ckpt={sums}", "n=64", "output=of_sums") == 0
    figures = json.loads(Path("of_sums/evaluation.json").read_text())["figures"]
    assert set(figures) == {"nats_per_symbol", "perplexity", "bits_per_character", "correct", "novelty"}
    assert figures["perplexity"] == pytest.approx(math.exp(figures["nats_per_symbol"]))
    assert figures["bits_per_character"] == pytest.approx(figures["nats_per_symbol"] / math.log(2))
    assert 0 < figures["nats_per_symbol"] < 3 * math.log(16)
    assert 0 <= figures["correct"] <= 1 <= figures["novelty"] + 1


def test_figures_say_of_how_much_they_are(sums, running, answering, monkeypatch, capsys):
    monkeypatch.setattr("aigc_cli.evaluating.defaults.WRITTEN", 30)
    told = {}
    for name, words in {"all": [], "some": ["n=7"]}.items():
        assert run("evaluate", f"ckpt={sums}", *words, f"output={name}") == 0
        told[name] = json.loads(Path(name, "evaluation.json").read_text())
    said = " ".join(capsys.readouterr().out.split())
    held_out = open_data(read_config(Path(sums))["config"]["data"]).counts["test"]
    assert f"30 samples and all {held_out:,} held-out texts (test split)" in said
    assert f"7 samples and 7 of {held_out:,} held-out texts (test split)" in said
    assert [each["n"] for each in told.values()] == [30, 7]
    assert [each["measured_on"]["novelty"] for each in told.values()] == ["30 samples", "7 samples"]
    symbols = [int(each["measured_on"]["perplexity"].removesuffix(" symbols").replace(",", ""))
               for each in told.values()]  # fmt: skip
    assert 7 * 4 <= symbols[1] < symbols[0] <= 13 * held_out
    assert f"│ {symbols[1]} symbols" in said
    assert run("evaluate", f"ckpt={running}", "n=2", "output=windows") == 0
    assert re.search(r": 2 of \d+ held-out windows of 32 symbols \(test split\)", capsys.readouterr().out)
    assert run("evaluate", f"ckpt={answering}", "output=both") == 0
    assert json.loads(Path("both/evaluation.json").read_text())["measured_on"]["bleu"].endswith(" pairs")


def test_only_figures_of_a_vae_are_called_bounds(sums, capsys):
    assert run("evaluate", f"ckpt={sums}", "n=7", "metrics=[perplexity]", "output=exact") == 0
    assert "VAE" not in capsys.readouterr().out
    data = ["data=sums", "data.count=300", "model=text_vae", "model.latent=2", "model.encoder.width=8"]
    assert run("train", *data, "model.decoder.width=8", "steps=1", "batch_size=8", "name=vae", "preview.every=0") == 0
    assert run("evaluate", "ckpt=outputs/vae", "n=7", "metrics=[perplexity]", "output=bound") == 0
    assert "at most: a VAE bounds them" in " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_figures_of_running_text_are_of_a_symbol(running):
    assert run("evaluate", f"ckpt={running}", "output=of_running") == 0
    figures = json.loads(Path("of_running/evaluation.json").read_text())["figures"]
    assert set(figures) == {"nats_per_symbol", "perplexity", "bits_per_character"}
    assert figures["bits_per_character"] == pytest.approx(figures["nats_per_symbol"] / math.log(2))


def test_figures_of_pairs(answering, capsys):
    assert run("evaluate", f"ckpt={answering}", "beam=2", "output=of_pairs") == 0
    figures = json.loads(Path("of_pairs/evaluation.json").read_text())["figures"]
    assert set(figures) == {"nats_per_symbol", "perplexity", "bits_per_character", "bleu", "chrf", "rouge_l"}
    assert all(0 <= figures[name] <= 100 for name in ("bleu", "chrf", "rouge_l"))
    assert run("evaluate", f"ckpt={answering}", "metrics=[frechet]") == 2
    assert "metrics: frechet" in capsys.readouterr().err


def test_talking(answering, running, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("abab\n\nabq\nab\n/quit\nab\n"))
    assert run("chat", f"ckpt={answering}") == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 2
    assert "the model knows no 'q'" in said.err
    monkeypatch.setattr("sys.stdin", io.StringIO("Größe\n"))
    assert run("chat", f"ckpt={running}", "length=20") == 0
    assert len(capsys.readouterr().out.rstrip("\n")) >= 1


def test_lines_of_a_file_are_translated(answering, capsys):
    Path("lines.txt").write_text("abab\n\nabc\n")
    assert run("translate", f"ckpt={answering}", "samples=lines.txt", "output=made.txt") == 0
    lines = Path("made.txt").read_text().split("\n")
    assert len(lines) == 4
    assert lines[1] == lines[3] == ""
    for name, content, said in (
        ("bad.txt", b"ab\xff", "is not UTF-8 at byte 2"),
        ("empty.txt", b"\n", "holds no lines"),
        ("odd.txt", b"ab\nq\n", "samples, line 2: the model knows no 'q'"),
    ):
        Path(name).write_bytes(content)
        assert run("translate", f"ckpt={answering}", f"samples={name}", "output=not.txt") == 2
        assert said in capsys.readouterr().err
        assert not Path("not.txt").exists()
    assert run("translate", f"ckpt={answering}", "samples=line.txt", "output=not.txt") == 2
    assert "samples: no file or folder 'line.txt'. Did you mean 'lines.txt'?" in capsys.readouterr().err


# Pages and the terminal ----------------------------------------------------------------------------------------------


class Read(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


def test_a_page_holds_text_and_no_markup_of_it():
    evil = "<script>alert(1)</script> & </article><img src=x>"
    reader = Read()
    reader.feed(as_html([Passage(evil, prompt="<b>", label="<i>", source="a\n<u>")], "<title>"))
    assert set(reader.tags) <= {"html", "head", "meta", "title", "style", "body", "h1", "p", "article", "span"}
    for each in (evil, "<b>", "<i>", "<u>"):
        assert each in reader.text


def test_pages_of_lines_and_of_passages():
    assert as_txt([Passage("a"), Passage("b", prompt="c")], "") == "a\ncb\n"
    assert as_txt([Passage("a\nb"), Passage("c")], "").split("\n" + "-" * 40 + "\n") == ["a\nb", "c\n"]
    assert json.loads(as_jsonl([Passage("ö\n", label="pos")], "")) == {"text": "ö\n", "label": "pos"}


def test_a_terminal_is_not_steered():
    assert safe("a\x1b[2Jb\x07\n\t\u202ec") == "a\ufffd[2Jb\ufffd\n\t\ufffdc"


def test_characters_of_several_bytes_are_told_whole():
    told: list[str] = []
    teller = Teller(RUNNING, told.append)
    text = "né🙂\n"
    for byte in text.encode():
        teller(torch.tensor([byte]))
    assert told == list(text)
    assert texts_of(torch.tensor([list(text.encode())]), RUNNING) == [text]


@pytest.mark.parametrize("typed", ["O, [x] {y}: 'z' = 12", "1", "true", "a\nb", "[", "-", "\\'", "$HOME"])
def test_a_prompt_is_taken_as_it_is_typed(typed):
    config = compose("sample", ["ckpt=x", f"prompt={typed}", f"source={typed}"]).config
    assert (config["prompt"], config["source"]) == (typed, typed)


# Found by a review ---------------------------------------------------------------------------------------------------


def test_models_of_sounds_and_pictures_that_could_write_show_what_they_draw(place, capsys):
    small = ["model.network.layers=2", "model.network.stacks=1", "model.network.width=4", "model.network.skip=4"]
    words = ["device=cpu", "data.cache=cache", "steps=2", "preview.every=2", "preview.n=2", "batch_size=4",
             "preview.tensorboard=false"]  # fmt: skip
    tones = ["data=tones", "data.count=24", "data.seconds=0.032"]
    assert run("train", "model=wavenet", *small, *tones, *words, "name=waves") == 0
    assert Path("outputs/waves/samples/step-00000002.png").exists()
    capsys.readouterr()
    assert run("chat", "ckpt=outputs/waves") == 2
    assert "ckpt: model 'wavenet' writes no text." in capsys.readouterr().err


def test_figures_that_a_model_cannot_have_are_refused_in_one_line(sums, running, capsys):
    for name, metric, said in (
        (sums, "translation", "metrics: translation needs a model that makes text of text (seq2seq). Leave it out."),
        (running, "sums", "metrics: sums needs a model that writes sums (data=sums). Leave it out."),
    ):
        assert run("evaluate", f"ckpt={name}", f"metrics=[{metric}]") == 2
        assert said in capsys.readouterr().err


def test_a_language_model_of_pairs_wants_no_source(answering, monkeypatch, capsys):
    words = ["data=pairs", "data.root=pairs.tsv", "data.length=24", "data.source_length=24", "steps=2", "batch_size=16",
             "data.vocabulary=characters", "preview.every=2", "preview.n=2", "name=alone"]  # fmt: skip
    assert run("train", *LANGUAGE, *words) == 0
    assert "wanted" not in Path("outputs/alone/samples/step-00000002.txt").read_text()
    assert run("sample", "ckpt=outputs/alone", "n=2") == 0
    assert run("sample", "ckpt=outputs/alone", "source=ab") == 2
    assert "source: this model makes text of nothing." in capsys.readouterr().err


def test_characters_that_windows_cut_are_counted_once(place):
    Path("wide.txt").write_text("数字を読む。" * 400, encoding="utf-8")
    words = ["data=text_file", "data.root=wide.txt", "data.length=32", "data.vocabulary=bytes", "steps=1",
             "batch_size=4", "preview.every=0", "name=wide"]  # fmt: skip
    assert run("train", *LANGUAGE, *words) == 0
    assert run("evaluate", "ckpt=outputs/wide", "output=of_wide") == 0
    figures = json.loads(Path("of_wide/evaluation.json").read_text())["figures"]
    assert figures["bits_per_character"] == pytest.approx(3 * figures["nats_per_symbol"] / math.log(2), rel=0.01)


def test_what_waits_for_the_rest_of_a_character_is_told_at_the_end():
    told: list[str] = []
    teller = Teller(RUNNING, told.append)
    for byte in "aé".encode()[:-1]:
        teller(torch.tensor([byte]))
    assert told == ["a"]
    teller.finish()
    assert told == ["a", "\ufffd"]


def test_a_temperature_next_to_nothing_takes_the_likeliest(running):
    for temperature in ("1e-40", "0"):
        assert (
            run("sample", f"ckpt={running}", "length=30", f"temperature={temperature}", f"output=t{temperature}.txt")
            == 0
        )
    assert Path("t1e-40.txt").read_text() == Path("t0.txt").read_text()


def test_other_line_ends_are_characters_of_a_line(answering):
    Path("odd lines.txt").write_text("ab\x0cab\nab\x0cab\n")
    assert run("translate", f"ckpt={answering}", "samples=odd lines.txt", "output=x.txt") == 2
    Path("lines.txt").write_bytes(b"ab\r\nab\r\n")
    assert run("translate", f"ckpt={answering}", "samples=lines.txt", "output=crlf.txt") == 0
    assert len(Path("crlf.txt").read_text().split("\n")) == 3
