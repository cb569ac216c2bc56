from __future__ import annotations

import random
from collections import Counter

import pytest

from tests.chaos.schedule import CYCLE, Fault, Kind, calm_s, draw

LONG_S = 1900
SESSION_S = 6.0


def drawn(seed: int, seconds: float = LONG_S) -> list[Fault]:
    return draw(random.Random(seed), seconds, SESSION_S)


def test_a_seed_draws_the_same_schedule_again() -> None:
    """Else a failure could not be repeated."""
    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)


@pytest.mark.parametrize("seed", range(20))
def test_a_long_run_kills_a_hundred_processes_and_does_everything(seed: int) -> None:
    """Every kind comes again and again, in the order of time."""
    schedule = drawn(seed)
    counts = Counter(fault.kind for fault in schedule)
    assert counts.keys() == set(CYCLE)
    assert min(counts.values()) >= 12
    assert counts[Kind.KILL_COORDINATOR] + counts[Kind.KILL_WORKER] >= 100
    assert schedule == sorted(schedule, key=lambda fault: fault.at_s)


@pytest.mark.parametrize("seconds", [20, 45, 90, 165, 1900])
def test_faults_leave_calm_before_and_after(seconds: float) -> None:
    """Figures of the calm are what others are compared with."""
    for seed in range(20):
        schedule = drawn(seed, seconds)
        assert schedule[0].at_s >= calm_s(seconds) > 0
        assert schedule[-1].at_s < 0.995 * seconds


def test_who_is_frozen_is_missed() -> None:
    """A freeze outlasts the session, so that another has taken over when it ends."""
    frozen = {Kind.FREEZE_COORDINATOR, Kind.FREEZE_WORKER}
    lasting = [fault.lasts_s for fault in drawn(1) if fault.kind in frozen]
    assert lasting
    assert min(lasting) > SESSION_S
