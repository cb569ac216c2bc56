"""Says what is allowed in a plan and yet likely a mistake, for tools (R7, R39)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from schemas.errors import ErrorCode
from schemas.plan import OnFailure, Plan

EXECUTE_PLAN = "execute_plan"
NEVER_RETRIED = frozenset(set(ErrorCode) - {ErrorCode.STEP_TIMEOUT})
"""Reserved codes that end a plan, or are no failure of an attempt: listing is vain."""


class Advice(NamedTuple):
    """One thing that is likely not meant."""

    path: str
    """The member's place, such as `plan.retry_policy`."""
    message: str


def warnings(plan: Plan) -> tuple[Advice, ...]:
    """Look for what is likely not meant in a valid plan; each kind is told once."""
    return (*_policy(plan), *_retries(plan), *_skips(plan), *_limits(plan))


def _policy(plan: Plan) -> Iterator[Advice]:
    policy = plan.retry_policy
    codes = policy.retryable_error_codes
    if policy.max_attempts > 1 and not codes:
        yield Advice(
            "plan.retry_policy",
            f"max_attempts is {policy.max_attempts}, but no code is "
            "listed in retryable_error_codes: nothing is retried",
        )
    for place, code in enumerate(codes):
        if code in NEVER_RETRIED:
            path = f"plan.retry_policy.retryable_error_codes[{place}]"
            yield Advice(path, f"{code} is never retried")


def _retries(plan: Plan) -> Iterator[Advice]:
    attempts = plan.retry_policy.max_attempts
    retried = _numbers(plan, OnFailure.RETRY)
    nested = [each for each in retried if plan.steps[each].action == EXECUTE_PLAN]
    if attempts > 1 and plan.retry_policy.retryable_error_codes and not retried:
        message = f"is {attempts}, but no step has on_failure retry: nothing is retried"
        yield Advice("plan.retry_policy.max_attempts", message)
    if attempts == 1 and retried:
        message = "retry, but plan.retry_policy.max_attempts is 1: nothing is retried"
        yield _of_steps(retried, "on_failure", message)
    if attempts > 1 and nested:
        message = (
            "retry, but a nested plan runs once: "
            "a second attempt is refused as a duplicate"
        )
        yield _of_steps(nested, "on_failure", message)


def _skips(plan: Plan) -> Iterator[Advice]:
    """R8: a dependant of a skipped step cannot run, so the plan fails all the same."""
    needed = {each for step in plan.steps for each in step.depends_on}
    skipped = _numbers(plan, OnFailure.SKIP)
    if vain := [each for each in skipped if plan.steps[each].id in needed]:
        message = (
            "skip, but other steps depend on it: "
            "the plan fails with DEPENDENCY_UNRESOLVED when it is skipped"
        )
        yield _of_steps(vain, "on_failure", message)


def _limits(plan: Plan) -> Iterator[Advice]:
    limit = plan.timeout_ms
    if (estimate := plan.estimated_duration_ms) and estimate > limit:
        message = f"is {estimate}, more than the plan's timeout_ms, {limit}"
        yield Advice("plan.estimated_duration_ms", message)
    steps = enumerate(plan.steps)
    if late := [each for each, step in steps if (step.timeout_ms or 0) > limit]:
        message = f"is more than the plan's, {limit}: the plan ends first"
        yield _of_steps(late, "timeout_ms", message)
    if twice := [
        number
        for number, step in enumerate(plan.steps)
        if len(set(step.depends_on)) < len(step.depends_on)
    ]:
        yield _of_steps(twice, "depends_on", "lists a step twice")


def _numbers(plan: Plan, on_failure: OnFailure) -> list[int]:
    steps = enumerate(plan.steps)
    return [number for number, step in steps if step.on_failure is on_failure]


def _of_steps(numbers: Sequence[int], member: str, message: str) -> Advice:
    others = len(numbers) - 1
    more = f" (so in {others} more)" if others else ""
    return Advice(f"plan.steps[{numbers[0]}].{member}", message + more)
