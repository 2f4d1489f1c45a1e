"""Learn a vocabulary from texts: the characters that occur, or the byte pairs that occur most often together."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from annotated_types import Ge, Le
from tqdm import tqdm

from aigc_cli.errors import DataError
from aigc_cli.texts.vocabulary import BYTES, Bytes, Characters, Pairs, Vocabulary, library, tokenizer_from

VocabularyKind: TypeAlias = Literal["characters", "bytes", "bpe"]
VocabularySize: TypeAlias = Annotated[int, Ge(BYTES + 1), Le(200_000)]
Read: TypeAlias = Callable[[Callable[[int], object]], Iterable[tuple[str, str]]]

MOST_CHARACTERS = 20_000  # different ones; Chinese novels have about 5,000
LEARNT_FROM = 1 << 25  # characters that byte pairs are counted in, spread evenly: more would change few of them
LEAST_OFTEN = 2  # times that a pair occurs before it is a symbol
SAVED = "Type {key}= and a folder that transformers' save_pretrained has written, or null."
TRIAL = "qzxjvk\N{CYRILLIC LETTER MULTIOCULAR O} \N{UGARITIC LETTER ALPA}"  # words and letters that few know
LARGE = 1 << 28  # bytes whose reading takes seconds
LONG = re.compile(r"\S{512}")  # what no blank interrupts takes the trainer quadratic time


def learn(kind: VocabularyKind, size: int, read: Read, *, total: int, ends: bool) -> Vocabulary:
    """Return the vocabulary of texts, with a bar; read: yields them as (split, text), and counts the bytes it reads.

    size: of bpe, without the end symbol; it has fewer symbols where the texts have fewer pairs. total: bytes of all
    texts, about. Byte pairs are learnt from the split "train" alone; characters are those of all splits, since a
    model that meets an unknown one could not go on. ConfigError where the tokenizers library is not installed,
    DataError where there are more different characters than a model can well have.
    """
    if kind == "bytes":
        return Bytes(ends=ends)
    if total > LARGE:
        print(f"aigc: reading {total / 1e6:,.0f} MB of text for a vocabulary.", file=sys.stderr)
    if kind == "bpe":
        library()  # before minutes of reading
    with tqdm(
        total=total, desc="learning a vocabulary", unit="B", unit_scale=True, leave=False, disable=None,
        dynamic_ncols=True,
    ) as bar:  # fmt: skip
        texts = read(bar.update)
        if kind == "characters":
            return Characters(_occurring(text for _, text in texts), ends=ends)
        return Pairs(_trained(size, (text for split, text in texts if split == "train"), total), ends=ends)


def tokenizer_of(folder: str, key: str) -> Path:
    """Return the tokenizer.json in a Hugging Face folder; key: the setting that names the folder."""
    file = Path(folder).expanduser() / "tokenizer.json"
    if not file.is_file():
        raise DataError(f"{key}: no tokenizer.json in '{folder}'. {SAVED.format(key=key)}")
    return file


def ready_made(folder: str, key: str) -> Pairs:
    """Return the vocabulary, of pieces, of a Hugging Face folder's tokenizer.json; key: the setting that names it.

    DataError where the library cannot open it, or cannot read by it what it does not know: better now than in an hour.
    """
    file = tokenizer_of(folder, key)
    try:
        words = Pairs(tokenizer_from(file.read_text(encoding="utf-8")).to_str(), ends=True)
        words.encode(TRIAL)
    except UnicodeDecodeError:
        reason = "it is not UTF-8"
    except DataError as error:
        reason = str(error)
    else:
        return words
    raise DataError(f"{key}: '{file}' is no tokenizer of use: {reason}. {SAVED.format(key=key)}")


def _occurring(texts: Iterable[str]) -> list[str]:
    """Return the characters of texts, sorted."""
    seen = np.zeros(0x110000, bool)  # one for each code point: no text is too long for it
    for text in texts:
        seen[np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)] = True
    points = np.flatnonzero(seen)
    if len(points) > MOST_CHARACTERS:
        raise DataError(f"data.vocabulary: given characters, but the text has {len(points):,} different ones, allowed: "
                        f"{MOST_CHARACTERS:,}. Type data.vocabulary=bpe, or bytes.")  # fmt: skip
    return [chr(point) for point in points]


def _trained(size: int, texts: Iterable[str], total: int) -> str:
    """Return a byte-level tokenizer's JSON (GPT-2, Radford et al. 2019, Section 2.2); the same texts, the same one."""
    tokenizers: Any = library()
    byte_level = tokenizers.pre_tokenizers.ByteLevel
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = byte_level(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size, min_frequency=LEAST_OFTEN, initial_alphabet=sorted(byte_level.alphabet()),
        special_tokens=[], show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(_some(texts, total), trainer)
    return tokenizer.to_str()


def _some(texts: Iterable[str], total: int) -> Iterator[str]:
    """Yield each of so many texts, of which the trainer can count the pairs quickly."""
    every = -(-total // LEARNT_FROM) or 1
    for text in itertools.islice(texts, 0, None, every):
        yield LONG.sub(r"\g<0>\n", text)
