"""Measure contenders in turn, and report medians, paired ratios and what was required: what all benchmarks share."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"
RESAMPLES = 4000  # of the bootstrap


def parser(description: str | None, *, rounds: int) -> argparse.ArgumentParser:
    """Return a parser with the arguments that all benchmarks take."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    made.add_argument("--rounds", type=int, default=rounds, help="turns of each contender")
    made.add_argument("--threads", type=int, default=None, help="threads of torch (None: as torch chooses)")
    made.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON")
    return made


def parsed(made: argparse.ArgumentParser, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse, and set the threads of this process and of those that it starts."""
    options = made.parse_args(arguments)
    if options.threads:
        os.environ["OMP_NUM_THREADS"] = str(options.threads)
        import torch

        torch.set_num_threads(options.threads)
    return options


def in_turn(contenders: Mapping[str, Callable[[], float]], rounds: int, *, warm_up: int = 1) -> dict[str, list[float]]:
    """Call each contender once a round, A B A B ..., and return what each said, a value a round."""
    values: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(-warm_up, rounds):
        for name, measure in contenders.items():
            value = measure()
            if number >= 0:
                values[name].append(value)
        if sys.stderr.isatty():
            print(f"round {number + 1} of {rounds}", end="\r", file=sys.stderr)
    return values


def per_second(work: Callable[[], int], *, seconds: float) -> float:
    """Repeat work for at least so many seconds; return the sum of what it returns, a second."""
    done, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds or not done:
        done += work()
    return done / elapsed


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Summarise the values of the rounds."""
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    limits = {"min": min(values), "lower_quartile": low, "upper_quartile": high, "max": max(values)}
    summary = {"median": median, **limits}
    return {key: rounded(value) for key, value in summary.items()} | {"values": [rounded(value) for value in values]}


def paired(numerators: Sequence[float], denominators: Sequence[float]) -> dict[str, Any]:
    """Summarise the ratios of each round; `interval` holds 95 % of the bootstrapped medians."""
    ratios = np.asarray(numerators) / np.asarray(denominators)
    picks = np.random.default_rng(0).integers(len(ratios), size=(RESAMPLES, len(ratios)))
    medians = np.median(ratios[picks], axis=1)
    interval = [rounded(value) for value in np.quantile(medians, [0.025, 0.975])]
    return spread(ratios.tolist()) | {"interval": interval}


def rounded(value: float) -> float:
    """Keep five digits, which is more than any of these clocks can tell."""
    return float(f"{value:.5g}")


class Report:
    """Gather what a benchmark found, and write it as JSON and as one line."""

    def __init__(self, name: str, options: argparse.Namespace, arguments: Sequence[str] | None = None) -> None:
        self.name, self.options, self.typed = name, options, list(sys.argv[1:] if arguments is None else arguments)
        self.figures: dict[str, dict[str, Any]] = {}
        self.ratios: dict[str, dict[str, Any]] = {}
        self.requirements: list[dict[str, Any]] = []
        self.settings: dict[str, Any] = {}
        self.load = _load()

    def figure(self, label: str, unit: str, values: Sequence[float]) -> None:
        """Add a contender's rounds."""
        self.figures[label] = {"unit": unit, **spread(values)}

    def ratio(self, label: str, numerators: Sequence[float], denominators: Sequence[float]) -> float:
        """Add a paired ratio and return its median."""
        self.ratios[label] = paired(numerators, denominators)
        return self.ratios[label]["median"]

    def require(self, what: str, measured: float, *, least: float | None = None, most: float | None = None) -> None:
        """Add what was to be reached: at least, or at most, a bound."""
        required = f"at least {least:g}" if least is not None else f"at most {most:g}"
        met = (least is None or measured >= least) and (most is None or measured <= most)
        self.requirements.append({"what": what, "required": required, "measured": rounded(measured), "met": bool(met)})

    def write(self) -> Path:
        """Write results/<name>.json and print the line."""
        machine = {**machine_facts(), "load_before": self.load, "load_after": _load()}
        found = {"settings": self.settings, "figures": self.figures, "ratios": self.ratios}
        whole = {"name": self.name, "command": self.command(), "machine": machine, **found}
        whole["requirements"] = self.requirements
        self.options.results.mkdir(parents=True, exist_ok=True)
        path = self.options.results / f"{self.name}.json"
        path.write_text(json.dumps(whole, indent=1) + "\n")
        print(self.line(), flush=True)
        return path

    def command(self) -> str:
        """Return the command that was typed, its folders by their last names: where they lie concerns nobody."""
        typed = [part for argument in self.typed for part in _split(argument)]
        hidden = {number + shift for number, part in enumerate(typed) if part == "--results" for shift in (0, 1)}
        kept = [part for number, part in enumerate(typed) if number not in hidden]
        kept = [Path(part).name if part.startswith(("/", "~", "..")) else part for part in kept]
        return " ".join(["python -m", f"benchmarks.{self.name}", *kept])

    def line(self) -> str:
        """Say medians and requirements in one line of text."""
        parts = [f"{label} {figure['median']:,.5g} {figure['unit']}" for label, figure in self.figures.items()]
        for each in self.requirements:
            verdict = "met" if each["met"] else "MISSED"
            parts.append(f"{each['what']} {each['measured']:g} ({each['required']}: {verdict})")
        return f"{self.name}: {'; '.join(parts)}"


def machine_facts() -> dict[str, Any]:
    """Describe where the figures come from."""
    import torch

    facts = {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": datetime.date.today().isoformat(),
    }
    return facts | ({"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {})


def _split(argument: str) -> list[str]:
    """Part --option=value, so that both ways of typing read alike."""
    return argument.split("=", 1) if argument.startswith("--") else [argument]


def _cpu() -> str:
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def _load() -> list[float]:
    return [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else []
