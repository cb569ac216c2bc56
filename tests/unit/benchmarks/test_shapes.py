"""Shapes, scenarios, and the submissions made of them."""

from __future__ import annotations

import pytest

from benchmarks.scenarios import FULL, QUICK, Pace, scenarios
from benchmarks.shapes import chain, fan, parse

PACE = Pace(settle_s=0, warm_up_s=0, duration_s=1)


def test_a_chain_has_each_step_wait_for_the_one_before() -> None:
    """The first waits for nothing."""
    assert chain(3).depends_on == ((), (0,), (1,))


def test_a_fan_has_a_root_and_a_join() -> None:
    """Between them, `width` steps that know nothing of each other."""
    assert fan(3).depends_on == ((), (0,), (0,), (0,), (1, 2, 3))


@pytest.mark.parametrize(("name", "steps"), [("chain-100", 100), ("fan-1000", 1002)])
def test_a_shape_is_read_from_its_name(name: str, steps: int) -> None:
    """Its name is what it was asked for by."""
    assert (parse(name).name, parse(name).steps) == (name, steps)


@pytest.mark.parametrize(
    "name", ["", "chain", "chain-0", "ring-3", "fan-1023", "fan-99999"]
)
def test_what_no_plan_can_be_is_no_shape(name: str) -> None:
    """Unknown names, and plans that admission would refuse."""
    with pytest.raises(ValueError, match=r"shape|steps"):
        parse(name)


def test_the_usual_run_measures_all_four_shapes_unloaded_and_loaded() -> None:
    """Chain of 3 at 100 and 1,000 in flight, the fan at 100 and 400."""
    found = {(each.shape.name, each.in_flight) for each in scenarios(FULL)}
    unloaded = {(name, 1) for name in ("chain-3", "fan-10", "fan-1000", "chain-100")}
    loaded = {("chain-3", 100), ("chain-3", 1000), ("fan-10", 100), ("fan-10", 400)}
    assert unloaded | loaded <= found


@pytest.mark.parametrize(("pace", "limit_s"), [(QUICK, 45), (FULL, 240)])
def test_a_run_leaves_time_for_start_and_stop(pace: Pace, limit_s: float) -> None:
    """The quick run is over in a minute, the full one in five."""
    each = pace.warm_up_s + pace.duration_s
    chosen = scenarios(pace, quick=pace is QUICK)
    assert pace.settle_s + each * len(chosen) <= limit_s


def test_what_is_asked_for_replaces_the_usual() -> None:
    """Shapes times numbers, unloaded ones last; rounds come one after the other."""
    found = scenarios(PACE, ["chain-3", "fan-2"], [1, 7], rounds=2)
    names = ["chain-3 × 7", "fan-2 × 7", "chain-3 × 1", "fan-2 × 1"]
    assert [each.name for each in found] == names * 2


def test_a_shape_of_ones_own_is_measured_unloaded_and_loaded() -> None:
    """Also when no number in flight is given."""
    assert [each.in_flight for each in scenarios(PACE, ["chain-7"])] == [100, 1]


@pytest.mark.parametrize(("in_flight", "rounds"), [([0], 1), ([1], 0)])
def test_nothing_cannot_be_measured(in_flight: list[int], rounds: int) -> None:
    """Numbers below 1 are refused."""
    with pytest.raises(ValueError, match="at least 1"):
        scenarios(PACE, ["chain-3"], in_flight, rounds)
