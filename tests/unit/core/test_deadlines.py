"""Limits of plans and steps, and starts that are counted."""

import json

import pytest

from agents.core.commands import ArmStepLimit, RequestStep, SaveStep
from agents.core.deadlines import STEP_LIMIT_MARGIN_MS, plan_limit, step_limit
from agents.core.folding import Bounds
from agents.core.states import StepState
from agents.core.terms import PlanTerms
from schemas.commands import Limit
from schemas.errors import Severity
from schemas.record import INT64_MAX
from schemas.results import Status
from tests.unit.core.plans import (
    ADMITTED_AT,
    FATAL,
    Run,
    retry,
    step,
    step_id,
    submission,
    terms,
)


def limited(timeout_ms: int, deadline_ms: int) -> PlanTerms:
    """The terms of a plan with these limits."""
    fields = submission(step(0), timeout_ms=timeout_ms)
    return PlanTerms.of(fields | {"deadline_ms": deadline_ms})


@pytest.mark.parametrize(
    ("timeout_ms", "deadline_ms", "expected"),
    [
        (100, ADMITTED_AT + 101, (Limit.PLAN_TIMEOUT, ADMITTED_AT + 100)),
        (100, ADMITTED_AT + 99, (Limit.DEADLINE, ADMITTED_AT + 99)),
        (100, ADMITTED_AT + 100, (Limit.DEADLINE, ADMITTED_AT + 100)),
        (INT64_MAX, INT64_MAX, (Limit.DEADLINE, INT64_MAX)),
    ],
)
def test_the_earlier_limit_ends_the_plan(
    timeout_ms: int, deadline_ms: int, expected: tuple[Limit, int]
) -> None:
    """R10: each with its own code; at the same millisecond the deadline wins (R31)."""
    assert plan_limit(limited(timeout_ms, deadline_ms), ADMITTED_AT) == expected


def test_a_step_without_a_limit_of_its_own_arms_none() -> None:
    """R31: a step that inherits the plan's timeout ends in PLAN_TIMEOUT."""
    run = Run(terms(step(0)))
    assert run.start(0) == [SaveStep(0)]
    assert run.step_limit(0, run.now + 10**9) == []


def test_a_steps_limit_runs_from_the_start_of_its_attempt() -> None:
    """R10: what had elapsed when the start was announced is subtracted."""
    run = Run(terms(step(0, timeout_ms=500)))
    commands = run.start(0, elapsed_ms=120)
    due_at = run.now - 120 + 500 + STEP_LIMIT_MARGIN_MS
    assert commands == [SaveStep(0), ArmStepLimit(0, 1, due_at)]


@pytest.mark.parametrize(
    ("timeout_ms", "elapsed_ms", "now", "due_at"),
    [
        (500, 0, 10_000, 11_500),
        (500, 10**9, 10_000, 10_000),
        (INT64_MAX, 0, 10_000, INT64_MAX),
        (500, INT64_MAX, 10_000, 10_000),
    ],
)
def test_due_times_fit_into_a_record(
    timeout_ms: int, elapsed_ms: int, now: int, due_at: int
) -> None:
    """Whatever plan and agent say: not before now, not past 64 bit."""
    assert step_limit(timeout_ms, elapsed_ms, now) == due_at


@pytest.mark.parametrize("is_listed", [True, False])
def test_a_passed_step_limit_is_a_step_timeout(is_listed: bool) -> None:
    """R4: an error when it is listed, else fatal."""
    codes = ["STEP_TIMEOUT"] if is_listed else []
    policy = retry(1, *codes)
    steps = (step(0, timeout_ms=500, on_failure="skip"), step(1))
    run = Run(terms(*steps, retry_policy=policy))
    run.start(0)
    run.step_limit(0, run.now + 1500)
    run.succeed(1)
    if is_listed:
        assert run.result.status is Status.PARTIAL
        found = run.failure.cause
    else:
        assert run.result.status is Status.FAILURE
        found = run.failure
    assert found is not None
    assert found.error_code == "STEP_TIMEOUT"
    assert found.severity is (Severity.ERROR if is_listed else FATAL)
    assert found.step_id == step_id(0)
    assert json.loads(found.context) == {"attempt": 1, "timeout_ms": 500}


def test_a_passed_step_limit_is_retried_like_any_failure() -> None:
    """§4 rule 1; the late outcome of the first attempt changes nothing."""
    policy = retry(2, "STEP_TIMEOUT")
    plan = terms(step(0, timeout_ms=500, on_failure="retry"), retry_policy=policy)
    run = Run(plan)
    run.start(0)
    assert RequestStep(0, 2) in run.step_limit(0, run.now + 1500)
    assert run.succeed(0, attempt=1) == []
    run.succeed(0, attempt=2)
    assert run.result.status is Status.SUCCESS


def test_a_new_start_of_the_attempt_arms_its_limit_anew() -> None:
    """R29: a redelivered attempt has its whole time."""
    run = Run(terms(step(0, timeout_ms=500)))
    run.start(0, "w1-1")
    first_due = run.now + 1500
    run.now += 1000
    (_, armed) = run.start(0, "w2-1")
    assert isinstance(armed, ArmStepLimit)
    assert armed.due_at == run.now + 1500
    assert run.step_limit(0, first_due) == [armed]
    assert run.progress.step_state(0) is StepState.RUNNING
    run.step_limit(0, armed.due_at)
    assert run.failure.error_code == "STEP_TIMEOUT"


def test_a_repeated_announcement_is_no_delivery() -> None:
    """R29: repeats of a start share its id."""
    run = Run(terms(step(0)))
    run.start(0, "w1-1")
    for _ in range(9):
        assert run.start(0, "w1-1") == []
    assert run.progress.is_open


@pytest.mark.parametrize("most", [1, 3])
def test_an_attempt_that_is_started_too_often_fails(most: int) -> None:
    """R29: after `max_deliveries` starts the next one ends it: UNKNOWN_ERROR."""
    run = Run(terms(step(0, on_failure="skip"), step(1)), Bounds(max_deliveries=most))
    for number in range(most):
        run.start(0, f"w{number}")
        assert run.progress.is_open
    run.start(0, "one-more")
    assert run.failure.error_code == "UNKNOWN_ERROR"
    assert run.failure.severity is FATAL
    assert run.failure.step_id == step_id(0)
    assert json.loads(run.failure.context) == {"attempt": 1, "delivery": most + 1}


@pytest.mark.parametrize("backoff_ms", [0, 10])
@pytest.mark.parametrize("names", ["abc", "xyz"])
def test_each_attempt_has_its_own_deliveries(backoff_ms: int, names: str) -> None:
    """R29: `delivery` counts starts of an attempt, by whomever."""
    policy = retry(2, "CARD_DECLINED", backoff_ms=backoff_ms)
    run = Run(terms(step(0, on_failure="retry"), retry_policy=policy))
    for name in "abc":
        run.start(0, name)
    run.fail(0)
    run.retry_fires(0, 2)
    for name in names:
        assert run.start(0, name, attempt=2)
    assert run.progress.is_open
    run.succeed(0, attempt=2)
    assert run.result.status is Status.SUCCESS
