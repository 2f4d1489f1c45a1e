"""Compare the runs of a sweep: a table on the terminal and one self-contained page."""

from __future__ import annotations

import base64
import html
import io
import math
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from aigc_cli.files import atomic_write
from aigc_cli.sweeping.objectives import order
from aigc_cli.sweeping.result import Result

THUMBNAIL = 320  # pixels, the longer side
TEXT = 1000  # characters
STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --good: #2a7d3c; --bad: #c0392b; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 76rem; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.4rem; margin: 0 0 .25rem; }
pre { background: var(--soft); border-radius: .5rem; overflow-x: auto; padding: .6rem .8rem; }
main { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); }
article { border: 1px solid var(--line); border-radius: .75rem; overflow: hidden; }
article img, .empty { aspect-ratio: 1; background: var(--soft); display: block; object-fit: contain; width: 100%; }
pre.made { border-radius: 0; font: .9rem/1.55 system-ui, sans-serif; margin: 0; max-height: 14rem; overflow-y: auto;
  overflow-wrap: anywhere; padding: .8rem .9rem 1.8rem; white-space: pre-wrap;
  mask-image: linear-gradient(#000 calc(100% - 1.6rem), transparent); }
.empty { display: grid; place-items: center; opacity: .6; }
article div.text { padding: .7rem .9rem .9rem; }
h2 { font-size: 1rem; margin: 0 0 .4rem; overflow-wrap: anywhere; }
dl { display: grid; gap: 0 .8rem; grid-template-columns: auto 1fr; margin: 0; }
dt { opacity: .65; } dd { font-variant-numeric: tabular-nums; margin: 0; overflow-wrap: anywhere; }
.finished { color: var(--good); } .failed, .stopped, .waiting { color: var(--bad); }
p.error { color: var(--bad); font-size: .9rem; margin: .5rem 0 0; overflow-wrap: anywhere; }
"""


def settings_of(result: Result, swept: Sequence[str]) -> dict[str, str]:
    """Return what varies in this sweep, with this job's values."""
    parts = [override.partition("=") for override in result.overrides]
    values = {key: value for key, _, value in parts}
    return {key: short(values[key]) for key in swept if key in values}


def short(text: str) -> str:
    """Cut the digits that a search gives its numbers; take quotes off."""
    try:
        return f"{float(text):.4g}" if len(text) > 10 else text.strip("'\"")
    except ValueError:
        return text.strip("'\"")


def figure(value: float | None) -> str:
    """Write an objective so that neighbours can be compared."""
    return "-" if value is None or not math.isfinite(value) else f"{value:.4g}"


def print_table(results: Sequence[Result], swept: Sequence[str], objective: str | None) -> None:
    """Print one line per job, the best first; objective: what they are sorted by, if by anything."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    figures = [objective] if objective else []
    for name in ("", *(key.rpartition(".")[2] for key in swept), *figures, "steps", "minutes", "status", "run"):
        table.add_column(name, overflow="fold", justify="right" if name in (*figures, "steps", "minutes") else "left")
    for rank, result in enumerate(results, 1):
        values = settings_of(result, swept)
        status = result.status if result.status == "finished" else f"[red]{result.status}[/red]"
        table.add_row(
            str(rank), *(escape(values.get(key, "")) for key in swept), *(figure(result.objective) for _ in figures),
            f"{result.step:,}", f"{result.minutes:.1f}", status, escape(os.path.relpath(result.run)),
        )  # fmt: skip
    print()
    Console(width=500).print(table)  # a terminal folds long lines, what reads a pipe needs them whole
    for result in results:
        if result.error:
            print(f"  failed: {' '.join(settings_of(result, swept).values())}: {result.error}")


def write_page(
    folder: Path, command: Sequence[str], results: Sequence[Result], swept: Sequence[str], objective: str | None
) -> Path:
    """Write index.html, which needs no other file but the runs it links to."""
    best = f"<p>The best comes first: {html.escape(order(objective))}.</p>\n" if objective else ""
    finished = sum(result.status == "finished" for result in results)
    cards = "\n".join(card(rank, result, swept, folder, objective) for rank, result in enumerate(results, 1))
    page = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>aigc sweep: {html.escape(folder.name)}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{finished} of {len(results)} runs finished</h1>
{best}<pre>{html.escape(shlex.join(command))}</pre>
<main>
{cards}
</main>
</body>
</html>
"""
    atomic_write(folder / "index.html", page.encode())
    return folder / "index.html"


def card(rank: int, result: Result, swept: Sequence[str], folder: Path, objective: str | None) -> str:
    """Return what one run makes, its settings and figures."""
    settings = settings_of(result, swept) or {"settings": "the defaults"}
    title = ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in settings.items())
    link = html.escape(os.path.relpath(result.run, folder.resolve()).replace("%", "%25").replace("#", "%23"))
    figures = {objective: figure(result.objective)} if objective else {}
    rows = {**settings, **figures, "steps": f"{result.step:,}", "minutes": f"{result.minutes:.1f}"}
    listed = "".join(f"<dt>{html.escape(key)}</dt><dd>{html.escape(value)}</dd>" for key, value in rows.items())
    if result.grid and result.grid.endswith(".txt"):
        listed += f'<dt>texts</dt><dd><a href="{link}/{html.escape(result.grid)}">{Path(result.grid).name}</a></dd>'
    error = f'<p class="error">{html.escape(result.error)}</p>' if result.error else ""
    return f"""<article>
{made(result, title)}
<div class="text">
<h2>{rank}. {html.escape(title)}</h2>
<dl>{listed}<dt>status</dt><dd class="{html.escape(result.status)}">{html.escape(result.status)}</dd>
<dt>run</dt><dd><a href="{link}/">{html.escape(Path(result.run).name)}</a></dd></dl>
{error}
</div>
</article>"""


def made(result: Result, title: str) -> str:
    """Return the run's last samples within the page: an image, or the beginning of texts; else a placeholder."""
    nothing = '<div class="empty">no samples</div>'
    if not result.grid:
        return nothing
    file = Path(result.run) / result.grid
    if file.suffix == ".txt":
        text = beginning(file)
        opening = f'<pre class="made" tabindex="0" aria-label="{html.escape(f"samples of {title}")}">'
        return nothing if text is None else f"{opening}{html.escape(text)}</pre>"
    data = thumbnail(file)
    if data is None:
        return nothing
    source = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
    return f'<img src="{source}" alt="{html.escape(f"samples of {title}")}" loading="lazy">'


def beginning(file: Path) -> str | None:
    """Return the beginning of a file of texts, cut before a blank; None where it cannot be read."""
    try:
        with file.open(encoding="utf-8", errors="replace") as opened:
            text = opened.read(TEXT + 1)
    except OSError:
        return None
    if len(text) <= TEXT:
        return text
    whole = text[:TEXT].rsplit(None, 1)[0] if not text[TEXT].isspace() else text[:TEXT]
    return f"{whole.rstrip()} ..."


def thumbnail(file: Path) -> bytes | None:
    """Return a small JPEG of a grid; None where it cannot be read."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            small = image.convert("RGB")
    except (OSError, UnidentifiedImageError):
        return None
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
