"""Sums as text, "12+7=19": what their operations are, and whether one is right."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable

OPERATIONS: dict[str, Callable[[int, int], int]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}
MOST_DIGITS = 1000  # of a number that is graded: Python reads numbers of over 4,300 digits only when asked to

_NUMBER = rf"(?:0|[1-9][0-9]{{0,{MOST_DIGITS - 1}}})"
_SUM = re.compile(rf"({_NUMBER})([-+*])({_NUMBER})=(-?{_NUMBER})")


def is_right(text: str) -> bool:
    """Tell whether a text is one sum in the strict form of the data set `sums`, and right.

    Strict: no blanks, no leading zeros, operands without a sign, nothing after the result; -0 is no number.
    """
    found = _SUM.fullmatch(text)
    if not found:
        return False
    first, operation, second, result = found.groups()
    return result != "-0" and OPERATIONS[operation](int(first), int(second)) == int(result)
