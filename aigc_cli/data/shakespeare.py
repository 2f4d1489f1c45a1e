"""The plays of Shakespeare as Andrej Karpathy put them together: 1.1 million characters, 65 different ones."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from aigc_cli.data.text_file import TextFile
from aigc_cli.errors import DataError

PLACES = ("shakespeare.txt", "input.txt", "text/shakespeare.txt", "shakespeare/input.txt", "tinyshakespeare/input.txt")
SOURCE = "https://github.com/karpathy/char-rnn"


class Shakespeare(TextFile):
    """One file, found by its name below the root."""

    name: ClassVar[str] = "shakespeare"

    def found(self) -> Path:
        """Return the file."""
        root = Path(self.root).expanduser()
        candidates = [root, *(root / place for place in PLACES)]
        file = next((each for each in candidates if each.is_file()), None)
        if file is None:
            raise DataError(f"data.root: no shakespeare.txt in '{self.root}'. Put data/tinyshakespeare/input.txt of "
                            f"{SOURCE} there by that name, or type data.root= and its path.")  # fmt: skip
        return file
