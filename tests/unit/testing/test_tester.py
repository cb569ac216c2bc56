import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from agents import ActionError, StepContext
from schemas.errors import ErrorCode
from streams.submissions import new_id
from streams.testing import NothingWillHappen, PlanTester, VirtualLoop


async def sleep_a_minute(step: StepContext) -> str:
    await asyncio.sleep(60)
    return "slept"


async def fail_twice(step: StepContext) -> int:
    if step.attempt < 3:
        raise ActionError("BUSY", "come back later")
    return step.attempt


async def give_up(step: StepContext) -> None:
    raise ActionError("BROKEN", "for ever")


async def work_in_a_thread(step: StepContext) -> int:
    return await asyncio.to_thread(sum, [1, 2, 3])


def add(step: StepContext, payload: dict[str, int]) -> int:
    return payload["a"] + payload["b"]


ACTIONS: dict[str, Callable[..., Any]] = {
    "sleep": sleep_a_minute,
    "fail-twice": fail_twice,
    "give-up": give_up,
    "thread": work_in_a_thread,
    "add": add,
}


def plan(*steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    made = [{"payload": {}, **step} for step in steps]
    return {"name": "p", "context_requirements": ["x"], "steps": made, **fields}


def run(*steps: dict[str, Any], **fields: Any) -> Any:
    return PlanTester(actions=ACTIONS).run(plan(*steps, **fields), {"x": 1})


def test_a_large_environment_is_found() -> None:
    """Requests refer to it; a handler sees no difference."""

    async def measure(step: StepContext) -> int:
        return len(step.environment["x"])

    tester = PlanTester(actions={"measure": measure})
    steps = [{"id": name, "action": "measure"} for name in ("a", "b")]
    found = tester.run(plan(*steps), {"x": "y" * 100_000})
    assert {found.value("a"), found.value("b")} == {100_000}


def test_sleeping_takes_no_time() -> None:
    """A handler that sleeps for a minute is done at once, a minute later."""
    began = time.monotonic()

    found = run({"id": "nap", "action": "sleep"})

    assert found.result.status == "success"
    assert found.value("nap") == "slept"
    assert found.took_s == 60
    assert time.monotonic() - began < 10


def test_attempts_and_backoffs_are_told() -> None:
    """An hour's backoff is waited for in virtual time, and can be seen."""
    found = run(
        {"id": "busy", "action": "fail-twice", "on_failure": "retry"},
        timeout_ms=36_000_000,
        retry_policy={
            "max_attempts": 3,
            "backoff_ms": 3_600_000,
            "max_backoff_ms": 3_600_000,
            "retryable_error_codes": ["BUSY"],
        },
    )

    attempts = found.attempts_of("busy")
    assert [each.started_s for each in attempts] == [0, 3600, 7200]
    assert [each.error and each.error.error_code for each in attempts] == [
        "BUSY",
        "BUSY",
        None,
    ]
    assert found.value("busy") == 3


def test_a_plan_runs_into_its_timeout() -> None:
    """At the millisecond, and the attempt under way is cut off."""
    found = run({"id": "nap", "action": "sleep"}, timeout_ms=1234)

    assert found.result.error.error_code == ErrorCode.PLAN_TIMEOUT
    assert found.took_s == 1.234
    assert found.attempts_of("nap")[0].ended_s is None


def test_the_audit_and_the_event_are_there() -> None:
    """A partial result is audited and told, as in production."""
    found = run(
        {"id": "bad", "action": "give-up", "on_failure": "skip"},
        {"id": "sum", "action": "add", "payload": {"a": 1, "b": 2}},
    )

    assert found.result.status == "partial"
    assert found.audit.outcome == "partial"
    assert found.audit.incomplete_steps == (found.steps["bad"],)
    assert [each.event for each in found.events] == ["plan_execution_partial"]
    assert found.value("sum") == 3


def test_threads_are_waited_for() -> None:
    """What a handler does in a thread is done before virtual time goes on."""
    assert run({"id": "t", "action": "thread"}).value("t") == 6


def test_an_unknown_action_fails_the_plan() -> None:
    """As a worker without that handler would."""
    found = run({"id": "t", "action": "nobody-has-this"})

    assert found.result.error.error_code == ErrorCode.ACTION_NOT_FOUND


def test_a_child_plan_runs_too() -> None:
    """Its result is the step's, and is kept beside the parent's."""
    steps = plan({"id": new_id(), "action": "sleep"})
    child = {"id": new_id(), "version": 1, "created_at": 1, **steps}
    payload = {"plan": child, "environment": {"x": 2}}

    found = run({"id": "c", "action": "execute_plan", "payload": payload})

    assert found.result.status == "success", found.result
    assert len(found.results) == 2
    assert found.took_s == 60


def test_waiting_for_nothing_is_an_error() -> None:
    """Else a test would hang for ever."""
    with (
        asyncio.Runner(loop_factory=VirtualLoop) as runner,
        pytest.raises(NothingWillHappen),
    ):
        runner.run(asyncio.Event().wait())
