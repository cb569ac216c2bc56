from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.codec import decode_fields
from schemas.context import PlanSubmission
from schemas.errors import ErrorCode
from schemas.validation import (
    Violation,
    ViolationClass,
    started_at,
    steps_total,
    validate,
    violations_context,
)
from tests.unit.schemas.factories import (
    NOW,
    UPPER,
    found,
    step,
    submission,
    uuid4,
    with_plan,
    with_step,
    without,
)

SCHEMA = ViolationClass.SCHEMA
DEPENDENCIES = ViolationClass.DEPENDENCIES
WINDOW = ViolationClass.WINDOW
ENVIRONMENT = ViolationClass.ENVIRONMENT


def test_valid() -> None:
    """A submission that breaks no rule comes back as a model."""
    model, violations = validate(submission())
    assert violations == ()
    assert model == PlanSubmission.model_validate(submission())


def test_valid_with_defaults_left_out() -> None:
    """What has a default may be left out, and gets it (§1)."""
    text = json.dumps(
        {
            "plan": {
                "id": uuid4(1),
                "version": 1,
                "created_at": 1,
                "steps": [{"id": uuid4(100), "action": "a", "payload": {}}],
                "name": "n",
                "context_requirements": ["r"],
            },
            "execution_id": uuid4(2),
            "started_at": 1,
            "deadline_ms": 300_001,
            "environment": {"r": None},
        }
    )
    model, violations = validate(decode_fields(text.encode(), PlanSubmission)[1])
    assert violations == ()
    assert model is not None
    assert model.plan.timeout_ms == 300_000
    assert model.plan.retry_policy.max_backoff_ms == 60_000
    assert model.plan.retry_policy.retryable_error_codes == ()
    assert model.plan.steps[0].on_failure == "halt"
    assert model.environment == {"r": "null"}


@pytest.mark.parametrize(
    "name",
    ["parent_execution_id", "user_id", "request_id", "correlation_context"],
)
def test_null_is_absent(name: str) -> None:
    """Null means absent for the four optional context fields (R34)."""
    assert found(submission(**{name: None})) == []
    assert found(without(submission(), name)) == []


def test_dangling_dependencies() -> None:
    """A dependency on no step is DEPENDENCY_UNRESOLVED, one by one."""
    fields = with_plan(steps=[step(0, 7), step(1, 0, 8, 8)])
    assert found(fields) == [
        ("plan.steps[0].depends_on[0]", DEPENDENCIES),
        ("plan.steps[1].depends_on[1]", DEPENDENCIES),
        ("plan.steps[1].depends_on[2]", DEPENDENCIES),
    ]
    first = validate(fields)[1][0]
    assert first.code is ErrorCode.DEPENDENCY_UNRESOLVED
    assert uuid4(107) in first.message


@pytest.mark.parametrize("length", [1, 2, 3, 1000])
def test_cycles(length: int) -> None:
    """A cycle of any length, one included, is DEPENDENCY_UNRESOLVED (R34)."""
    cycle = [step(number, (number + 1) % length) for number in range(length)]
    fields = with_plan(steps=[*cycle, step(2000, 0), step(2001)])
    assert found(fields) == [("plan.steps[0].depends_on", DEPENDENCIES)]


def test_each_cycle_is_told() -> None:
    """Cycles that share no step are told each; what waits for them is not."""
    steps = [step(0, 3), step(1, 2), step(2, 1, 0), step(3, 4), step(4, 3), step(5, 5)]
    fields = with_plan(steps=steps)
    assert found(fields) == [
        ("plan.steps[3].depends_on", DEPENDENCIES),
        ("plan.steps[1].depends_on", DEPENDENCIES),
        ("plan.steps[5].depends_on", DEPENDENCIES),
    ]
    assert "steps[3] → steps[4] → steps[3]" in validate(fields)[1][0].message


def test_long_chain() -> None:
    """1,024 steps in a chain are no cycle, in whichever order they stand."""
    chain = [step(0), *(step(number, number - 1) for number in range(1, 1024))]
    assert found(with_plan(steps=chain)) == []
    assert found(with_plan(steps=chain[::-1])) == []


def test_dependency_on_a_broken_step() -> None:
    """A step that is broken elsewhere is still there to depend on."""
    fields = with_plan(steps=[step(0, action=""), step(1, 0)])
    assert found(fields) == [("plan.steps[0].action", SCHEMA)]


@pytest.mark.parametrize(
    ("window", "timeout", "count"),
    [(0, 1, 2), (-1, 1, 2), (1, 1, 0), (1, 2, 1), (299_999, 300_000, 1)],
)
def test_window(window: int, timeout: int, count: int) -> None:
    """The deadline is after the start, by the plan's timeout at least (§2)."""
    fields = with_plan(timeout_ms=timeout)
    fields["deadline_ms"] = NOW + window
    assert found(fields) == [("deadline_ms", WINDOW)] * count
    if count:
        assert validate(fields)[1][0].code is ErrorCode.DEADLINE_EXCEEDED


def test_window_of_the_default_timeout() -> None:
    """A plan without a timeout is held to the default one."""
    fields = without(submission(deadline_ms=NOW + 299_999), "plan", "timeout_ms")
    assert found(fields) == [("deadline_ms", WINDOW)]


def test_environment() -> None:
    """Each required name that is absent is CONTEXT_MISSING, told once."""
    fields = with_plan(context_requirements=["region", "zone", "zone", "rack"])
    assert found(fields) == [
        ("environment.zone", ENVIRONMENT),
        ("environment.rack", ENVIRONMENT),
    ]
    assert validate(fields)[1][0].code is ErrorCode.CONTEXT_MISSING


def test_presence_is_enough() -> None:
    """Only the presence of a name counts: null is a value (§2)."""
    assert found(submission(environment={"region": "null"})) == []


def test_all_classes_in_order() -> None:
    """What breaks rules of all classes has them all told, in the table's order."""
    fields = with_plan(
        steps=[step(0, 0, action=""), 3, step(1, 9)],
        context_requirements=["zone"],
        version=2,
    )
    fields["deadline_ms"] = NOW
    assert found(fields) == [
        ("plan.steps[0].action", SCHEMA),
        ("plan.steps[1]", SCHEMA),
        ("plan.version", SCHEMA),
        ("plan.steps[2].depends_on[0]", DEPENDENCIES),
        ("plan.steps[0].depends_on", DEPENDENCIES),
        ("deadline_ms", WINDOW),
        ("deadline_ms", WINDOW),
        ("environment.zone", ENVIRONMENT),
    ]


def test_what_cannot_be_evaluated() -> None:
    """A class whose members are broken themselves is not guessed at."""
    fields = with_plan(steps=3, context_requirements=None)
    fields["started_at"] = "soon"
    assert {class_ for _, class_ in found(fields)} == {SCHEMA}
    assert {class_ for _, class_ in found({})} == {SCHEMA}


SECRET = "s3cr3t-value"


@pytest.mark.parametrize(
    "fields",
    [
        submission(environment={"region": f'"{SECRET}'}),
        submission(environment=SECRET),
        submission(environment={"region": {"a": SECRET}}),
        with_step(payload=f'"{SECRET}"'),
        with_step(payload=f'{{"a": {SECRET}}}'),
        with_step(payload=[SECRET]),
        with_plan(metadata=f'["{SECRET}"]'),
        with_plan(metadata=f'{{"{SECRET}": 1, "{SECRET}": 2}}'),
        with_plan(steps=[[SECRET]]),
        with_plan(steps={"payload": SECRET}),
        with_plan(payloda={"a": SECRET}),
        submission(enviroment=SECRET),
        submission(plan=[{"metadata": SECRET}]),
    ],
)
def test_opaque_values_are_not_shown(fields: dict[str, Any]) -> None:
    """No violation shows an opaque value, or what may hold one (R35, F12)."""
    model, violations = validate(fields)
    assert model is None
    assert SECRET not in repr(violations)


def test_values_are_cut() -> None:
    """Other values are shown, and cut at 100 characters; names in paths likewise."""
    fields = with_plan(name="n" * 5000, priority="high", **{"k" * 5000: 1})
    name, priority, unknown = validate(fields)[1]
    assert '"' + "n" * 100 + "…" in name.message
    assert len(name.message) < 200
    assert priority.message == 'must be an integer, not "high"'
    assert unknown.path == "plan." + "k" * 100 + "…"


def test_messages() -> None:
    """Messages say the rule, in the contract's words."""
    fields = with_step(on_failure="stop", timeout_ms=0, id=UPPER)
    messages = {each.path: each.message for each in validate(fields)[1]}
    assert messages["plan.steps[1].on_failure"] == (
        "must be 'halt', 'skip' or 'retry', not \"stop\""
    )
    assert messages["plan.steps[1].timeout_ms"] == "must be greater than 0, not 0"
    assert "canonical" in messages["plan.steps[1].id"]


def test_listed_at_most_fifty_times() -> None:
    """An error lists at most fifty violations, and counts all (R35)."""
    violations = validate(with_plan(tags=[1] * 60))[1]
    context = violations_context(violations)
    assert context["violations_total"] == 60
    assert len(context["violations"]) == 50
    assert context["violations"][7] == {
        "path": "plan.tags[7]",
        "class": "schema",
        "message": "must be a string, not 1",
    }


def test_very_many_violations() -> None:
    """Past a thousand, violations of the models are counted, not worded."""
    violations = validate(with_plan(tags=[1] * 5000, priority="x"))[1]
    assert len(violations) == 5001
    assert violations[0].path == "plan.priority"
    assert violations[-1].path == ""


def test_very_many_steps() -> None:
    """Of too many steps only as many as allowed are looked at by the models."""
    assert found(with_plan(steps=[1] * 100_000))[-1] == ("plan.steps", SCHEMA)


def test_facts_of_a_refused_plan() -> None:
    """A refusal counts the steps of what is a list (R35), and knows the start (R32)."""
    assert steps_total(with_plan(steps=[1, {}])) == 2
    assert steps_total(with_plan(steps={"a": 1})) == 0
    assert steps_total({"plan": 3}) == 0
    assert started_at(submission()) == NOW
    assert started_at(submission(started_at=True)) is None
    assert started_at(submission(started_at=2**63)) is None
    assert started_at({}) is None


def test_violations_are_values() -> None:
    """A violation is a plain value of path, class and message."""
    assert Violation("a", SCHEMA, "m") == ("a", "schema", "m")
