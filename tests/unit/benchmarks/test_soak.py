"""Slopes of a long run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.figures import Latency
from benchmarks.soak.command import shown
from benchmarks.soak.figures import Sample, slope_per_hour, trends
from benchmarks.soak.run import Options, Report
from benchmarks.submissions import TIMEOUT_MS
from tests.unit.benchmarks.test_report import MACHINE


def samples(mb_per_hour: float = 0.0, p50_per_hour: float = 0.0) -> list[Sample]:
    """Makes an hour of samples that grow steadily."""
    return [
        Sample(
            at_s=60.0 * n,
            plans_per_s=200.0,
            latency_ms=Latency(20 + p50_per_hour * n / 60, 30, 40, 50),
            rss_mb={"coordinator": 100 + mb_per_hour * n / 60},
        )
        for n in range(61)
    ]


def test_a_slope_is_told_by_the_hour() -> None:
    """1 in a minute is 60 in an hour, and noise around a line does not matter."""
    assert slope_per_hour([(60.0 * n, 5.0 + n) for n in range(10)]) == pytest.approx(60)
    noisy = [(60.0 * n, 5.0 + (-1) ** n) for n in range(10)]
    assert abs(slope_per_hour(noisy)) < slope_per_hour([(0, 5), (60, 6), (120, 7)])


def test_two_points_make_no_slope() -> None:
    """They would make a steep one of any noise."""
    assert slope_per_hour([(0, 1), (1, 2)]) == 0.0
    assert trends([]) == []


def test_memory_that_grows_is_not_flat() -> None:
    """By more than a process may grow in an hour."""
    memory = trends(samples(mb_per_hour=30))[0]
    assert memory.per_hour == pytest.approx(30)
    assert not memory.is_flat
    assert trends(samples(mb_per_hour=10))[0].is_flat


def test_latency_that_rises_and_a_rate_that_falls_are_drift() -> None:
    """A rate that rises is none, nor a latency that falls."""
    drifting = {each.what: each.is_flat for each in trends(samples(p50_per_hour=5))}
    assert drifting == {"memory of coordinator": True, "p50": False, "rate": True}
    falling = [
        replace(each, plans_per_s=200 - n) for n, each in enumerate(samples(0, -5))
    ]
    assert [each.is_flat for each in trends(falling)] == [True, True, False]


@pytest.mark.parametrize("hours", [1, 48])
def test_the_last_plan_has_as_much_time_as_any(hours: int) -> None:
    """All have the deadline of one template: it is not over before the run is."""
    options = Options(seconds=3600.0 * hours)
    assert options.terms.lifetime_ms - 3_600_000 * hours >= TIMEOUT_MS


@pytest.mark.parametrize("minutes", [5, 60, 600])
def test_ids_are_forgotten_before_memory_is_looked_at(minutes: int) -> None:
    """The first quarter does not count: what is kept stays the same after it."""
    options = Options(seconds=60.0 * minutes)
    assert options.remembered_ms < 1000 * options.seconds / 4


def test_the_beginning_does_not_count() -> None:
    """A process that has just been started grows for a while."""
    grown = samples()
    start = [
        replace(each, rss_mb={"coordinator": 10.0 * n})
        for n, each in enumerate(grown[:10])
    ]
    assert all(each.is_flat for each in trends([*start, *grown[10:]]))


def test_a_report_says_whether_it_was_flat() -> None:
    """Its exit code depends on it."""
    flat = Report(Options(), MACHINE, {}, samples(), {})
    assert shown(flat).is_good
    assert "drift: yes" in shown(flat).markdown()
    assert not shown(replace(flat, samples=samples(mb_per_hour=50))).is_good
    assert not shown(replace(flat, samples=[])).is_good
    assert not shown(replace(flat, problems={"stuck": 1})).is_good
