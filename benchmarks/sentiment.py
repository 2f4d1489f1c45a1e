"""How often a simple judge reads the sentiment that was asked for in reviews that a model wrote.

python -m benchmarks.sentiment --root=reviews.tsv --samples reviews.jsonl, as `aigc sample n=200 format=jsonl` makes it.
The judge is naive Bayes on words and pairs of words; how often it is right on real reviews that it did not see is the
ceiling.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import random
import re
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

HELD_OUT = 1000


def main() -> None:
    """Print the share of samples that are read as was asked, and that of held-out real reviews."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="table with the columns sentiment and text")
    parser.add_argument("--samples", type=Path, required=True, nargs="+", help="reviews with text and label, .jsonl")
    given = parser.parse_args()
    with given.root.open(encoding="utf-8", newline="") as file:
        table = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        real = [(row["text"], row["sentiment"]) for row in table]
    random.Random(0).shuffle(real)
    print(f"real, held out: {share(real[:HELD_OUT], Judge(real[HELD_OUT:])):.3f} of {HELD_OUT:,}")
    judge = Judge(real)
    for path in given.samples:
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        print(f"{path}: {share([(line['text'], line['label']) for line in lines], judge):.3f} of {len(lines):,}")


class Judge:
    """Know in how many reviews (text, sentiment) of each sentiment a feature occurs."""

    def __init__(self, reviews: Iterable[tuple[str, str]]) -> None:
        self.counts: dict[str, Counter[str]] = {}
        for text, sentiment in reviews:
            self.counts.setdefault(sentiment, Counter()).update(features(text))
        known = len(set().union(*self.counts.values()))
        self.totals = {sentiment: counts.total() + known for sentiment, counts in self.counts.items()}

    def read(self, text: str) -> str:
        """Return the likelier sentiment, each feature counted once more than it was seen."""
        found = features(text)
        return max(self.counts, key=lambda sentiment: self._likelihood(sentiment, found))

    def _likelihood(self, sentiment: str, found: set[str]) -> float:
        return sum(math.log((self.counts[sentiment][one] + 1) / self.totals[sentiment]) for one in found)


def share(reviews: list[tuple[str, str]], judge: Judge) -> float:
    """Return the share of reviews (text, sentiment) whose sentiment the judge reads."""
    return sum(judge.read(text) == sentiment for text, sentiment in reviews) / len(reviews)


def features(text: str) -> set[str]:
    """Return a text's words and pairs of neighbours."""
    words = re.findall(r"[\w']+", text.lower())
    return {*words, *(" ".join(pair) for pair in pairwise(words))}


if __name__ == "__main__":
    main()
