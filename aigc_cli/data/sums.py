"""Sums as text, "12+7=19": needs no file, and what a model makes of them is graded by arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Le, MinLen
from numpy.typing import NDArray

from aigc_cli.data.folders import is_held_out
from aigc_cli.data.source import Contents, Reader, Split, digest
from aigc_cli.randomness import mix
from aigc_cli.texts.arithmetic import OPERATIONS
from aigc_cli.texts.vocabulary import Characters

SIGNS = {"add": "+", "subtract": "-", "multiply": "*"}
SYMBOLS = "*+-0123456789="
DRAWING = 1  # raised when sums are drawn otherwise, so that old packs are not taken for new ones
TEST_SHARE = 10  # the test split has a tenth of the training samples


class Sums:
    """Sums of two numbers; which pairs of numbers are held out is a matter of their hash, whatever their order."""

    name: ClassVar[str] = "sums"
    parallel: ClassVar[bool] = False

    def __init__(
        self,
        *,
        digits: Annotated[int, Ge(1), Le(18)],
        operations: Annotated[list[Literal["add", "subtract", "multiply"]], MinLen(1)],
        count: Annotated[int, Ge(10), Le(100_000_000)],
    ) -> None:
        self.digits, self.count = digits, count
        self.signs = [sign for name, sign in SIGNS.items() if name in operations]
        used = "0123456789=" + "".join(self.signs)
        self.vocabulary = Characters([symbol for symbol in SYMBOLS if symbol in used], ends=True)
        result = 2 * digits if "*" in self.signs else digits + 1
        self.length = digits + 1 + digits + 1 + result + 1  # operands, their sign, =, result, end symbol

    def fingerprint(self) -> str:
        """Return a digest of the settings and the way of drawing."""
        settings = {"digits": self.digits, "signs": self.signs, "count": self.count, "drawing": DRAWING}
        return digest(self.name, settings)

    def spec(self) -> dict[str, Any]:
        """Describe a sum."""
        words = self.vocabulary
        return {
            "kind": "text", "shape": [self.length], "levels": words.size, "classes": None, "text": words.plain()
        }  # fmt: skip

    def contents(self) -> Contents:
        """List the sums."""
        counts = {"train": self.count, "test": self.count // TEST_SHARE}
        return Contents({split: Split(range(count)) for split, count in counts.items()})

    def reader(self, split: str) -> Reader:
        """Return the function that draws a sum."""
        held_out = split == "test"

        def read(index: int) -> NDArray:
            random = Random(mix(int(held_out), index))
            ids = self.vocabulary.encode(draw_sum(random, self.digits, self.signs, held_out=held_out))
            return np.pad(ids, (0, self.length - len(ids)), constant_values=self.vocabulary.size - 1)

        return read


def draw_sum(random: Random, digits: int, signs: Sequence[str], *, held_out: bool) -> str:
    """Return a sum of two numbers of at most so many digits; each count of digits is as likely as the others."""
    while True:
        first, second = (_number(random, digits) for _ in range(2))
        sign = random.choice(signs)
        if is_held_out(f"{min(first, second)} {max(first, second)}") == held_out:
            return f"{first}{sign}{second}={OPERATIONS[sign](first, second)}"


def _number(random: Random, digits: int) -> int:
    count = random.randint(1, digits)
    return random.randrange(10 ** (count - 1) if count > 1 else 0, 10**count)
