"""Read texts of files, whoever wrote them: .txt and .jsonl as `aigc sample` keeps them, or a folder of such."""

from __future__ import annotations

import json
from pathlib import Path

from aigc_cli.data.text_reading import existing_path, files_at
from aigc_cli.errors import ConfigError
from aigc_cli.texts.pages import RULE, Passage
from aigc_cli.wording import shown

SUFFIXES = (".txt", ".jsonl")
LINE = 'a JSON object with a text, such as {"text": "..."}, and its source and label, if any'


def read_passages(path: Path, *, running: bool) -> list[Passage]:
    """Return the texts of a file, or of the files below a folder, in the order of their names.

    running: whether a .txt without rules between its texts is one text; else each of its lines is one. ConfigError
    where there is no text, or a file cannot be read; DataError where there is no such path.
    """
    root, files = files_at(existing_path(str(path), "samples"))
    names = [name for name, _, _ in files if name.lower().endswith(SUFFIXES)]
    if not names:
        where = "among the files of" if path.is_dir() else "at"
        raise ConfigError(f"samples: no text {where} '{shown(str(path))}'. Allowed: .txt, .jsonl, or a folder of them.")
    found: list[Passage] = []
    for name in names:
        content = utf8(root / name, "samples")
        if not content.strip():
            raise ConfigError(f"samples: '{shown(name)}' is empty. Type a file that holds text.")
        lines = name.lower().endswith(".jsonl")
        found += _of_jsonl(content, name) if lines else _of_txt(content, running=running)
    return found


def utf8(path: Path, setting: str) -> str:
    """Return what a file of UTF-8 holds, its line ends as \\n; ConfigError, with the setting, where it holds other."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{setting}: {path} is not UTF-8 at byte {error.start:,}. Save it as UTF-8.") from None
    except OSError as error:
        raise ConfigError(f"{setting}: {path} cannot be read ({error.strerror}).") from None


def _of_txt(content: str, *, running: bool) -> list[Passage]:
    ruled = RULE in content
    whole = content.removesuffix(RULE) if content.endswith(RULE) else content.removesuffix("\n")
    return [Passage(text) for text in (whole.split(RULE) if ruled or running else whole.split("\n"))]


def _of_jsonl(content: str, name: str) -> list[Passage]:
    found = []
    for number, line in enumerate(content.split("\n"), 1):
        if line.strip():
            try:
                about = json.loads(line)
            except (ValueError, RecursionError):
                about = None
            known = [about.get(key) for key in ("text", "source", "label")] if isinstance(about, dict) else [None] * 3
            if not isinstance(known[0], str) or not all(isinstance(each, str | None) for each in known):
                raise ConfigError(f"samples: '{shown(name)}', line {number}, allowed: {LINE}.")
            found.append(Passage(known[0], source=known[1], label=known[2]))
    return found
