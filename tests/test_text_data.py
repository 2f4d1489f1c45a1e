"""Texts as data: what is read is what is served, whatever the script, the size and the vocabulary; faults are named."""

from __future__ import annotations

import functools
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aigc_cli.checkpoints import Checkpoint
from aigc_cli.checkpoints.restoring import read_spec
from aigc_cli.cli import main
from aigc_cli.composing.compose import compose
from aigc_cli.data import placing, shards, text_reading
from aigc_cli.data import windows as data_windows
from aigc_cli.data.folders import is_held_out
from aigc_cli.data.pack import Pack, advice, open_data
from aigc_cli.data.shards import Shards
from aigc_cli.data.source import Rejected
from aigc_cli.data.sums import Sums
from aigc_cli.data.tensor_data import TensorData
from aigc_cli.data.text_file import TextFile
from aigc_cli.data.text_reading import at_blanks, blocks, ignore, lines
from aigc_cli.errors import ConfigError, DataError
from aigc_cli.evaluating import given_text
from aigc_cli.evaluating.given_text import novelty
from aigc_cli.texts import learning
from aigc_cli.texts.arithmetic import is_right
from aigc_cli.texts.given import Passage
from aigc_cli.texts.learning import learn
from aigc_cli.texts.vocabulary import Characters, UnknownSymbols, vocabulary_of

REAL = os.environ.get("AIGC_TEST_DATA")
needs_real = pytest.mark.skipif(not REAL, reason="set AIGC_TEST_DATA to a folder with text/ to test the real data")
KINDS = ("characters", "bytes", "bpe")
MANY = "Hello, wörld! 你好世界。 नमस्ते दुनिया مرحبا بالعالم שלום 👩‍👩‍👧‍👦🏳️‍🌈 e\u0301 \u200b\x01\x1b[31m\tend\n"
CPU = torch.device("cpu")


@functools.cache
def defaults(name: str) -> dict[str, Any]:
    root = [] if name in ("sums", "shakespeare") else ["data.root=somewhere"]
    return compose("data", [f"data={name}", *root]).config["data"]


def node(name: str, cache: Path, **changes: Any) -> dict[str, Any]:
    changes = {key: str(value) if isinstance(value, Path) else value for key, value in changes.items()}
    return {**defaults(name), "cache": str(cache), "workers": 0, **changes}


def opened(name: str, place: Path, **changes: Any) -> Pack:
    return open_data(node(name, place / "cache", **changes), progress=False)


def flat_text(pack: Pack, split: str) -> str:
    """Return the text that the samples of running text are."""
    return vocabulary_of(pack.about["text"]).decode(pack.split(split)[0].reshape(-1).tolist())


def pieces(pack: Pack, split: str) -> list[str]:
    words = vocabulary_of(pack.about["text"])
    return [words.decode(row) for row in pack.split(split)[0]]


def sources(pack: Pack, split: str) -> list[str]:
    words = vocabulary_of(pack.about["source"]["text"])
    rows = pack.split(split)[1]
    assert rows is not None
    return [words.decode(row) for row in rows]


def written(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


# Sums ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["12+7=19", "0+0=0", "9-12=-3", "5-5=0", "12*12=144", "0*7=0", "99+1=100"])
def test_right_sums(text):
    assert is_right(text)


@pytest.mark.parametrize("text", [
    "12+7=20", "12+7=019", "012+7=19", "12 + 7 = 19", "12+7=19 ", "12+7=19\n", "+7=7", "12+=12", "12+7", "12+7=",
    "-3+5=2", "5-5=-0", "3+4=+7", "1+1=2=2", "1/1=1", "", "\u0661+1=2", "9" * 5000 + "+1=" + "1" + "0" * 5000,
])  # fmt: skip
def test_wrong_sums_and_what_is_none(text):
    assert not is_right(text)


def test_the_sums_of_a_pack_are_right_and_its_splits_share_no_pair(tmp_path):
    pack = opened("sums", tmp_path, count=3000)
    assert pack.counts == {"train": 3000, "test": 300}
    assert pack.about["shape"] == [len("99+99=198") + 1]
    said = {split: pieces(pack, split) for split in ("train", "test")}
    assert all(is_right(text) for each in said.values() for text in each)
    pairs = {split: {frozenset(text.split("=")[0].split("+")) for text in each} for split, each in said.items()}
    assert not pairs["train"] & pairs["test"]
    assert {len(text) for text in said["train"]} == {5, 6, 7, 8, 9}


def test_a_sum_depends_on_its_place_alone_and_all_operations_can_be_had(tmp_path):
    source = Sums(digits=3, operations=["multiply", "add", "subtract"], count=10)
    longer = Sums(digits=3, operations=["add", "subtract", "multiply"], count=1000)
    read, again = source.reader("train"), longer.reader("train")
    assert [read(index).tolist() for index in (7, 0)] == [again(index).tolist() for index in (7, 0)]
    words, texts = vocabulary_of(longer.spec()["text"]), set()
    for index in range(500):
        row = again(index)
        assert row[-1] == words.end
        texts.add(words.decode(row))
    assert all(map(is_right, texts))
    assert {sign for text in texts for sign in "+-*" if sign in text[1:]} == set("+-*")


# Running text --------------------------------------------------------------------------------------------------------


def expected_parts(text: str) -> tuple[str, str]:
    """Return what is trained on and what is held out: cut where nine tenths of the bytes end, no character in two."""
    data = text.encode()
    train = data[: len(data) - len(data) // 10].decode(errors="ignore")
    return train, text[len(train) :]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block", [7, 1 << 18])
def test_the_samples_of_running_text_are_the_text(tmp_path, monkeypatch, kind, block):
    monkeypatch.setattr(text_reading, "BLOCK", block)
    text = "".join(random.Random(0).choices(MANY.split(" "), k=400)) + MANY * 20
    pack = opened("text_file", tmp_path, root=written(tmp_path / "t.txt", text), length=16, vocabulary=kind,
                  vocabulary_size=400)  # fmt: skip
    for split, wanted in zip(("train", "test"), expected_parts(text), strict=True):
        rows, _ = pack.split(split)
        assert rows.shape == (pack.counts[split], 16)
        got = flat_text(pack, split).rstrip("\ufffd")  # the last window may end within a character
        assert wanted.startswith(got)
        assert len(vocabulary_of(pack.about["text"]).encode(wanted[len(got) :])) < 16 + 4
    assert pack.split("train")[0].dtype == (np.int32 if kind == "bpe" else np.uint8)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\r"), min_size=1, max_size=60))
@example(text=MANY)
def test_any_text_comes_back(tmp_path_factory, kind, text):
    place = tmp_path_factory.mktemp("any")
    whole = f"x{text} and so on\n" * 4
    pack = opened("text_file", place, root=written(place / "t.txt", whole.replace("\0", "0")), length=2,
                  vocabulary=kind, vocabulary_size=257)  # fmt: skip
    train, test = expected_parts(whole.replace("\0", "0"))
    for split, wanted in (("train", train), ("test", test)):
        got = flat_text(pack, split).rstrip("\ufffd")
        assert wanted.startswith(got) or wanted.rstrip("\ufffd") == got
        assert len(wanted) - len(got) <= 2


def test_line_ends_and_the_byte_order_mark_are_as_if_written_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(text_reading, "BLOCK", 3)  # CR and LF in different blocks
    plain = "one\ntwo\n\nthree: ä€😀\n" * 20
    kept = [list(blocks(written(tmp_path / f"{name}.txt", data), "utf-8-sig")) for name, data in {
        "unix": plain.encode(), "windows": plain.replace("\n", "\r\n").encode(),
        "mac": plain.replace("\n", "\r").encode(), "marked": b"\xef\xbb\xbf" + plain.encode(),
    }.items()]  # fmt: skip
    assert {"".join(text for _, text in each) for each in kept} == {plain}


def test_the_files_of_a_folder_follow_each_other_by_name(tmp_path):
    root = tmp_path / "books"
    for name, text in {"b/2.txt": "second, without an end", "a.txt": "first\n", "c.TXT": "third\n" * 20}.items():
        written(root / name, text)
    written(root / "d.md", "not this")
    written(root / "e.txt", "")
    pack = opened("text_file", tmp_path, root=root, length=4)
    assert flat_text(pack, "train").startswith("first\nsecond, without an end\nthird\nthird")
    assert pack.ignored == 2
    assert set(pack.about["text"]["symbols"]) == set("first\nsecond, without an end\nthird\n")


def test_a_file_that_ends_where_the_training_part_ends(tmp_path):
    root = tmp_path / "two"
    written(root / "a.txt", "a" * 90)
    written(root / "b.txt", "b" * 10)
    pack = opened("text_file", tmp_path, root=root, length=5)
    assert flat_text(pack, "train") == "a" * 90
    assert flat_text(pack, "test") == "b" * 10


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_held_out_may_have_characters_of_its_own(tmp_path, kind):
    text = "plain words, plain words. " * 100 + "ΩΩΩΩ zzzz " * 20
    pack = opened("text_file", tmp_path, root=written(tmp_path / "t.txt", text), length=8, vocabulary=kind)
    assert "ΩΩΩΩ zzzz" in flat_text(pack, "test")
    if kind == "bpe":
        learnt = set(json.loads(pack.about["text"]["tokenizer"])["model"]["vocab"])
        assert "Ġplain" in learnt
        assert not [pair for pair in learnt if "zz" in pair], "pairs are learnt of what is trained on alone"


def test_there_is_a_ceiling_of_characters(tmp_path):
    text = "".join(chr(0x4E00 + index) for index in range(learning.MOST_CHARACTERS + 1))
    with pytest.raises(
        DataError, match=r"data.vocabulary: given characters, but .* 20,001 different ones, allowed: 20,000"
    ):
        opened("text_file", tmp_path, root=written(tmp_path / "t.txt", text))


def test_a_vocabulary_of_no_characters_knows_none():
    words = Characters([], ends=True)
    assert (words.size, words.encode("").tolist(), words.decode([0, 0])) == (1, [], "")
    with pytest.raises(UnknownSymbols, match="'a'"):
        words.encode("a")


@settings(max_examples=50, deadline=None)
@given(texts=st.lists(st.text(st.sampled_from(" \n\tab,1"), max_size=30), max_size=8), most=st.integers(1, 20))
def test_cutting_anew_keeps_the_text_and_its_words(texts, most):
    whole = "".join(texts)
    cut = list(at_blanks(texts, most))
    assert "".join(cut) == whole
    for before, after in itertools.pairwise(cut):
        if after and not after[0].isspace() and before:
            assert len(before.split()) <= 1, "a word was cut although a blank was there"


def test_byte_pairs_of_parts_are_those_of_the_whole():
    text = (MANY + "The quick  brown fox\n\n   jumps 1234 times. ") * 50
    words = learn("bpe", 500, lambda _: [("train", text)], total=len(text), ends=False)
    apart = np.concatenate(words.encode_all(list(at_blanks([text], 64))))
    assert apart.tolist() == words.encode(text).tolist()
    assert words.decode(apart.tolist()) == text


DETERMINED = """
import json, sys
from aigc_cli.data.pack import open_data
pack = open_data(json.loads(sys.argv[1]), progress=False)
print(json.dumps(json.loads((pack.path / "meta.json").read_text())["files"]), pack.about["text"]["tokenizer"][-200:])
"""


def test_byte_pairs_do_not_depend_on_threads_or_hashes(tmp_path):
    letters = random.Random(1)
    text = " ".join("".join(letters.choices("abcdefgh", k=letters.randint(1, 6))) for _ in range(30_000))
    root, said = written(tmp_path / "t.txt", text), set()
    for seed, threads in (("1", "1"), ("2", "2"), ("3", "5")):
        settings = node("text_file", tmp_path / f"cache{seed}", root=root, vocabulary="bpe", vocabulary_size=600)
        environment = {**os.environ, "PYTHONHASHSEED": seed, "RAYON_NUM_THREADS": threads}
        said.add(subprocess.check_output([sys.executable, "-c", DETERMINED, json.dumps(settings)], env=environment))
    assert len(said) == 1


@pytest.mark.parametrize("kind", ["characters", "bpe"])
def test_learning_a_vocabulary_shows_how_far_it_is(tmp_path, monkeypatch, kind):
    shown: list[tuple[int, int]] = []

    class Bar:
        def __init__(self, *, total: int, **_: Any) -> None:
            self.total, self.n = total, 0

        def __enter__(self):
            return self

        def update(self, read: int) -> None:
            self.n += read

        def __exit__(self, *_: object) -> None:
            shown.append((self.total, self.n))

    monkeypatch.setattr(learning, "tqdm", Bar)
    text = written(tmp_path / "t.txt", "für Größe und Maß. " * 2000)
    opened("text_file", tmp_path, root=text, vocabulary=kind, vocabulary_size=300)
    lines = written(tmp_path / "p.tsv", table(SENTENCES * 9))
    opened("pairs", tmp_path, root=lines, vocabulary=kind, vocabulary_size=300)
    assert shown == [(path.stat().st_size,) * 2 for path in (text, lines)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["text_file", "pairs"])
def test_room_on_the_disk_is_looked_for_before_text_is_written(tmp_path, monkeypatch, name, kind):
    text = "für Größe und Maß. " * 9000 if name == "text_file" else table(SENTENCES * 50)
    root = written(tmp_path / "t.tsv", text)
    settings: dict[str, Any] = {"vocabulary": kind, "vocabulary_size": 300, "root": root, "length": 64}
    needed = sum(path.stat().st_size for path in opened(name, tmp_path, **settings).path.glob("*.s*s"))
    for share in (0.9, 1.1):
        usage = shutil._ntuple_diskusage(1, 1, int(needed * share))  # type: ignore[attr-defined]
        monkeypatch.setattr(shutil, "disk_usage", lambda _, usage=usage: usage)
        if share > 1:
            assert opened(name, tmp_path / "roomy", **settings).counts["train"]
            break
        with pytest.raises(DataError, match=r"^data\.cache: .* MB left, and .* needed\. Type data\.cache="):
            opened(name, tmp_path / "full", **settings)
        assert all(entry.name.startswith(".lock-") for entry in (tmp_path / "full" / "cache").iterdir())


@pytest.mark.parametrize("parts", ["ab cd " * 30_000, "und die Größe " * 9_000, "ж" * 150 + " "], ids=len)
@pytest.mark.parametrize("kind", KINDS)
def test_text_that_goes_on_unlike_it_begins_is_expected_all_the_same(tmp_path, kind, parts):
    text = parts * (150_000 // len(parts) + 1) + "漢字 の " * 60_000 + "plain words and others " * 12_000
    root = written(tmp_path / "t.txt", text)
    stream = TextFile(root=str(root), length=64, vocabulary=kind, vocabulary_size=300, encoding="utf-8")
    windows = sum(len(part.rows["samples"]) for part in stream.parts(ignore))
    assert stream.expected() == pytest.approx(windows, rel=0.1)


MEASURED = """
import json, resource, sys
import tokenizers
from aigc_cli.data.pack import open_data
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak()
pack = open_data(json.loads(sys.argv[1]), progress=False)
assert "torch" not in sys.modules
print(json.dumps([peak() - before, pack.counts]))
"""


@pytest.mark.parametrize(("kind", "ends", "size", "most"), [
    ("characters", "\n", 30_000_000, 30), ("characters", " ", 30_000_000, 30), ("bytes", "\n", 30_000_000, 30),
    ("bpe", " ", 10_000_000, 100),
])  # lines, or one enormous line  # fmt: skip
def test_files_may_be_larger_than_memory(tmp_path, kind, ends, size, most):
    words = [f"word{number}" for number in range(500)]
    sentence = ends.join(" ".join(random.Random(0).choices(words, k=20)) for _ in range(400)) + ends
    with (tmp_path / "large.txt").open("w") as file:
        for _ in range(size // len(sentence) + 1):
            file.write(sentence)
    settings = node("text_file", tmp_path / "cache", root=tmp_path / "large.txt", vocabulary=kind, vocabulary_size=2000)
    grown, counts = json.loads(subprocess.check_output([sys.executable, "-c", MEASURED, json.dumps(settings)]))
    assert grown < most, f"{grown:.0f} MB"
    if kind != "bpe":
        assert sum(counts.values()) * 256 > 0.99 * size


def test_a_long_line_without_a_blank_takes_no_forever(tmp_path):
    text = "".join(random.Random(0).choices("ACGT", k=1_000_000))
    pack = opened("text_file", tmp_path, root=written(tmp_path / "t.txt", text), vocabulary="bpe", vocabulary_size=400)
    assert flat_text(pack, "train") == text[: len(flat_text(pack, "train"))]


@needs_real
def test_the_real_shakespeare(tmp_path):
    whole = (Path(str(REAL)) / "text" / "shakespeare.txt").read_text()
    assert len(whole) == 1_115_394
    pack = opened("shakespeare", tmp_path, root=str(REAL))
    assert (pack.about["levels"], pack.about["classes"]) == (65, None)
    assert flat_text(pack, "train") == whole[: 256 * pack.counts["train"]]
    assert pack.counts == {"train": 1_003_855 // 256, "test": 111_539 // 256}
    held_out = flat_text(pack, "test")
    assert held_out == whole[1_003_855:][: len(held_out)]
    paired = opened("shakespeare", tmp_path, root=str(REAL), vocabulary="bpe")
    assert paired.about["levels"] == 4096
    assert flat_text(paired, "train") == whole[: len(flat_text(paired, "train"))]
    assert paired.split("train")[0].size < 350_000


@pytest.mark.parametrize("place", ["shakespeare.txt", "input.txt", "text/shakespeare.txt", "shakespeare/input.txt"])
def test_shakespeare_is_found(tmp_path, place):
    file = written(tmp_path / "data" / place, "To be, or not to be. " * 30)
    found = [opened("shakespeare", tmp_path, root=root, length=8) for root in (tmp_path / "data", file)]
    assert flat_text(found[0], "train") == flat_text(found[1], "train")
    assert flat_text(found[0], "train").startswith("To be, or not")


# Windows that begin elsewhere in each epoch --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def numbers(tmp_path_factory) -> Pack:
    """Return a pack of running text in which the text after any place is told by three characters there."""
    place = tmp_path_factory.mktemp("numbers")
    text = "".join(chr(0x4E00 + index) for index in range(5000))
    return opened("text_file", place, root=written(place / "t.txt", text), length=16)


def served(pack: Pack, **more: Any) -> TensorData:
    return TensorData(pack, **{"batch_size": 8, "seed": 0, "device": CPU, **more})


def windows(data: TensorData, epoch: int) -> torch.Tensor:
    first = epoch * data.batches_per_epoch
    return torch.cat([data.batch(step).x.clone() for step in range(first, first + data.batches_per_epoch)])


def test_each_epoch_shows_the_text_once_from_another_phase(numbers):
    flat, rows = numbers.split("train")[0].reshape(-1), numbers.counts["train"]
    data, phases = served(numbers), []
    assert data.batches_per_epoch == (rows - 1) // 8
    for epoch in range(40):
        shown = windows(data, epoch).numpy()
        starts = shown[:, 0] - flat[0]  # characters are numbered as they stand
        (phase,) = set((starts % 16).tolist())
        assert len(set(starts.tolist())) == len(starts) == data.batches_per_epoch * 8
        assert (shown == flat[starts[:, None] + np.arange(16)]).all()
        assert starts.max() + 16 <= len(flat)
        phases.append(phase)
    assert len(set(phases)) > 10
    assert {step // data.batches_per_epoch for step in (0, data.batches_per_epoch)} == {0, 1}


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**63 - 1), steps=st.lists(st.integers(0, 10**6), min_size=1, max_size=5))
def test_a_window_depends_on_the_seed_and_the_step_alone(numbers, seed, steps):
    walked = served(numbers, seed=seed)
    for step in steps:
        assert torch.equal(walked.batch(step).x, served(numbers, seed=seed).batch(step).x)


def test_epochs_seeds_and_splits_differ(numbers):
    data = served(numbers)
    assert not torch.equal(data.batch(0).x, data.batch(data.batches_per_epoch).x)
    assert not torch.equal(data.batch(0).x, served(numbers, seed=1).batch(0).x)
    held_out = served(numbers, split="test")
    rows = {tuple(row) for row in numbers.split("test")[0].tolist()}
    for epoch in range(3):
        assert {tuple(row) for row in windows(held_out, epoch).tolist()} <= rows


def test_nothing_is_copied_of_text_on_the_disk(numbers, monkeypatch):
    monkeypatch.setattr(placing, "SHARE_OF_MEMORY", 0)
    mapped = served(numbers)
    for epoch in range(3):
        assert torch.equal(windows(mapped, epoch), windows(served(numbers), epoch))
        views = mapped._buffers.samples
        assert views.untyped_storage().data_ptr() == mapped.samples.untyped_storage().data_ptr()


def test_text_in_shards_moves_too_and_is_read_alike_from_memory_and_disk(numbers, tmp_path, monkeypatch):
    for module, name, value in ((shards, "LARGE", 100), (shards, "SHARD_BYTES", 40 * 16 * 4),
                                (data_windows, "RUN_BYTES", 300), (data_windows, "WINDOW_BYTES", 5000)):  # fmt: skip
        monkeypatch.setattr(module, name, value)
    text = "".join(chr(0x4E00 + index) for index in range(5000))
    pack = opened("text_file", tmp_path, root=written(tmp_path / "t.txt", text), length=16)
    held = served(pack)
    monkeypatch.setattr(placing, "SHARE_OF_MEMORY", 0)
    streamed, phases, flat = served(pack), set(), numbers.split("train")[0].reshape(-1)
    files = -(-pack.counts["train"] // 40)
    assert files > 5
    assert streamed.batches_per_epoch == (pack.counts["train"] - files) // 8
    for epoch in range(20):
        shown = windows(streamed, epoch)
        assert torch.equal(windows(held, epoch), shown)
        starts = shown[:, 0].numpy() - flat[0]
        assert len(set(starts.tolist())) == len(starts)
        assert (shown.numpy() == flat[starts[:, None] + np.arange(16)]).all()
        phases |= set((starts % 16).tolist())
    assert len(phases) > 5


def test_texts_are_found_in_running_text_however_shards_cut_it(numbers, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "LARGE", 100)
    monkeypatch.setattr(shards, "SHARD_BYTES", 40 * 16 * 4)
    monkeypatch.setattr(given_text, "AT_ONCE", 100)
    text = "".join(chr(0x4E00 + index) for index in range(5000))
    pack = opened("text_file", tmp_path, root=written(tmp_path / "t.txt", text), length=16)
    assert isinstance(pack.split("train")[0], Shards)
    passages = [Passage(text[start : start + 20]) for start in range(0, 4000, 7)]
    other = Passage(text[5] + text[3])
    for each in (pack, numbers):
        assert novelty(passages, each) == 0
        assert novelty([*passages, other], each) == 1 / (len(passages) + 1)


@pytest.mark.parametrize(("spare", "batches"), [(0, 1), (1, 1)])
def test_as_many_windows_as_a_batch_has(numbers, spare, batches):
    count = numbers.counts["train"]
    data = served(numbers, batch_size=count - spare)
    assert data.batches_per_epoch == batches
    assert all(len(set(data.batch(step).x[:, 0].tolist())) == count - spare for step in range(4))


def test_a_batch_larger_than_the_text_is_refused(numbers):
    with pytest.raises(
        DataError, match=r"batch_size: given 4096, but the train split has 281 samples. Type batch_size=256"
    ):
        served(numbers, batch_size=4096)


def test_pieces_and_pictures_are_not_moved(tmp_path):
    pack = opened("sums", tmp_path, count=64)
    data = served(pack)
    rows = sorted(map(tuple, pack.split("train")[0].tolist()))
    assert data.batches_per_epoch == 8
    assert all(sorted(map(tuple, windows(data, epoch).tolist())) == rows for epoch in range(3))


@pytest.mark.parametrize("augment", ["flip", "gain"])
def test_text_is_not_augmented(numbers, augment):
    with pytest.raises(ConfigError, match=f"data.augment: {augment} is not for text data. Allowed: none"):
        served(numbers, augment=[augment])


# Texts with labels ---------------------------------------------------------------------------------------------------


def reviews(count: int, start: int = 0) -> list[tuple[str, str]]:
    return [(("neg", "pos")[number % 2], f'Review {number}, "quoted"; fine') for number in range(start, start + count)]


def labelled(pack: Pack, split: str) -> list[tuple[str, str]]:
    labels = pack.split(split)[1]
    assert labels is not None
    return list(zip([pack.about["classes"][label] for label in labels], pieces(pack, split), strict=True))


def as_table(rows: list[tuple[str, str]], delimiter: str, head: str) -> str:
    def quoted(text: str) -> str:
        return text if delimiter == "\t" else '"' + text.replace('"', '""') + '"'

    return "\n".join([*([head] if head else []), *(f"{label}{delimiter}{quoted(text)}" for label, text in rows)]) + "\n"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "delimiter", "head"), [
    ("r.csv", ",", "Sentiment,Review"), ("r.csv", ";", "label;text"), ("r.tsv", "\t", "class\tsentence"),
])  # fmt: skip
def test_tables_of_reviews(tmp_path, kind, name, delimiter, head):
    rows = reviews(60)
    root = written(tmp_path / name, as_table(rows, delimiter, head))
    pack = opened("reviews", tmp_path, root=root, vocabulary=kind, length=40)
    assert pack.about["classes"] == ["neg", "pos"]
    assert sorted(labelled(pack, "train") + labelled(pack, "test")) == sorted(rows)
    assert labelled(pack, "train") == [row for row in rows if not is_held_out(row[1])]
    assert pack.about["text"]["end"] == pack.about["levels"] - 1


def test_quoted_line_ends_columns_by_name_and_by_number_and_breaks(tmp_path):
    rows = 'id,opinion,words\n1,+,"two\nlines, and ""more"""\n2,-,one<br /><br>two\n' + "".join(
        f"{number},+,w{number}\n" for number in range(20))  # fmt: skip
    root = written(tmp_path / "r.csv", rows)
    pack = opened("reviews", tmp_path, root=root, label="opinion", text="Words", vocabulary="characters")
    got = labelled(pack, "train") + labelled(pack, "test")
    assert ("+", 'two\nlines, and "more"') in got
    assert ("-", "one two") in got
    root = written(tmp_path / "headless.csv", rows.partition("\n")[2])
    numbered = opened("reviews", tmp_path, root=root, label=2, text=3, vocabulary="characters")
    assert sorted(labelled(numbered, "train") + labelled(numbered, "test")) == sorted(got)


def test_folders_as_aclimdb_has_them(tmp_path):
    for split in ("train", "test"):
        for label in ("pos", "neg"):
            for number in range(5):
                written(tmp_path / "aclImdb" / split / label / f"{number}_7.txt", f"{split} {label}<br />{number}")
    written(tmp_path / "aclImdb" / "train" / "unsup" / "0_0.txt", "nobody knows")
    written(tmp_path / "aclImdb" / "train" / "urls_pos.txt", "http://")
    written(tmp_path / "aclImdb" / "README", "read")
    for root in (tmp_path, tmp_path / "aclImdb"):
        pack = opened("reviews", tmp_path, root=root, vocabulary="characters")
        assert pack.counts == {"train": 10, "test": 10}
        assert set(labelled(pack, "test")) == {
            (label, f"test {label} {n}") for label in ("neg", "pos") for n in range(5)
        }


def test_folders_without_a_split_and_tables_with_one(tmp_path):
    for label, text in reviews(60):
        written(tmp_path / "plain" / label / f"{text[7:9].strip(',')}.txt", text)
    pack = opened("reviews", tmp_path, root=tmp_path / "plain", vocabulary="characters")
    assert {text for _, text in labelled(pack, "test")} == {text for _, text in reviews(60) if is_held_out(text)}
    for name, rows in (("train", reviews(8)), ("test", reviews(3, 50))):
        written(tmp_path / "official" / f"{name}.tsv", as_table(rows, "\t", "label\ttext"))
    pack = opened("reviews", tmp_path, root=tmp_path / "official", vocabulary="characters")
    assert (labelled(pack, "train"), labelled(pack, "test")) == (reviews(8), reviews(3, 50))


def test_longer_texts_are_cut_or_rejected(tmp_path, capsys):
    rows = [("a", "short"), ("b", "x" * 7), ("a", "y" * 8), ("b", "z" * 30)]
    root = written(tmp_path / "r.tsv", as_table(rows, "\t", "label\ttext"))
    pack = opened("reviews", tmp_path, root=root, length=8, vocabulary="characters")
    assert sorted(labelled(pack, "train") + labelled(pack, "test")) == [("a", "short"), ("a", "y" * 8), ("b", "x" * 7),
                                                                       ("b", "z" * 8)]  # fmt: skip
    assert "2 texts are longer than data.length=8 symbols" in capsys.readouterr().err
    rejecting = {"root": root, "length": 8, "vocabulary": "characters", "longer": "reject"}
    pack = opened("reviews", tmp_path, **rejecting, max_bad=0.5)
    assert [place for place, _ in pack.rejections()] == ["r.tsv:4", "r.tsv:5"]
    assert "data.length=31 takes it" in pack.rejections()[1][1]
    with pytest.raises(DataError, match=r"more than max_bad=0.01 of the 4 texts cannot be used. r.tsv:4 \(9 symbols"):
        opened("reviews", tmp_path, **rejecting)


def test_a_text_keeps_its_split_when_others_come_and_equal_texts_share_one(tmp_path):
    for count in (60, 90):
        rows = reviews(count) + reviews(10)
        written(tmp_path / "r.tsv", as_table(rows, "\t", "label\ttext"))
        pack = opened("reviews", tmp_path, root=tmp_path / "r.tsv", vocabulary="bytes")
        assert {text for _, text in labelled(pack, "test")} == {text for _, text in rows if is_held_out(text)}


def test_of_few_texts_each_split_has_one(tmp_path):
    rows = [row for row in reviews(20) if not is_held_out(row[1])][:3]
    pack = opened("reviews", tmp_path, root=written(tmp_path / "r.tsv", as_table(rows, "\t", "label\ttext")))
    assert pack.counts == {"train": 2, "test": 1}


@needs_real
def test_the_real_reviews(tmp_path):
    file = Path(str(REAL)) / "text" / "reviews.tsv"
    rows = [tuple(line.split("\t")) for line in file.read_text().splitlines()[1:]]
    pack = opened("reviews", tmp_path, root=file)
    assert sorted(labelled(pack, "train") + labelled(pack, "test")) == sorted(rows)
    assert 0.03 < pack.counts["test"] / len(rows) < 0.07
    assert pack.about["levels"] == 8001


@pytest.mark.parametrize(("text", "changes", "said"), [
    ("a,b\n1,2\n", {}, r"data.label: no column of labels found. The first line of 'r.csv' holds: a, b"),
    ("label,b\n1,2\n", {}, r"data.text: no column of texts found"),
    ("label,text\n1,2\n", {"text": "txt"}, r"data.text: no column 'txt'. Did you mean 'text'\?"),
    ("label,text\n1,2\n", {"text": 2}, r"data.label: not a number, but the other column is"),
    ("label,text\n,2\n1,\n", {}, r"data.root: nothing in '.*r.csv' can be used. r.csv:2: no label"),
    ("label,text\n", {}, r"nothing in '.*r.csv' can be used"),
    ("label,text\n" + "".join(f"{n},x{n}\n" for n in range(1001)), {}, r"data.label: over 1,000 different labels"),
])  # fmt: skip
def test_faulty_tables(tmp_path, text, changes, said):
    with pytest.raises(DataError, match=said):
        opened("reviews", tmp_path, root=written(tmp_path / "r.csv", text), **changes)


def test_faulty_rows_are_listed_with_their_lines(tmp_path):
    good = "".join(f"a,word {number}\n" for number in range(20))
    text = f'label,text\n{good}a\n\nb,"two\nlines"\n,none\nb,\nc,"open' + "x" * 140_000 + "\na,after\n"
    pack = opened("reviews", tmp_path, root=written(tmp_path / "r.csv", text), max_bad=0.5, vocabulary="bytes")
    assert [(place, reason[:24]) for place, reason in pack.rejections()] == [
        ("r.csv:22", "1 columns, allowed: 2 or"), ("r.csv:23", "an empty line"), ("r.csv:26", "no label"),
        ("r.csv:27", "no text"), ("r.csv:28", "field larger than field "),
    ]  # fmt: skip
    assert ("b", "two\nlines") in labelled(pack, "train") + labelled(pack, "test")
    assert ("a", "after") in labelled(pack, "train") + labelled(pack, "test")


def test_a_folder_of_neither_tables_nor_labels(tmp_path):
    written(tmp_path / "some" / "a.md", "x")
    with pytest.raises(DataError, match=r"has no .csv or .tsv, and no folders such as train/pos"):
        opened("reviews", tmp_path, root=tmp_path / "some")
    for name in ("a.csv", "b.csv"):
        written(tmp_path / "some" / name, "x")
    with pytest.raises(DataError, match=r"has 2 tables: a.csv, b.csv"):
        opened("reviews", tmp_path, root=tmp_path / "some")


# Pairs ---------------------------------------------------------------------------------------------------------------

SENTENCES = [("Good morning! 👋🏽", "Guten Morgen! 🌞"), ("你好", "नमस्ते"), ("مرحبا", "שלום"), ("one two", "eins  zwei")]


def table(pairs: list[tuple[str, str]]) -> str:
    return "".join(f"{source}\t{target}\n" for source, target in pairs)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("direction", ["a_to_b", "b_to_a"])
def test_pairs_come_back_on_both_sides(tmp_path, kind, direction):
    pairs = SENTENCES + [(f"line {number}", f"Zeile {number}") for number in range(60)]
    root = written(tmp_path / "p.tsv", table(pairs))
    pack = opened("pairs", tmp_path, root=root, vocabulary=kind, direction=direction, source_length=48)
    assert (pack.spec.shape, pack.spec.condition.shape) == ((64,), (48,))  # type: ignore[union-attr]
    assert pack.about["text"] == pack.about["source"]["text"]
    found = [pair for split in ("train", "test")
             for pair in zip(sources(pack, split), pieces(pack, split), strict=True)]  # fmt: skip
    assert sorted(found) == sorted(pairs if direction == "a_to_b" else [pair[::-1] for pair in pairs])
    assert 0 < pack.counts["test"] < 10


@pytest.mark.parametrize("ending", ["val", "test"])
def test_a_folder_of_training_and_held_out_pairs(tmp_path, ending):
    written(tmp_path / "d" / "eng-deu.train.tsv", table(SENTENCES))
    written(tmp_path / "d" / f"eng-deu.{ending}.tsv", table([("new", "neu")]))
    pack = opened("pairs", tmp_path, root=tmp_path / "d", vocabulary="characters")
    assert sources(pack, "train") == [source for source, _ in SENTENCES]
    assert (sources(pack, "test"), pieces(pack, "test")) == (["new"], ["neu"])
    other = written(tmp_path / "other.tsv", table([("old", "alt")]))
    for test in (other, "../other.tsv"):
        assert pieces(opened("pairs", tmp_path, root=tmp_path / "d", test=test, vocabulary="bytes"), "test") == ["alt"]


def test_further_columns_of_pairs_are_counted_and_told(tmp_path, capsys):
    text = "a\tb\tby someone\nc\td\t\ne\tf\n" + "".join(f"s {n}\tt {n}\tby me\t7\n" for n in range(30))
    pack = opened("pairs", tmp_path, root=written(tmp_path / "p.tsv", text), vocabulary="characters")
    assert sum(pack.counts.values()) == 33
    note = "aigc: 31 lines have more than a source, a tab and its target: what follows is not read.\n"
    assert capsys.readouterr().err == note
    opened("pairs", tmp_path, root=written(tmp_path / "q.tsv", text.replace("\tby me\t7", "")))
    assert capsys.readouterr().err.startswith("aigc: 1 line has more than a source")


def test_faulty_pairs_are_listed_with_their_lines(tmp_path):
    good = [(f"source {number}", f"target {number}") for number in range(20)]
    text = (
        table(good)
        + "\nno tab here\n\t\nonly\t\n\tonly\na b\tc d\tmore columns\n"
        + "x" * 70
        + "\ty\nz\t"
        + "w" * 64
        + "\n"
    )
    pack = opened("pairs", tmp_path, root=written(tmp_path / "p.tsv", text), vocabulary="characters", max_bad=1.0)
    assert pack.rejections() == [
        ("p.tsv:21", "an empty line"),
        ("p.tsv:22", "no tab: a line is a source, a tab and its target"),
        ("p.tsv:23", "an empty source and target"),
        ("p.tsv:24", "an empty target"),
        ("p.tsv:25", "an empty source"),
        ("p.tsv:27", "its source is of 71 symbols, the end symbol included (data.source_length=71 takes it)"),
        ("p.tsv:28", "its target is of 65 symbols, the end symbol included (data.length=65 takes it)"),
    ]
    assert ("a b", "c d") in list(zip(sources(pack, "train") + sources(pack, "test"),
                                      pieces(pack, "train") + pieces(pack, "test"), strict=True))  # fmt: skip
    with pytest.raises(
        DataError, match=r"more than max_bad=0.01 of the 28 texts cannot be used. p.tsv:21 \(an empty line\)"
    ):
        opened("pairs", tmp_path, root=tmp_path / "p.tsv", vocabulary="characters")


def test_a_ready_made_vocabulary_reads_the_sources(tmp_path):
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    symbols = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "morn", "##ing", "night"]
    made = Tokenizer(models.WordPiece({each: number for number, each in enumerate(symbols)}, unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    made.enable_padding(length=9)
    made.enable_truncation(2)
    written(tmp_path / "bert" / "tokenizer.json", made.to_str())
    root = written(tmp_path / "p.tsv", table([("Good morning", "guten Morgen"), ("good night", "gute Nacht")]))
    pack = opened("pairs", tmp_path, root=root, source_vocabulary=tmp_path / "bert", vocabulary="characters",
                  source_length=6)  # fmt: skip
    rows = np.concatenate([pack.split(split)[1] for split in ("train", "test")])  # type: ignore[arg-type]
    assert sorted(rows.tolist()) == [[4, 5, 6, 8, 8, 8], [4, 7, 8, 8, 8, 8]]
    assert pack.about["source"]["levels"] == len(symbols) + 1
    assert set(pack.about["text"]["symbols"]) == set("guten Morgengute Nacht"), "of the targets alone"
    with pytest.raises(DataError, match=r"data.source_vocabulary: no tokenizer.json in"):
        opened("pairs", tmp_path, root=root, source_vocabulary=tmp_path)


def words_json(vocab: dict[str, int], **changes: Any) -> str:
    """Return the JSON of a tokenizer of words."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return json.dumps({**json.loads(made.to_str()), **changes})


KNOWN = {"[UNK]": 0, "good": 1, "morning": 2, "night": 3}


@pytest.mark.parametrize(("text", "said"), [
    ("{", r"the tokenizers library cannot read it: EOF while"), ("", "cannot read it"), ("[" * 9999, "cannot read it"),
    (b"\xff\xfe", "it is not UTF-8"), ('{"model": 1}', "cannot read it"), ('{"model": {}}', "cannot read it: data did"),
    (words_json({}), "its ids take 1 symbols, the end included, allowed: 2 to 1,048,576"),
    (words_json({**KNOWN, "far": 1 << 20}), "its ids take 1,048,578 symbols, .*, allowed: 2 to 1,048,576"),
    (words_json({"good": 0, "morning": 1}), r"cannot read a text by this vocabulary: .*Missing \[UNK\]"),
    ('{"model": {"type": "\\u001b[31m\\n"}}', "cannot read it"),
    (words_json(KNOWN, version="x" * ((1 << 24) + 1)), "its JSON has 16,777,.* characters, allowed: 16,777,216"),
])  # fmt: skip
def test_a_tokenizer_that_cannot_be_used_is_one_line_and_leaves_nothing(tmp_path, text, said):
    written(tmp_path / "bert" / "tokenizer.json", text)
    root = written(tmp_path / "p.tsv", table([("good morning", "guten Morgen"), ("good night", "gute Nacht")]))
    with pytest.raises(
        DataError, match=f"data.source_vocabulary: '.*' is no tokenizer of use: .*{said}.* Type .*or null"
    ) as found:
        opened("pairs", tmp_path, root=root, source_vocabulary=tmp_path / "bert")
    assert str(found.value).isprintable()
    assert all(entry.name.startswith(".lock-") for entry in (tmp_path / "cache").iterdir())


def test_the_ids_of_a_tokenizer_may_have_gaps_and_be_many(tmp_path):
    written(tmp_path / "gaps" / "tokenizer.json", words_json({**KNOWN, "night": 119_546}))
    root = written(tmp_path / "p.tsv", table([("good morning", "guten Morgen"), ("good night", "gute Nacht")]))
    pack = opened("pairs", tmp_path, root=root, source_vocabulary=tmp_path / "gaps", source_length=3)
    assert (pack.about["source"]["levels"], pack.about["source"]["text"]["end"]) == (119_548, 119_547)
    rows = np.concatenate([pack.split(split)[1] for split in ("train", "test")])  # type: ignore[arg-type]
    assert sorted(rows.tolist()) == [[1, 2, 119_547], [1, 119_546, 119_547]]
    assert sorted(sources(pack, "train") + sources(pack, "test")) == ["good morning", "good night"]
    spec = read_spec(Checkpoint(tmp_path, 1, {"spec": json.loads(json.dumps(pack.spec.to_dict()))}))
    assert spec == pack.spec, "what was trained on can be opened"


def test_byte_pairs_take_text_that_is_no_unicode():
    words = learn("bpe", 300, lambda _: [("train", "some text")], total=9, ends=False)
    assert words.decode(words.encode("a\ud800b").tolist()) == "a\ufffd\ufffd\ufffdb"


@needs_real
def test_the_real_pairs(tmp_path):
    folder = Path(str(REAL)) / "text"
    pack = opened("pairs", tmp_path, root=folder)
    assert pack.counts == {"train": 29_000, "test": 1_014}
    for split, name in (("train", "train"), ("test", "val")):
        said = [line.split("\t") for line in (folder / f"eng-deu.{name}.tsv").read_text().splitlines()]
        assert sources(pack, split) == [source.strip() for source, *_ in said]
        assert pieces(pack, split) == [target.strip() for _, target, *_ in said]  # one has a third column


# What is wrong with a file -------------------------------------------------------------------------------------------

LONG = "words and more words. " * 200
FAULTS: dict[str, tuple[str | bytes, dict[str, Any], str]] = {
    "latin": (LONG.encode() + "für".encode("latin-1"), {},
              r"is not UTF-8: byte 4,401 is 0xFC\. If .* data.encoding= .*latin-1"),
    "cut off": (LONG.encode() + "€".encode()[:2], {}, r"is not UTF-8: byte 4,400 is 0xE2"),
    "empty": ("", {}, r"data.root: '.*t.txt' is empty"),
    "short": ("too short", {}, r"data.length: given 256, but '.*' has 9 symbols to train on and 0 held out"),
    "rather short": (LONG[:2000], {}, r"has 1,800 symbols to train on and 200 held out .*Type data.length=128, or"),
    "picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(99), {}, r"is no text: byte 8 is zero"),
    "utf-16": (LONG.encode("utf-16"), {}, r"is of 16 bits a character. Type data.encoding=utf-16"),
    "utf-16, unmarked": (LONG.encode("utf-16-be"), {}, r"is of 16 bits a character, .* Type data.encoding=utf-16-be"),
    "utf-16 without its mark": (LONG.encode("utf-16-le"), {"encoding": "utf-16"},
                                r"is not UTF-16: UTF-16 stream does not start with BOM. Type data.encoding=utf-16-le"),
    "utf-8 as utf-16": (LONG.encode(), {"encoding": "utf-16"}, r"is not UTF-16: .* Type data.encoding=utf-8,"),
    "not utf-16": (LONG.encode() + b"\xd8\xd8", {"encoding": "utf-16-be"}, r"is not UTF-16-BE: byte 4,400"),
    "unknown encoding": (LONG, {"encoding": "utf8s"},
                         r"data.encoding: no 'utf8s' among the encodings. Did you mean 'utf-8'"),
    "codec of bytes": (LONG, {"encoding": "zlib"}, r"data.encoding: no 'zlib' among the encodings"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_of_a_file_is_one_line_and_leaves_nothing(tmp_path, fault):
    text, changes, said = FAULTS[fault]
    with pytest.raises(ConfigError, match=said) as found:
        opened("text_file", tmp_path, root=written(tmp_path / "t.txt", text), **changes)
    assert "\n" not in str(found.value)
    left = list((tmp_path / "cache").iterdir()) if (tmp_path / "cache").exists() else []
    assert all(entry.name.startswith(".lock-") for entry in left)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_within_the_learning_of_a_vocabulary_is_told_as_well(tmp_path, kind):
    root = written(tmp_path / "t.txt", LONG.encode() * 100 + b"\xff" + LONG.encode() * 100)
    with pytest.raises(DataError, match=r"is not UTF-8: byte 440,000 is 0xFF"):
        opened("text_file", tmp_path, root=root, vocabulary=kind)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_text_without_a_mark_is_told_whatever_it_holds(tmp_path, encoding):
    for number, data in enumerate((b"\xe4", "für\n".encode("latin-1") * 9, bytes(range(1, 256)), b"\0" * 64)):
        with pytest.raises(Rejected, match="is not UTF"):
            list(blocks(written(tmp_path / f"{number}.txt", data), encoding))


def test_utf_16_is_not_advised_where_there_is_no_sign_of_it(tmp_path):
    with pytest.raises(Rejected) as found:
        list(blocks(written(tmp_path / "t.txt", LONG.encode() + b"\xfc"), "utf-8-sig"))
    assert "utf-16" not in str(found.value)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(before=st.text(st.sampled_from("aä€😀\n"), max_size=40), block=st.integers(1, 9), mark=st.booleans())
def test_the_byte_that_is_wrong_is_named_exactly(tmp_path_factory, before, block, mark):
    data = (b"\xef\xbb\xbf" if mark else b"") + before.encode()
    file = written(tmp_path_factory.mktemp("wrong") / "t.txt", data + b"\xff" + b"more")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_reading, "BLOCK", block)
        with pytest.raises(Rejected, match=f"byte {len(data)} is 0xFF"):
            list(blocks(file, "utf-8-sig"))


@pytest.mark.parametrize(("encoding", "text"), [
    ("latin-1", "Fähre über Œuvre".replace("Œ", "O")), ("cp1252", "“quotes” — 5 €"), ("utf-16", "你好 👋"),
    ("shift_jis", "こんにちは"), ("gb18030", "你好世界"), ("koi8-r", "привет"),
])  # fmt: skip
def test_other_encodings(tmp_path, encoding, text):
    whole = f"{text}\r\n" * 50
    pack = opened("text_file", tmp_path, root=written(tmp_path / "t.txt", whole.encode(encoding)), encoding=encoding,
                  length=4)  # fmt: skip
    assert flat_text(pack, "train").startswith(f"{text}\n{text}\n")
    assert set(pack.about["text"]["symbols"]) == set(f"{text}\n")


def test_where_there_is_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "stories.txt", LONG)
    with pytest.raises(
        DataError, match=r"data.root: no file or folder 'storys.txt'. Did you mean 'stories.txt'\?.* looked"
    ):
        opened("text_file", tmp_path, root="storys.txt")
    with pytest.raises(DataError, match=r"data.root: no folder 'a/b/c.txt'"):
        opened("text_file", tmp_path, root="a/b/c.txt")
    written(tmp_path / "d" / "a.pdf", "x")
    with pytest.raises(DataError, match=r"data.root: no .txt among the 1 files of 'd'"):
        opened("text_file", tmp_path, root="d")
    with pytest.raises(DataError, match=r"data.root: no .tsv in 'd'"):
        opened("pairs", tmp_path, root="d")
    with pytest.raises(DataError, match=r"no shakespeare.txt in 'd'. .*https://github.com/karpathy/char-rnn"):
        opened("shakespeare", tmp_path, root="d")
    written(tmp_path / "d" / "p.tsv", table(SENTENCES))
    with pytest.raises(DataError, match=r"data.test: no file or folder 'nowhere.tsv'"):
        opened("pairs", tmp_path, root="d", test="nowhere.tsv")
    with pytest.raises(DataError, match=r"data.test: 'p.tsv' is the file that is trained on"):
        opened("pairs", tmp_path, root="d", test="p.tsv")
    written(tmp_path / "d" / "q.tsv", table(SENTENCES))
    with pytest.raises(DataError, match=r"2 files to choose from in 'd': p.tsv, q.tsv. Type data.root=d/p.tsv"):
        opened("pairs", tmp_path, root="d")
    with pytest.raises(DataError, match=r"nothing in 't.tsv' can be used. t.tsv:1: no tab"):
        opened("pairs", tmp_path, root=written(tmp_path / "t.tsv", "a\nb\n") and "t.tsv")


def test_lines_have_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(text_reading, "LONGEST_LINE", 10)
    monkeypatch.setattr(text_reading, "BLOCK", 4)
    file = written(tmp_path / "t.txt", "short\n\n" + "x" * 50 + "\nlast")
    assert list(lines(file, "utf-8-sig")) == ["short", "", "x" * 10, "last"]


def test_without_the_tokenizers_library_the_way_out_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ConfigError, match=r"pip install 'aigc\[text\]', or data.vocabulary=bytes"):
        opened("text_file", tmp_path, root=written(tmp_path / "t.txt", LONG), vocabulary="bpe")


# As typed ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIGC_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_check_shows_running_text_and_no_control_character(here, capsys):
    written(here / "t.txt", MANY * 100)
    assert main(["data", "check", "data=text_file", "data.root=t.txt", "data.length=32", "n=5"]) == 0
    out = capsys.readouterr().out
    assert "samples:  text of 32 symbols, " in out
    assert f"{len(set(MANY))} characters" in out
    assert "symbols to train on" in out
    assert out.count("  example:  ") == 4
    assert not [each for each in out if unicodedata.category(each) in ("Cc", "Cf") and each != "\n"]
    assert "only " in out
    assert "windows of 32 symbols" in out
    assert "data.augment" not in out
    page = (here / "outputs" / "data" / "text_file-t.txt.txt").read_text()
    assert page.count("-" * 40) == 4


def test_pack_of_pairs_and_of_reviews_as_typed(here, capsys):
    written(here / "p.tsv", table([(f"line {number}", f"Zeile {number}") for number in range(40)]) + "none\n")
    assert main(["data", "check", "data=pairs", "data.root=p.tsv", "data.max_bad=0.1", "n=3"]) == 0
    out, error = capsys.readouterr()
    assert "  from:     text of 64 symbols, " in out
    assert "  rejected: 1 texts\n    p.tsv:41: no tab" in out
    assert "\\nZeile" in out
    assert error.endswith("rejected.jsonl.\n")
    assert "1 texts cannot be used" in error
    written(here / "r.tsv", as_table(reviews(40), "\t", "label\ttext"))
    assert main(["data", "pack", "data=reviews", "data.root=r.tsv", "data.vocabulary=bytes"]) == 0
    out = capsys.readouterr().out
    assert "256 bytes and an end symbol" in out
    assert "(neg " in out
    assert "lengths:  24 to 25 symbols" in out
    assert "example" not in out


def test_a_fault_as_typed_is_one_line_and_exit_code_2(here, capsys):
    written(here / "t.txt", b"words \xff")
    assert main(["data", "pack", "data=text_file", "data.root=t.txt"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "byte 6 is 0xFF" in error


def test_advice_speaks_of_texts(tmp_path):
    said = advice(opened("sums", tmp_path, count=100))
    assert said is not None
    assert said.startswith("only 100 training texts: samples may repeat them. Starting")
