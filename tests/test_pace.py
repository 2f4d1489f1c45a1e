"""A run of days says so while it is young."""

from __future__ import annotations

import pytest

from aigc_cli import pace


@pytest.mark.parametrize(
    ("seconds", "left", "said"),
    [(0.1, 100_000, None), (1.0, 21_000, None), (1.0, 22_000, "6 hours"), (40.0, 100_000, "46 days")],
)
def test_only_long_runs_are_told_of_once_and_after_warming_up(monkeypatch, seconds, left, said):
    now = [0.0]
    monkeypatch.setattr(pace.time, "perf_counter", lambda: now[0])
    measured, lines = pace.Pace(), []
    for step in range(10):
        now[0] += seconds if step else 500.0  # the first step compiles, reads, warms up
        lines.append(measured.step(left))
    told = [number for number, line in enumerate(lines) if line]
    assert told == ([pace.MEASURED] if said else [])
    assert all(said in lines[number] for number in told)
