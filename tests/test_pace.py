"""A run of days says so while it is young."""

from __future__ import annotations

import pytest

from aigc_cli.pace import LONG, MEASURED, Pace


@pytest.mark.parametrize(
    ("seconds", "left", "said"),
    [(0.1, 100_000, None), (1.0, 21_000, None), (1.0, 22_000, "6 hours"), (40.0, 100_000, "46 days")],
)
def test_only_long_runs_are_told_of_once_and_after_warming_up(seconds, left, said):
    pace = Pace()
    lines = [pace.step(500.0, left, None), *(pace.step(seconds, left, None) for _ in range(9))]
    told = [number for number, line in enumerate(lines) if line]
    assert told == ([MEASURED] if said else [])
    assert all(said in (lines[number] or "") for number in told)


def test_one_slow_step_is_no_pace():
    pace = Pace()
    assert not any(pace.step(seconds, 100_000, None) for seconds in (9.0, 0.1, 60.0, 0.1, 0.1))


@pytest.mark.parametrize(("limit", "told"), [(LONG * 3600 - 1, False), (LONG * 3600 + 1, True)])
def test_a_run_that_ends_before_is_not_told_of(limit, told):
    pace = Pace()
    assert any(pace.step(60.0, 100_000, limit) for _ in range(MEASURED + 1)) is told
