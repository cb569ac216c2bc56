from __future__ import annotations

from typing import Any

from schemas.advice import warnings
from schemas.validation import validate
from tests.unit.schemas.factories import step, submission, with_plan, with_step

RETRYING = {"max_attempts": 2, "retryable_error_codes": ["A"]}


def warned(fields: dict[str, Any]) -> list[tuple[str, str]]:
    """What tools warn of in a valid submission, as place and words."""
    model, violations = validate(fields)
    assert violations == ()
    assert model is not None
    return [(each.path, each.message) for each in warnings(model.plan)]


def with_steps(*steps: dict[str, Any], **members: Any) -> dict[str, Any]:
    return with_plan(steps=list(steps), **members)


def test_no_warnings() -> None:
    """A plan with nothing odd in it gets no warning."""
    assert warned(submission()) == []
    retried = step(0, on_failure="retry")
    assert warned(with_steps(retried, retry_policy=RETRYING)) == []
    assert warned(with_steps(step(0), step(1, 0, on_failure="skip"))) == []
    assert warned(with_steps(step(0, timeout_ms=300_000))) == []


def test_retries_without_codes() -> None:
    """Several attempts with no code to retry are accepted, with a warning (R7)."""
    steps = [step(0, on_failure="retry")]
    ((path, message),) = warned(with_steps(*steps, retry_policy={"max_attempts": 3}))
    assert path == "plan.retry_policy"
    assert "no code is listed in retryable_error_codes" in message


def test_retries_of_no_step() -> None:
    """Attempts and codes are of use to steps under `retry` alone."""
    ((path, message),) = warned(with_plan(retry_policy=RETRYING))
    assert path == "plan.retry_policy.max_attempts"
    assert "no step has on_failure retry" in message


def test_retry_with_one_attempt() -> None:
    """Steps under `retry` of which only one attempt is allowed get one warning."""
    ((path, message),) = warned(with_step(on_failure="retry"))
    assert path == "plan.steps[1].on_failure"
    assert message.endswith("nothing is retried")
    steps = [step(number, on_failure="retry") for number in range(3)]
    ((path, message),) = warned(with_steps(*steps))
    assert path == "plan.steps[0].on_failure"
    assert message.endswith("nothing is retried (so in 2 more)")


def test_codes_that_are_never_retried() -> None:
    """Reserved codes but STEP_TIMEOUT are fatal: to list them is in vain (§4)."""
    codes = ["STEP_TIMEOUT", "PLAN_TIMEOUT", "MINE", "STEP_SKIPPED"]
    policy = {"max_attempts": 2, "retryable_error_codes": codes}
    found = warned(with_steps(step(0, on_failure="retry"), retry_policy=policy))
    place = "plan.retry_policy.retryable_error_codes"
    assert found == [
        (f"{place}[1]", "PLAN_TIMEOUT is never retried"),
        (f"{place}[3]", "STEP_SKIPPED is never retried"),
    ]


def test_retried_nested_plan() -> None:
    """A nested plan is never run twice: retrying it gets a warning (R39)."""
    steps = [step(0, action="execute_plan", on_failure="retry")]
    ((path, message),) = warned(with_steps(*steps, retry_policy=RETRYING))
    assert path == "plan.steps[0].on_failure"
    assert "nested plan" in message


def test_a_skip_that_others_wait_for() -> None:
    """A step that depends on a skipped one fails the plan (R8)."""
    ((path, message),) = warned(with_step(on_failure="skip"))
    assert path == "plan.steps[1].on_failure"
    assert "DEPENDENCY_UNRESOLVED" in message


def test_limits_that_are_never_reached() -> None:
    """The plan ends before a step's longer limit, and before its own estimate."""
    ((path, _),) = warned(with_step(timeout_ms=300_001))
    assert path == "plan.steps[1].timeout_ms"
    ((path, _),) = warned(with_plan(estimated_duration_ms=300_001))
    assert path == "plan.estimated_duration_ms"


def test_a_dependency_listed_twice() -> None:
    """Accepted (R34), and told."""
    ((path, message),) = warned(with_steps(step(0), step(1, 0, 0)))
    assert (path, message) == ("plan.steps[1].depends_on", "lists a step twice")
