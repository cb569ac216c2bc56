"""What a partition tells of a plan, and of what its execution holds (U1, U3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agents import status
from agents.status import SHOWN_DEPENDENCIES, View, ended_keys, open_keys, view
from agents.tables import plan_key
from schemas.commands import Limit
from schemas.errors import Severity, make_error
from schemas.results import Status
from schemas.status import Holdings, StepPhase, WaitsFor
from tests.unit.coordinator.bench import NOW, Bench, new_id, requests, steps, submission
from tests.unit.coordinator.test_nested import Family

BROKEN = make_error("BROKEN", "as asked", severity=Severity.ERROR)
FATAL = make_error("FATAL", "as asked", severity=Severity.FATAL)
RETRY = {
    "max_attempts": 3,
    "backoff_ms": 5_000,
    "retryable_error_codes": ["BROKEN"],
}
NOTHING = Holdings(rows=0, timers=0, pending_requests=0)


def seen(bench: Bench, plan: dict[str, Any] | str) -> View:
    """Look at a plan."""
    plan_id = plan if isinstance(plan, str) else plan["plan"]["id"]
    return view(bench.state, plan_key(plan_id))


def running(bench: Bench, plan: dict[str, Any] | str) -> Any:
    """Look at a plan that has not ended."""
    found = seen(bench, plan)
    assert found.ended is None
    assert found.running is not None
    return found.running


# -- U1


def test_each_step_tells_what_it_waits_for() -> None:
    """U1: a request for a worker, a start for its outcome, the rest for others."""
    bench, plan = Bench(), submission(steps([], [], [0, 1], timeout_ms=1_000))
    first, _ = requests(bench.admit(plan))
    bench.announce(first, "s1")
    found = running(bench, plan)
    ids = [step["id"] for step in plan["plan"]["steps"]]
    assert [each.step_id for each in found.steps] == ids
    assert [(each.state, each.waits_for) for each in found.steps] == [
        (StepPhase.RUNNING, WaitsFor.OUTCOME),
        (StepPhase.REQUESTED, WaitsFor.WORKER),
        (StepPhase.WAITING, WaitsFor.DEPENDENCIES),
    ]
    assert found.steps[0].waits_until < found.ends_at
    assert found.steps[1].waits_until == found.ends_at == NOW + 60_000
    assert found.steps[2].missing == tuple(ids[:2])
    assert (found.steps_completed, found.steps_total) == (0, 3)
    assert found.limit is Limit.PLAN_TIMEOUT


def test_a_step_that_has_completed_waits_for_nothing() -> None:
    """U1: and its dependants for the rest of theirs."""
    bench, plan = Bench(), submission(steps([], [], [0, 1]))
    first, _ = requests(bench.admit(plan))
    bench.succeed(first)
    found = running(bench, plan)
    done, _, last = found.steps
    assert (done.state, done.waits_for) == (StepPhase.COMPLETED, WaitsFor.NOTHING)
    assert done.waits_until is None
    assert last.missing == (plan["plan"]["steps"][1]["id"],)
    assert (last.dependencies_missing, found.steps_completed) == (1, 1)


def test_a_step_that_backs_off_tells_its_error_and_when_it_is_tried_again() -> None:
    """U1: the attempt to come, and the instant that it waits for."""
    bench = Bench()
    plan = submission(steps([], on_failure="retry"), plan={"retry_policy": RETRY})
    (request,) = requests(bench.admit(plan))
    bench.fail(request, BROKEN)
    (step,) = running(bench, plan).steps
    assert (step.state, step.waits_for) == (StepPhase.BACKING_OFF, WaitsFor.RETRY)
    assert (step.attempt, step.error_code) == (2, "BROKEN")
    assert step.waits_until == NOW + 5_000


def test_a_step_that_runs_a_plan_waits_for_it() -> None:
    """U1, R39: the child is named, and names its parent."""
    family = Family()
    family.run()
    (step,) = running(family.bench, family.parent).steps
    assert (step.waits_for, step.child_plan_id) == (WaitsFor.CHILD, family.child_id)
    parent = running(family.bench, family.child_id).parent_plan_id
    assert parent == family.parent["plan"]["id"]


def test_of_many_missing_dependencies_the_first_are_named() -> None:
    """U1: a plan of 1024 steps may have half a million."""
    many = SHOWN_DEPENDENCIES + 5
    bench, plan = Bench(), submission(steps(*[[]] * many, [*range(many)]))
    bench.admit(plan)
    last = running(bench, plan).steps[-1]
    ids = [step["id"] for step in plan["plan"]["steps"]]
    assert last.missing == tuple(ids[:SHOWN_DEPENDENCIES])
    assert last.dependencies_missing == many


def test_a_plan_that_has_ended_is_told_in_summary() -> None:
    """U1, R14: by the registry, also after a restart."""
    bench, plan = Bench(), submission(steps([], []))
    first, _ = requests(bench.admit(plan))
    bench.fail(first, FATAL)
    bench.restart()
    found = seen(bench, plan)
    assert found.running is None
    assert found.ended is not None
    assert found.ended.plan_id == plan["plan"]["id"]
    assert found.ended.execution_id == plan["execution_id"]
    assert (found.ended.status, found.ended.error_code) == (Status.FAILURE, "FATAL")
    assert (found.ended.steps_executed, found.ended.steps_total) == (0, 2)


def test_a_plan_is_unknown_before_it_comes_and_after_its_retention() -> None:
    """U1, R14: as long as its id is used it is known."""
    bench, plan = Bench(registry_retention_ms=1_000), submission(steps([]))
    bench.rehome(plan)
    assert seen(bench, plan) == View(None, None, NOTHING)
    (request,) = requests(bench.admit(plan))
    bench.succeed(request)
    assert seen(bench, plan).ended is not None
    bench.state.expire(bench.now + 2_000)
    assert seen(bench, plan) == View(None, None, NOTHING)


def test_what_is_told_is_the_same_after_a_restart() -> None:
    """U1, R15: it comes from the changelog's rows."""
    bench = Bench()
    plan = submission(
        steps([], [], [0], on_failure="retry"), plan={"retry_policy": RETRY}
    )
    first, second = requests(bench.admit(plan))
    bench.announce(first, "s1")
    bench.fail(second, BROKEN)
    before = seen(bench, plan)
    bench.restart()
    assert seen(bench, plan) == before


def test_looking_changes_nothing() -> None:
    """U1: no row, no record, no timer."""
    bench, plan = Bench(), submission(steps([], [0]))
    bench.admit(plan)
    bench.restart()
    seen(bench, plan)
    assert bench.tables.take_changes() == {}
    assert not bench.state.take_effects()


# -- by id


def found_by(bench: Bench, asked_for: str) -> list[bytes]:
    """Look for a key in both tables."""
    ended = [key for key in ended_keys(bench.tables, asked_for) if key is not None]
    return [*open_keys(bench.tables, asked_for), *ended]


def test_a_plan_is_found_by_either_id_running_or_ended() -> None:
    """U1: a plan's id, and its execution's."""
    bench, others = Bench(), [submission(steps([])) for _ in range(3)]
    sent = [requests(bench.admit(other)) for other in others]
    bench.succeed(sent[0][0])
    for plan in others:
        key = plan_key(plan["plan"]["id"])
        assert found_by(bench, plan["plan"]["id"]) == [key]
        assert found_by(bench, plan["execution_id"]) == [key]
    assert found_by(bench, new_id()) == []


def test_a_step_id_finds_nothing() -> None:
    """U1: the submission holds many ids, and is not searched."""
    bench, plan = Bench(), submission(steps([]))
    bench.admit(plan)
    assert found_by(bench, plan["plan"]["steps"][0]["id"]) == []


def test_a_long_registry_is_searched_in_portions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """U1: folds have their turn, and may end and forget plans meanwhile."""
    monkeypatch.setattr(status, "PORTION", 2)
    bench, plans = Bench(), [submission(steps([])) for _ in range(5)]
    for plan in plans:
        bench.succeed(requests(bench.admit(plan))[0])
    search = ended_keys(bench.tables, plans[4]["execution_id"])
    assert next(search) is None
    bench.tables.drop_registry(plan_key(plans[3]["plan"]["id"]))
    assert list(search) == [None, plan_key(plans[4]["plan"]["id"])]


# -- U3


def ended_well(bench: Bench) -> str:
    plan = submission(steps([], [0], timeout_ms=1_000))
    (request,) = requests(bench.admit(plan))
    bench.announce(request, "s1")
    (request,) = requests(bench.succeed(request))
    bench.succeed(request)
    return str(plan["plan"]["id"])


def ended_partially(bench: Bench) -> str:
    plan = submission(steps([], [], on_failure="skip"))
    first, second = requests(bench.admit(plan))
    bench.succeed(first)
    bench.fail(second, BROKEN)
    return str(plan["plan"]["id"])


def failed(bench: Bench) -> str:
    plan = submission(
        steps([], on_failure="retry"),
        plan={"retry_policy": {**RETRY, "max_attempts": 2}},
    )
    (request,) = requests(bench.admit(plan))
    bench.fail(request, BROKEN)
    bench.now += 5_000
    (effects,) = bench.fire_due()
    bench.fail(requests(effects)[0], BROKEN)
    return str(plan["plan"]["id"])


def halted(bench: Bench) -> str:
    plan = submission(steps([], [], [0, 1], on_failure="halt", timeout_ms=9_000))
    first, second = requests(bench.admit(plan))
    bench.announce(second, "s1")
    bench.fail(first, BROKEN)
    return str(plan["plan"]["id"])


def timed_out(bench: Bench) -> str:
    plan = submission(steps([], timeout_ms=90_000))
    bench.announce(requests(bench.admit(plan))[0], "s1")
    bench.now += 60_000
    bench.fire_due()
    return str(plan["plan"]["id"])


def refused(bench: Bench) -> str:
    plan = submission(steps([]), environment={})
    bench.admit(plan)
    return str(plan["plan"]["id"])


@pytest.mark.parametrize("by_restart", [False, True])
@pytest.mark.parametrize(
    "end", [ended_well, ended_partially, failed, halted, timed_out, refused]
)
def test_nothing_is_held_after_an_end(
    end: Callable[[Bench], str], by_restart: bool
) -> None:
    """U3: no row, no timer, no request, however a plan ends."""
    bench = Bench()
    plan_id = end(bench)
    if by_restart:
        bench.restart()
    found = seen(bench, plan_id)
    assert found.ended is not None
    assert found.holdings == NOTHING
    assert bench.live() == {"registry": 1}
    assert not bench.state._open


def test_what_is_held_is_counted() -> None:
    """U3: rows of plan and steps, the plan's timer and the step's, open requests."""
    bench, plan = Bench(), submission(steps([], [], [0, 1], timeout_ms=1_000))
    first, _ = requests(bench.admit(plan))
    held = seen(bench, plan).holdings
    assert held == Holdings(rows=1, timers=1, pending_requests=2)
    bench.announce(first, "s1")
    held = seen(bench, plan).holdings
    assert held == Holdings(rows=2, timers=2, pending_requests=2)
    live = bench.live()
    assert held.rows == live["plans"] + live["steps"]
    assert held.timers == live["deadlines"]


def test_a_cancelled_parent_and_its_child_hold_nothing_in_the_end() -> None:
    """U3, R39: the parent at once, the child when it is told."""
    family = Family()
    family.child["plan"]["timeout_ms"] = 90_000
    family.run()
    assert seen(family.bench, family.child_id).holdings.rows == 2
    effects = family.time_out()
    assert seen(family.bench, family.parent).holdings == NOTHING
    assert seen(family.bench, family.child_id).holdings != NOTHING
    family.command(effects)
    assert seen(family.bench, family.child_id).holdings == NOTHING
    assert family.bench.live() == {"registry": 2}


def test_a_refused_child_holds_nothing() -> None:
    """U3, R39: whose child it was is remembered with its end, and is no resource."""
    family = Family()
    family.start()
    family.child["environment"] = {}
    effects = family.submit()
    family.tell(effects)
    assert seen(family.bench, family.child_id).holdings == NOTHING
    assert seen(family.bench, family.parent).holdings == NOTHING


def test_a_child_that_is_still_to_come_holds_a_row() -> None:
    """U3, R39: its parent's end waits for it, though the plan itself is unknown."""
    family = Family()
    family.start()
    family.command(family.time_out())
    found = seen(family.bench, family.child_id)
    assert (found.running, found.ended, found.holdings.rows) == (None, None, 1)
    assert found_by(family.bench, family.child_id) == [plan_key(family.child_id)]
