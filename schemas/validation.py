"""Checks a submission against every rule of §1 and §2, and tells all it breaks (R35).

Takes fields as `decode_fields` gives them, broken ones too: what can be checked is
checked. A clock is not at hand here; that a deadline is past, admission finds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from pydantic import ValidationError

from schemas.context import PlanSubmission
from schemas.decode_error import DecodeError
from schemas.dependencies import check_dependencies, step_numbers
from schemas.identity import Ids, identify, is_uuid4, peek_ids
from schemas.json_scan import (
    check_value,
    is_object,
    is_plain_object,
    is_plainly_json,
)
from schemas.plan import MAX_STEPS, PLAN_VERSION, Plan
from schemas.record import INT64_MAX
from schemas.schema_errors import path_of, schema_violations
from schemas.violations import (
    Violation,
    ViolationClass,
    shortened,
    violations_context,
)

__all__ = [
    "Ids",
    "Violation",
    "ViolationClass",
    "identify",
    "is_uuid4",
    "peek_ids",
    "started_at",
    "steps_total",
    "validate",
    "violations_context",
]

Fields = Mapping[str, Any]


def validate(
    fields: Fields, *, nested: bool = False
) -> tuple[PlanSubmission | None, tuple[Violation, ...]]:
    """Check a submission's fields.

    Args:
        fields: of a PlanSubmission, whatever they are.
        nested: it is a child: its deadline is its parent's, however near (R39).

    Returns:
        The submission, None when there are violations; and these, all of them, by
        class in the order of the Refusals table: the first decides the error's code.
    """
    cut = _cut_steps(fields)
    submission, schema = _check_models(cut)
    if submission is not None and cut is fields and _is_sound(submission, nested):
        return submission, ()
    violations = (
        *schema,
        *_check_step_count(fields),
        *_check_version(fields),
        *_check_step_ids(fields),
        *_check_opaque(fields),
        *check_dependencies(_steps(fields)),
        *_check_window(fields, nested=nested),
        *_check_environment(fields),
    )
    return (None if violations else submission), violations


def _is_sound(submission: PlanSubmission, nested: bool) -> bool:
    """Whether a submission of the right shape breaks no other rule either.

    Most are sound, and every plan passes here. So it looks only as close as it must to
    say yes: after a no the checks below judge, which know and tell each rule.
    """
    plan, environment = submission.plan, submission.environment
    left_ms = submission.deadline_ms - submission.started_at
    if plan.version != PLAN_VERSION or left_ms < (1 if nested else plan.timeout_ms):
        return False
    known: set[str] = set()
    for step in plan.steps:
        if not known.issuperset(step.depends_on) or not is_plain_object(step.payload):
            return False
        known.add(step.id)
    return (
        len(known) == len(plan.steps)
        and is_plain_object(plan.metadata)
        and environment.keys() >= set(plan.context_requirements)
        and all(map(is_plainly_json, environment.values()))
    )


def steps_total(fields: Fields) -> int:
    """How many steps a refused plan has: the length of what is a list, else 0 (R35)."""
    return len(_steps(fields))


def started_at(fields: Fields) -> int | None:
    """When a refused plan's execution started, None when that is no instant (R32)."""
    value = fields.get("started_at")
    return value if _is_positive(value) else None


def _check_models(fields: Fields) -> tuple[PlanSubmission | None, list[Violation]]:
    try:
        return PlanSubmission.model_validate(fields), []
    except ValidationError as error:
        return None, list(schema_violations(error))


def _cut_steps(fields: Fields) -> Fields:
    """The fields with no more steps than allowed: a million need no words each."""
    steps = _steps(fields)
    if len(steps) <= MAX_STEPS:
        return fields
    return {**fields, "plan": {**_plan(fields), "steps": steps[:MAX_STEPS]}}


def _check_step_count(fields: Fields) -> Iterator[Violation]:
    count = len(_steps(fields))
    if count > MAX_STEPS:
        message = f"must have at most {MAX_STEPS} items, not {count}"
        yield Violation("plan.steps", ViolationClass.SCHEMA, message)


def _check_version(fields: Fields) -> Iterator[Violation]:
    version = _plan(fields).get("version")
    if _is_positive(version) and version != PLAN_VERSION:
        message = f"must be {PLAN_VERSION}, the one version executed, not {version}"
        yield Violation("plan.version", ViolationClass.SCHEMA, message)


def _check_step_ids(fields: Fields) -> Iterator[Violation]:
    steps = _steps(fields)
    numbers = step_numbers(steps)
    if len(numbers) == len(steps):
        return
    for number, step in enumerate(steps):
        step_id = step.get("id") if isinstance(step, dict) else None
        first = numbers.get(step_id, number) if isinstance(step_id, str) else number
        if first != number:
            path = f"plan.steps[{number}].id"
            message = f"is the id of steps[{first}] already"
            yield Violation(path, ViolationClass.SCHEMA, message)


def _check_opaque(fields: Fields) -> Iterator[Violation]:
    """Check that opaque texts are JSON at all; what they say is nobody's business."""
    for number, step in enumerate(_steps(fields)):
        if isinstance(step, dict) and (fault := _fault_of_object(step.get("payload"))):
            path = f"plan.steps[{number}].payload"
            yield Violation(path, ViolationClass.SCHEMA, fault)
    if fault := _fault_of_object(_plan(fields).get("metadata")):
        yield Violation("plan.metadata", ViolationClass.SCHEMA, fault)
    environment = fields.get("environment")
    if isinstance(environment, dict):
        for name, text in environment.items():
            if fault := _fault_of(text):
                path = path_of(("environment", name))
                yield Violation(path, ViolationClass.SCHEMA, fault)


def _fault_of_object(text: Any) -> str | None:
    if fault := _fault_of(text):
        return fault
    wrong = isinstance(text, str) and not is_object(text)
    return "must be an object" if wrong else None


def _fault_of(text: Any) -> str | None:
    """What is wrong with an opaque text; no text at all, the models refuse."""
    if not isinstance(text, str):
        return None
    try:
        check_value(text)
    except DecodeError as error:
        return f"is not valid JSON: {error.detail}"
    return None


def _check_window(fields: Fields, *, nested: bool) -> Iterator[Violation]:
    started, deadline = started_at(fields), fields.get("deadline_ms")
    if started is None or not _is_positive(deadline):
        return
    if deadline <= started:
        message = f"must be later than started_at, {started}, not {deadline}"
        yield Violation("deadline_ms", ViolationClass.WINDOW, message)
    timeout = _plan(fields).get("timeout_ms", _DEFAULT_TIMEOUT)
    if not nested and _is_positive(timeout) and deadline - started < timeout:
        left = deadline - started
        message = f"leaves {left} ms to a plan whose timeout_ms is {timeout}"
        yield Violation("deadline_ms", ViolationClass.WINDOW, message)


def _check_environment(fields: Fields) -> Iterator[Violation]:
    required = _plan(fields).get("context_requirements")
    environment = fields.get("environment")
    if not (isinstance(required, list | tuple) and isinstance(environment, dict)):
        return
    names = dict.fromkeys(name for name in required if isinstance(name, str) and name)
    for name in names:
        if name not in environment:
            message = f"{shortened(name)} is required by plan.context_requirements"
            path = path_of(("environment", name))
            yield Violation(path, ViolationClass.ENVIRONMENT, message)


_DEFAULT_TIMEOUT = Plan.model_fields["timeout_ms"].default


def _plan(fields: Fields) -> Fields:
    plan = fields.get("plan")
    return plan if isinstance(plan, dict) else {}


def _steps(fields: Fields) -> list[Any] | tuple[Any, ...]:
    steps = _plan(fields).get("steps")
    return steps if isinstance(steps, list | tuple) else []


def _is_positive(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 < value <= INT64_MAX
