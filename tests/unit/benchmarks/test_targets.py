"""Targets, and what became of them."""

from __future__ import annotations

import pytest

from benchmarks.targets import TARGETS, Judgement, Target, judge, section

RATE = Target("rate", "rate", "plans/s", 1000, 1600, "more")
LATENCY = Target("p50", "p50", "ms", 95, 60, "less")
TIMES = Target("rate", "rate", "plans/s", 7, 12, "more", "restate rate")


@pytest.mark.parametrize(
    ("target", "value", "reached"),
    [
        (RATE, 1600, "aim"),
        (RATE, 1599, "must"),
        (RATE, 999, "no"),
        (LATENCY, 60, "aim"),
        (LATENCY, 95, "must"),
        (LATENCY, 95.1, "no"),
    ],
)
def test_a_target_is_reached_from_its_limit_on(
    target: Target, value: float, reached: str
) -> None:
    """More is better for rates, less for latencies."""
    assert Judgement.of(target, {target.measure: {1: value}}).reached == reached


def test_the_median_of_the_rounds_counts() -> None:
    """Not the best of them."""
    found = Judgement.of(RATE, {"rate": {1: 5000, 2: 900, 3: 800}})
    assert (found.value, found.rounds, found.reached) == (900, 3, "no")


def test_multiples_are_taken_within_a_round() -> None:
    """A slow machine is slow for both; a round without one of them has none."""
    ours, theirs = {1: 700, 2: 9, 3: 2400}, {1: 100, 3: 200, 4: 1}
    found = Judgement.of(TIMES, {"rate": ours, "restate rate": theirs})
    assert found.ratio == 9.5
    assert found.reached == "must"


def test_without_restate_a_multiple_is_not_measured() -> None:
    """Nor is what has no value."""
    assert Judgement.of(TIMES, {"rate": {1: 700}}).reached == "not measured"
    assert {each.reached for each in judge({})} == {"not measured"}


def test_every_target_has_a_row_of_its_own() -> None:
    """And can be reached: the aim is at least as good as what must be."""
    found = section(judge({"replay of 1 M rows": {1: 4.2}}))
    assert len({row[0] for row in found.rows}) == len(TARGETS)
    assert {len(row) for row in found.rows} == {len(found.columns)}
    assert [row[-1] for row in found.rows if row[2] == "4.2"] == ["must"]
    for each in TARGETS:
        better = each.aim > each.must if each.better == "more" else each.aim < each.must
        assert better, each.what
