"""Every rule of §1 and §2 on a single member: what passes, and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.codec import Format, decode_fields, encode_fields
from schemas.context import PlanSubmission
from schemas.errors import ErrorCode
from schemas.record import INT64_MAX, INT64_MIN
from schemas.validation import ViolationClass, validate
from tests.unit.schemas.factories import (
    NOW,
    UPPER,
    found,
    step,
    submission,
    uuid4,
    with_plan,
    with_policy,
    with_step,
    without,
)

VERSION_1 = "00000000-0000-1000-8000-000000000000"

PASSING = {
    "name of one character": with_plan(name="n"),
    "name of 255 characters": with_plan(name="😀" * 255),
    "lowest priority": with_plan(priority=INT64_MIN),
    "highest priority": with_plan(priority=INT64_MAX),
    "timeout of 1": with_plan(timeout_ms=1),
    "tags": with_plan(tags=["", "a", "a"]),
    "estimate of 1": with_plan(estimated_duration_ms=1),
    "no estimate": with_plan(estimated_duration_ms=None),
    "created at 1": with_plan(created_at=1),
    "greatest created_at": with_plan(created_at=INT64_MAX),
    "action of 100 characters": with_step(action="é" * 100),
    "step timeout of 1": with_step(timeout_ms=1),
    "step timeout above the plan's": with_step(timeout_ms=INT64_MAX),
    "empty payload": with_step(payload="{}"),
    "skip": with_step(on_failure="skip"),
    "retry": with_step(on_failure="retry"),
    "duplicate dependency": with_step(depends_on=[uuid4(100), uuid4(100)]),
    "dependency that stands later": with_plan(steps=[step(0, 1), step(1)]),
    "1024 steps": with_plan(steps=[step(number) for number in range(1024)]),
    "int where a float is asked": with_policy(backoff_multiplier=3),
    "policy": with_policy(max_attempts=INT64_MAX, backoff_ms=0, max_backoff_ms=0),
    "own error codes": with_policy(retryable_error_codes=["MINE", "STEP_TIMEOUT"]),
    "parent": submission(parent_execution_id=uuid4(9)),
    "user and request": submission(user_id="", request_id="r"),
    "correlation": submission(correlation_context={"": "", "a": "b"}),
    "exact window": submission(deadline_ms=NOW + 300_000),
    "more environment than required": submission(
        environment={"region": "0", "other": '{"a": [1e400, 99999999999999999999]}'}
    ),
}


@pytest.mark.parametrize("fields", PASSING.values(), ids=PASSING)
@pytest.mark.parametrize("fmt", [None, *Format])
def test_passing(fields: dict[str, Any], fmt: Format | None) -> None:
    """What the rules allow is accepted, in whichever format it comes."""
    if fmt:
        data = encode_fields(PlanSubmission, fields, fmt)
        fields = decode_fields(data, PlanSubmission)[1]
    assert found(fields) == []


FAILING: list[tuple[str, dict[str, Any], str]] = [
    ("plan missing", without(submission(), "plan"), "plan"),
    ("plan null", submission(plan=None), "plan"),
    ("plan no object", submission(plan=[]), "plan"),
    ("plan id missing", without(submission(), "plan", "id"), "plan.id"),
    ("plan id upper case", with_plan(id=UPPER), "plan.id"),
    ("plan id version 1", with_plan(id=VERSION_1), "plan.id"),
    ("plan id without hyphens", with_plan(id=uuid4(1).replace("-", "")), "plan.id"),
    ("plan id with a line end", with_plan(id=uuid4(1) + "\n"), "plan.id"),
    ("plan id braced", with_plan(id="{" + uuid4(1) + "}"), "plan.id"),
    ("plan id int", with_plan(id=1), "plan.id"),
    ("version missing", without(submission(), "plan", "version"), "plan.version"),
    ("version 0", with_plan(version=0), "plan.version"),
    ("version 2 (R1)", with_plan(version=2), "plan.version"),
    ("version text", with_plan(version="1"), "plan.version"),
    ("version true", with_plan(version=True), "plan.version"),
    ("version 1.0", with_plan(version=1.0), "plan.version"),
    ("created 0", with_plan(created_at=0), "plan.created_at"),
    ("created -1", with_plan(created_at=-1), "plan.created_at"),
    ("created missing", without(submission(), "plan", "created_at"), "plan.created_at"),
    ("created beyond 64 bits", with_plan(created_at=2**63), "plan.created_at"),
    ("steps missing", without(submission(), "plan", "steps"), "plan.steps"),
    ("no steps", with_plan(steps=[]), "plan.steps"),
    ("1025 steps", with_plan(steps=[step(n) for n in range(1025)]), "plan.steps"),
    ("steps no list", with_plan(steps={}), "plan.steps"),
    ("steps null", with_plan(steps=None), "plan.steps"),
    ("name missing", without(submission(), "plan", "name"), "plan.name"),
    ("name empty", with_plan(name=""), "plan.name"),
    ("name of 256", with_plan(name="é" * 256), "plan.name"),
    ("name null", with_plan(name=None), "plan.name"),
    (
        "no requirements",
        with_plan(context_requirements=[]),
        "plan.context_requirements",
    ),
    (
        "empty requirement",
        with_plan(context_requirements=["region", ""]),
        "plan.context_requirements[1]",
    ),
    (
        "only empty requirements",
        with_plan(context_requirements=[""]),
        "plan.context_requirements[0]",
    ),
    (
        "requirement no text",
        with_plan(context_requirements=["region", 1]),
        "plan.context_requirements[1]",
    ),
    ("priority beyond 64 bits", with_plan(priority=2**63), "plan.priority"),
    ("priority below 64 bits", with_plan(priority=-(2**63) - 1), "plan.priority"),
    ("priority of 5000 digits", with_plan(priority=float("inf")), "plan.priority"),
    ("priority true", with_plan(priority=True), "plan.priority"),
    ("priority null", with_plan(priority=None), "plan.priority"),
    ("timeout 0", with_plan(timeout_ms=0), "plan.timeout_ms"),
    ("timeout 3.0", with_plan(timeout_ms=3.0), "plan.timeout_ms"),
    ("timeout null", with_plan(timeout_ms=None), "plan.timeout_ms"),
    ("policy null", with_plan(retry_policy=None), "plan.retry_policy"),
    ("policy list", with_plan(retry_policy=[]), "plan.retry_policy"),
    ("attempts 0", with_policy(max_attempts=0), "plan.retry_policy.max_attempts"),
    ("backoff -1", with_policy(backoff_ms=-1), "plan.retry_policy.backoff_ms"),
    ("cap -1", with_policy(max_backoff_ms=-1), "plan.retry_policy.max_backoff_ms"),
    (
        "multiplier 0.99",
        with_policy(backoff_multiplier=0.99),
        "plan.retry_policy.backoff_multiplier",
    ),
    (
        "multiplier infinite",
        with_policy(backoff_multiplier=float("inf")),
        "plan.retry_policy.backoff_multiplier",
    ),
    (
        "multiplier NaN",
        with_policy(backoff_multiplier=float("nan")),
        "plan.retry_policy.backoff_multiplier",
    ),
    (
        "multiplier true",
        with_policy(backoff_multiplier=True),
        "plan.retry_policy.backoff_multiplier",
    ),
    (
        "error code no text",
        with_policy(retryable_error_codes=["A", None]),
        "plan.retry_policy.retryable_error_codes[1]",
    ),
    ("unknown in policy", with_policy(jitter=1), "plan.retry_policy.jitter"),
    ("metadata list", with_plan(metadata="[]"), "plan.metadata"),
    ("metadata null", with_plan(metadata="null"), "plan.metadata"),
    ("metadata no JSON", with_plan(metadata="{,}"), "plan.metadata"),
    ("tags text", with_plan(tags="a"), "plan.tags"),
    ("tags null", with_plan(tags=None), "plan.tags"),
    ("tag int", with_plan(tags=[1]), "plan.tags[0]"),
    ("estimate 0", with_plan(estimated_duration_ms=0), "plan.estimated_duration_ms"),
    ("unknown in plan", with_plan(nmae="x"), "plan.nmae"),
    ("step no object", with_plan(steps=[step(0), 1]), "plan.steps[1]"),
    ("step id upper case", with_plan(steps=[step(0, id=UPPER)]), "plan.steps[0].id"),
    ("same step id", with_plan(steps=[step(0), step(1), step(0)]), "plan.steps[2].id"),
    ("action empty", with_step(action=""), "plan.steps[1].action"),
    ("action of 101", with_step(action="é" * 101), "plan.steps[1].action"),
    ("payload list", with_step(payload="[]"), "plan.steps[1].payload"),
    ("payload text", with_step(payload='"a"'), "plan.steps[1].payload"),
    ("payload no JSON", with_step(payload="{nope}"), "plan.steps[1].payload"),
    ("payload NaN", with_step(payload='{"a":NaN}'), "plan.steps[1].payload"),
    (
        "payload twice the name",
        with_step(payload='{"a":1,"a":1}'),
        "plan.steps[1].payload",
    ),
    (
        "payload lone surrogate",
        with_step(payload=r'{"a":"\ud800"}'),
        "plan.steps[1].payload",
    ),
    (
        "payload too deep",
        with_step(payload='{"a":' + "[" * 200 + "]" * 200 + "}"),
        "plan.steps[1].payload",
    ),
    (
        "payload missing",
        with_plan(steps=[without(step(0), "payload")]),
        "plan.steps[0].payload",
    ),
    ("dependencies text", with_step(depends_on=uuid4(0)), "plan.steps[1].depends_on"),
    ("dependencies null", with_step(depends_on=None), "plan.steps[1].depends_on"),
    (
        "dependency no UUID",
        with_step(depends_on=[uuid4(100), "step-1"]),
        "plan.steps[1].depends_on[1]",
    ),
    ("policy unknown", with_step(on_failure="stop"), "plan.steps[1].on_failure"),
    ("policy upper case", with_step(on_failure="HALT"), "plan.steps[1].on_failure"),
    ("policy null", with_step(on_failure=None), "plan.steps[1].on_failure"),
    ("step timeout 0", with_step(timeout_ms=0), "plan.steps[1].timeout_ms"),
    ("unknown in step", with_step(retries=3), "plan.steps[1].retries"),
    ("execution id missing", without(submission(), "execution_id"), "execution_id"),
    ("execution id upper case", submission(execution_id=UPPER), "execution_id"),
    ("started 0", submission(started_at=0), "started_at"),
    ("started missing", without(submission(), "started_at"), "started_at"),
    ("deadline 0", submission(deadline_ms=0), "deadline_ms"),
    ("deadline text", submission(deadline_ms=str(NOW * 2)), "deadline_ms"),
    ("environment missing", without(submission(), "environment"), "environment"),
    ("environment list", submission(environment=[]), "environment"),
    ("environment null", submission(environment=None), "environment"),
    (
        "environment no JSON",
        submission(environment={"region": "eu"}),
        "environment.region",
    ),
    (
        "environment empty text",
        submission(environment={"region": ""}),
        "environment.region",
    ),
    ("parent no UUID", submission(parent_execution_id="x"), "parent_execution_id"),
    ("user int", submission(user_id=1), "user_id"),
    ("request int", submission(request_id=1), "request_id"),
    ("correlation list", submission(correlation_context=[]), "correlation_context"),
    (
        "correlation int",
        submission(correlation_context={"a": 1}),
        "correlation_context.a",
    ),
    ("unknown", submission(enviroment={}), "enviroment"),
]


@pytest.mark.parametrize(
    ("fields", "path"),
    [case[1:] for case in FAILING],
    ids=[case[0] for case in FAILING],
)
def test_schema(fields: dict[str, Any], path: str) -> None:
    """Each rule of §1 and §2 on a single member is INVALID_PAYLOAD, told once."""
    assert found(fields) == [(path, ViolationClass.SCHEMA)]
    assert validate(fields)[1][0].code is ErrorCode.INVALID_PAYLOAD
