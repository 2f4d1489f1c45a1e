"""Notes by name, equally tempered."""

from __future__ import annotations

import re

A4 = 440.0  # Hz
LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}  # semitones above C
NAME = re.compile(r"([A-G])([#b]?)(-?\d)")


def frequency_of(name: str) -> float:
    """Return the frequency in Hz of a note such as A4, C#3 or Bb2."""
    found = NAME.fullmatch(name)
    if not found:
        raise ValueError(f"{name!r} is no note, allowed: such as A4, C#3, Bb2.")
    letter, accidental, octave = found.groups()
    semitone = LETTERS[letter] + {"#": 1, "b": -1, "": 0}[accidental] + 12 * (int(octave) - 4)
    return A4 * 2 ** ((semitone - LETTERS["A"]) / 12)


def are_notes(names: tuple[str, ...]) -> bool:
    """Tell whether all of some names, at least one, are those of notes."""
    return bool(names) and all(NAME.fullmatch(name) for name in names)
