"""Draw samples with what a network remembers, against running it anew over all that is there: WaveNet, text models."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from aigc_cli.composing.compose import compose
from aigc_cli.config import bind
from aigc_cli.interfaces import DataSpec, Sound, Text
from benchmarks.measuring import Report, in_turn, parsed, parser

RATE, LEAST = 8_000, 50.0  # Hz, and how many times as fast WaveNet's cache is to be
WAVES = DataSpec("audio", (1, RATE), 256, sound=Sound(RATE, RATE, mu_law=True))
TEXT = DataSpec("text", (1024,), 65, text=Text(tuple(map(chr, range(65)))))
CASES = {"wavenet": WAVES, "transformer": TEXT, "lstm": TEXT}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark: after half of a sample, the time that the next symbols take."""
    made = parser(__doc__, rounds=5)
    made.add_argument("--presets", nargs="+", default=list(CASES), choices=list(CASES))
    made.add_argument("--symbols", type=int, default=64, help="that are drawn with the cache a round")
    made.add_argument("--overrides", nargs="*", default=[], help="to try the script out: model.network.width=8")
    options = parsed(made, arguments)
    report = Report("cached_sampling", options, arguments)
    report.settings = {"symbols": options.symbols}
    for preset in options.presets:
        with torch.no_grad():
            compare(report, preset, options)
    report.write()


def compare(report: Report, preset: str, options: Any) -> None:
    """Add the figures of one preset: milliseconds a symbol in the middle of a sample, and their ratio."""
    spec = CASES[preset]
    model = bind("models", compose("train", [f"model={preset}", *options.overrides]).config["model"], "model")(spec)
    network: Any = model.eval().network
    middle = max(1, model.length // 2 - options.symbols)
    past = torch.randint(spec.levels, (1, middle), generator=torch.Generator().manual_seed(0))
    cache = network.new_cache(1)
    network(past, None, cache)
    turns = {
        "cached": seconds_each(lambda: network(past[:, :1], None, cache), options.symbols // (options.rounds + 1)),
        "anew": seconds_each(lambda: network(past), 1),
    }
    values = in_turn(turns, options.rounds)
    for name, seconds in values.items():
        report.figure(f"{preset}, {name}", "ms a symbol", [1000 * value for value in seconds])
    ratio = report.ratio(f"{preset}, anew / cached", values["anew"], values["cached"])
    if preset == "wavenet":
        report.require(f"{preset}, anew / cached", ratio, least=LEAST)


def seconds_each(work: Callable[[], Tensor], times: int) -> Callable[[], float]:
    """Return a function that does the work so many times and says how long each took."""

    def timed() -> float:
        start = time.perf_counter()
        for _ in range(max(1, times)):
            work()
        return (time.perf_counter() - start) / max(1, times)

    return timed


if __name__ == "__main__":
    main()
