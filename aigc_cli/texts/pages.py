"""Texts as files: plain, a JSON object a line, or a page that a browser shows."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

RULE = "\n" + "-" * 40 + "\n"
STYLE = """
:root { color-scheme: light dark; }
body { max-width: 44rem; margin: 3rem auto; padding: 0 1rem; font: 17px/1.55 Georgia, serif; }
h1 { font-size: 1.1rem; font-weight: normal; opacity: .7; }
article { margin: 2.2rem 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.told { opacity: .6; } .label { font: .8rem/1 system-ui, sans-serif; opacity: .6; margin: 0 0 .5rem; }
"""


@dataclass(frozen=True)
class Passage:
    """One text, what it was to begin with, and what it was asked for by."""

    text: str  # without the prompt
    prompt: str = ""
    label: str | None = None
    source: str | None = None

    @property
    def whole(self) -> str:
        """Return prompt and text."""
        return self.prompt + self.text


def as_txt(passages: Sequence[Passage], title: str, *, running: bool = False) -> str:
    """Return texts one a line where all are of one line, else with rules between them; as texts/given.py reads them.

    running: a text without rules is read as one, so that several need rules; else lines are read as texts, so that a
    single one of several lines is closed by a rule.
    """
    texts = [passage.whole for passage in passages]
    if running or any("\n" in text for text in texts):
        return RULE.join(texts) + (RULE if len(texts) == 1 and not running else "\n")
    return "\n".join(texts) + "\n"


def as_pairs(passages: Sequence[Passage], title: str) -> str:
    """Return texts below the sources that they were made of."""
    return "\n".join(f"{passage.source}\n  made:   {passage.whole}\n" for passage in passages)


def as_jsonl(passages: Sequence[Passage], title: str) -> str:
    """Return a JSON object a line: text, and prompt, label and source where there are any."""
    lines = []
    for passage in passages:
        about = {"prompt": passage.prompt or None, "label": passage.label, "source": passage.source}
        lines.append({"text": passage.whole, **{key: value for key, value in about.items() if value is not None}})
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def as_html(passages: Sequence[Passage], title: str) -> str:
    """Return a page; whatever a text holds, nothing of it is read as HTML."""
    parts = []
    for passage in passages:
        label = f'<p class="label">{html.escape(passage.label)}</p>' if passage.label is not None else ""
        source = f'<span class="told">{html.escape(passage.source)}</span>\n' if passage.source is not None else ""
        prompt = f'<span class="told">{html.escape(passage.prompt)}</span>' if passage.prompt else ""
        parts.append(f"{label}<article>{source}{prompt}{html.escape(passage.text)}</article>")
    name = html.escape(title)
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{name}</title>'
    body = "\n".join([f"<h1>{name}</h1>", *parts])
    page = f"<head>{head}<style>{STYLE}</style></head>\n<body>\n{body}\n</body>"
    return f'<!doctype html>\n<html lang="">\n{page}\n</html>\n'


PAGES: dict[str, Callable[[Sequence[Passage], str], str]] = {"txt": as_txt, "jsonl": as_jsonl, "html": as_html}
