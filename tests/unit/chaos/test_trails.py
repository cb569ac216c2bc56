from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from schemas.codec import encode_fields
from schemas.steps import StepSucceeded
from tests.chaos.foreign import FORGED
from tests.chaos.trails import Trails
from tests.integration.plans import new_id

STEP = new_id()


def success(offset: int, at: int, worker: str = "w-1", forged: bool = False) -> Any:
    fields = {
        "plan_id": new_id(),
        "execution_id": new_id(),
        "step_id": STEP,
        "step_number": 0,
        "attempt": 1,
        "worker": worker,
        "started_at": at,
        "ended_at": at + 5,
        "result": f'"{offset}"',
    }
    value = encode_fields(StepSucceeded, fields)
    headers = [(FORGED, b"forged")] if forged else []
    place = {"topic": "outcomes", "partition": 0, "offset": offset}
    return SimpleNamespace(value=value, headers=headers, **place)


def test_the_first_success_of_a_step_counts() -> None:
    """By its place in the log, and by its time; all that was returned is known."""
    trails = Trails()
    for record in (success(3, 1000), success(7, 900), success(9, 10, forged=True)):
        trails.take(record)
    trail = trails.steps[STEP]
    assert (trail.told_at, trail.completed_at) == (3, 3)
    assert (trail.began, trail.completed) == (900, 905)
    assert set(trail.returned) == {hash('"3"'), hash('"7"')}


def test_times_of_stepped_clocks_tell_nothing() -> None:
    """Also not when another worker succeeded again later: the first one counted."""
    trails = Trails()
    trails.take(success(3, 1000, worker="w-skewed-1"))
    assert trails.steps[STEP].began is None
    trails.take(success(7, 5000))
    trail = trails.steps[STEP]
    assert (trail.began, trail.completed, trail.completed_at) == (5000, None, 3)


def test_what_cannot_be_read_must_become_a_dead_letter() -> None:
    """Its place is remembered."""
    trails = Trails()
    record = success(3, 1000)
    record.value = b"garbage"
    trails.take(record)
    assert trails.unreadable == {("outcomes", 0, 3)}
