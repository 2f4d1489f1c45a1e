"""Render the tables of README.md from the JSON files of the last runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.measuring import RESULTS

README = Path(__file__).parent / "README.md"
FACE = README.parents[1] / "README.md"
FACES = {"zoo": ("zoo", 380), "spoken_digits": ("sounds", 520)}  # results in the project's README: where, pixels
BEGIN, END = "<!-- results: written by `python -m benchmarks.report` -->", "<!-- end of results -->"


COLUMNS = {  # figures of trained models, and what they are called in a table
    "frechet": "Fréchet", "precision": "precision", "recall": "recall", "agreement": "label", "heard": "heard",
    "nats_per_symbol": "nats a symbol", "bits_per_character": "bits a character", "correct": "right sums",
    "bleu": "BLEU", "chrf": "chrF", "sentiment": "sentiment",
}  # fmt: skip


def main() -> None:
    """Write the tables between the markers."""
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    results = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    timed = [result for result in results if "rows" not in result]
    tables = ["\n".join(table(result)) for result in results if "rows" in result]
    text = "\n\n".join([rendered(timed), *tables])
    README.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
    for result in results:
        if result["name"] in FACES:
            write_face(*FACES[result["name"]], result["rows"])
    print(f"{README.name}: {len(results)} results")


def write_face(place: str, width: int, rows: list[Mapping[str, Any]]) -> None:
    """Write a table of models into the project's README, between its place's markers."""
    begin, end = f"<!-- {place}: written by `python -m benchmarks.report` -->", f"<!-- end of {place} -->"
    before, _, rest = FACE.read_text().partition(begin)
    _, _, after = rest.partition(end)
    FACE.write_text(f"{before}{begin}\n\n{chr(10).join(zoo(rows, width))}\n\n{end}{after}")


def zoo(rows: list[Mapping[str, Any]], width: int) -> Iterator[str]:
    """List trained models with their samples, so many pixels wide, the closest to the data first."""
    yield from (
        "| samples | recipe | CPU minutes | Fréchet | precision | recall | label |",
        "|---|---|---|---|---|---|---|",
    )
    for each in sorted(rows, key=lambda row: row["frechet"]):
        figures = [f"{each[name]:.2f}" if name in each else "-" for name in ("precision", "recall", "agreement")]
        picture = f'<img src="docs/zoo/{each["recipe"]}.png" width="{width}">'
        cells = (picture, f"`{each['recipe']}`", f"{each['cpu_minutes']:.1f}", f"{each['frechet']:.1f}", *figures)
        yield "| " + " | ".join(cells) + " |"


def rendered(results: list[Mapping[str, Any]]) -> str:
    """Return the overview and a section for each result."""
    if not results:
        return "No results yet."
    lines = [*overview(results)]
    for result in results:
        lines += ["", *section(result)]
    return "\n".join(lines)


def overview(results: list[Mapping[str, Any]]) -> Iterator[str]:
    """Say what was required and what was reached."""
    yield from ("| benchmark | what | required | measured | |", "|---|---|---|---|---|")
    for result in results:
        for each in result["requirements"]:
            interval = result["ratios"].get(each["what"], {}).get("interval")
            between = f" [{number(interval[0])} to {number(interval[1])}]" if interval else ""
            cells = (result["name"], each["what"], each["required"], number(each["measured"]) + between)
            yield "| " + " | ".join((*cells, "met" if each["met"] else "**missed**")) + " |"


def section(result: Mapping[str, Any]) -> Iterator[str]:
    """List every figure and ratio of one result."""
    yield from (f"### {result['name']}", "", f"`{result['command']}`", "", about(result["machine"]), "")
    yield from ("| figure | median | quartiles | from least to most |", "|---|---|---|---|")
    for label, figure in result["figures"].items():
        yield row(f"{label}, {figure['unit']}", figure, number(figure["median"]))
    for label, ratio in result["ratios"].items():
        low, high = ratio["interval"]
        yield row(label, ratio, f"{number(ratio['median'])} [{number(low)} to {number(high)}]")


def table(result: Mapping[str, Any]) -> Iterator[str]:
    """List the trained models of one result and the figures that any of them has."""
    shown = {name: title for name, title in COLUMNS.items() if any(name in each for each in result["rows"])}
    titles = ("recipe", "command", "steps", "CPU minutes", *shown.values())
    yield from (f"### {result['name']}", "", "| " + " | ".join(titles) + " |", "|---" * len(titles) + "|")
    for each in result["rows"]:
        figures = [number(each[name]) if name in each else "-" for name in shown]
        cells = (each["recipe"], f"`{each['command']}`", f"{each['steps']:,}", number(each["cpu_minutes"]), *figures)
        yield "| " + " | ".join(cells) + " |"


def row(label: str, spread: Mapping[str, Any], median: str) -> str:
    """Return one line of a table."""
    quartiles = f"{number(spread['lower_quartile'])} to {number(spread['upper_quartile'])}"
    return f"| {label} | {median} | {quartiles} | {number(spread['min'])} to {number(spread['max'])} |"


def about(machine: Mapping[str, Any]) -> str:
    """Describe the machine in a line."""
    gpu = f"{machine['gpu']}; " if "gpu" in machine else ""
    load = f", load {machine['load_before'][0]} to {machine['load_after'][0]}" if machine["load_before"] else ""
    cores = f"{machine['cores']} cores ({machine['instructions']}), {machine['threads']} threads"
    return f"{gpu}{machine['cpu']}, {cores}{load}; torch {machine['torch']}, {machine['date']}."


def number(value: float) -> str:
    """Write a number with as many digits as it can carry."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


if __name__ == "__main__":
    main()
