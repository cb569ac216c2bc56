"""Who is let in (§2, Refusals, R14, R32, R35)."""

import json
from itertools import product
from typing import Any

import pytest

from agents.core.admission import (
    Admit,
    Arrival,
    Decision,
    Familiarity,
    Ignore,
    Outline,
    Refuse,
    Reject,
    RejectReason,
    decide,
)
from schemas.decode_error import DecodeReason
from schemas.validation import Ids, Violation, ViolationClass, identify, validate
from tests.unit.core.plans import (
    DEADLINE_MS,
    EXECUTION,
    PLAN,
    STARTED_AT,
    step,
    submission,
)

IDS = Ids(PLAN, EXECUTION)
MAX_BYTES = 1000
NOW = STARTED_AT + 50
OUTLINE = Outline(STARTED_AT, DEADLINE_MS, 3)
SCHEMA, DEPENDENCIES, WINDOW, ENVIRONMENT = (
    Violation(f"a.{class_}", class_, f"breaks {class_}") for class_ in ViolationClass
)


def look(now: int = NOW, **facts: Any) -> Decision:
    """Decide about a sound arrival, but for these facts."""
    sound: dict[str, Any] = {"ids": IDS, "size": 10, "outline": OUTLINE}
    return decide(Arrival(**sound | facts), MAX_BYTES, now)


def refused(now: int = NOW, **facts: Any) -> Refuse:
    """The refusal that this arrival gets."""
    decision = look(now, **facts)
    assert isinstance(decision, Refuse)
    return decision


def rejected(**facts: Any) -> RejectReason:
    """The reason for which this arrival is a dead letter."""
    decision = look(**facts)
    assert isinstance(decision, Reject)
    assert decision.detail
    return decision.reason


def context(refusal: Refuse) -> dict[str, Any]:
    """The diagnostics of a refusal."""
    members: dict[str, Any] = json.loads(refusal.error.context)
    return members


def test_a_sound_plan_is_admitted() -> None:
    """§1, §2."""
    assert look() == Admit()


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"ids": None}, "INVALID_ID"),
        ({"unreadable": DecodeReason.MALFORMED, "detail": "no"}, "MALFORMED"),
        (
            {"unreadable": DecodeReason.TOO_DEEP, "detail": "no", "ids": None},
            "TOO_DEEP",
        ),
        ({"size": MAX_BYTES + 1, "ids": None}, "TOO_LARGE"),
        ({"familiarity": Familiarity.USED}, "DUPLICATE_EXECUTION"),
    ],
)
def test_what_cannot_be_answered_is_a_dead_letter(
    facts: dict[str, Any], reason: str
) -> None:
    """Refusals, R38."""
    assert rejected(**facts) == RejectReason(reason)


def test_what_is_too_large_is_refused_when_its_ids_can_be_read() -> None:
    """Refusals: RESOURCE_EXHAUSTED; nothing else is known of it (R32, R35)."""
    assert look(size=MAX_BYTES) == Admit()
    refusal = refused(size=MAX_BYTES + 1, outline=Outline())
    assert refusal.error.error_code == "RESOURCE_EXHAUSTED"
    assert (refusal.steps_total, refusal.started_at) == (0, None)


def test_what_nests_too_deep_is_refused_when_its_ids_can_be_read() -> None:
    """R37."""
    refusal = refused(unreadable=DecodeReason.TOO_DEEP, detail="nested 201 deep")
    assert refusal.error.error_code == "RESOURCE_EXHAUSTED"
    assert "201" in refusal.error.message


@pytest.mark.parametrize(
    "facts",
    [
        {"size": MAX_BYTES + 1},
        {"unreadable": DecodeReason.TOO_DEEP},
        {"violations": [SCHEMA]},
        {"outline": Outline(STARTED_AT, NOW - 1, 3)},
    ],
)
def test_a_duplicate_is_one_before_anything_is_judged(facts: dict[str, Any]) -> None:
    """R14: looked for before anything is validated."""
    assert rejected(familiarity=Familiarity.USED, **facts) == "DUPLICATE_EXECUTION"


@pytest.mark.parametrize(
    "familiarity", [Familiarity.SAME_RECORD, Familiarity.SAME_PARENT]
)
@pytest.mark.parametrize("facts", [{}, {"ids": None}, {"violations": [SCHEMA]}])
def test_what_is_done_already_is_ignored(
    familiarity: Familiarity, facts: dict[str, Any]
) -> None:
    """R14, DESIGN §8: neither refused nor a dead letter."""
    assert look(familiarity=familiarity, **facts) == Ignore()


@pytest.mark.parametrize(
    ("violations", "code"),
    [
        ([SCHEMA], "INVALID_PAYLOAD"),
        ([DEPENDENCIES], "DEPENDENCY_UNRESOLVED"),
        ([WINDOW], "DEADLINE_EXCEEDED"),
        ([ENVIRONMENT], "CONTEXT_MISSING"),
        ([SCHEMA, DEPENDENCIES, WINDOW, ENVIRONMENT], "INVALID_PAYLOAD"),
        ([DEPENDENCIES, WINDOW, ENVIRONMENT], "DEPENDENCY_UNRESOLVED"),
        ([WINDOW, ENVIRONMENT], "DEADLINE_EXCEEDED"),
    ],
)
def test_the_first_class_decides_the_code(
    violations: list[Violation], code: str
) -> None:
    """Refusals, R35: all are listed; fatal, about the plan (R20)."""
    refusal = refused(violations=violations)
    error = refusal.error
    assert (error.error_code, error.severity, error.step_id) == (code, "fatal", None)
    assert error.message == f"{violations[0].path}: {violations[0].message}"
    assert context(refusal) == {
        "violations": [
            {"path": v.path, "class": v.class_.value, "message": v.message}
            for v in violations
        ],
        "violations_total": len(violations),
    }
    assert (refusal.steps_total, refusal.started_at) == (3, STARTED_AT)


def test_at_most_fifty_violations_are_listed() -> None:
    """R35: `violations_total` counts all."""
    refusal = refused(violations=[SCHEMA] * 60)
    assert len(context(refusal)["violations"]) == 50
    assert context(refusal)["violations_total"] == 60


@pytest.mark.parametrize(
    ("now", "is_past"),
    [(DEADLINE_MS - 1, False), (DEADLINE_MS, True), (DEADLINE_MS + 1, True)],
)
def test_a_deadline_that_is_past_at_admission(now: int, is_past: bool) -> None:
    """Refusals, R34: DEADLINE_EXCEEDED, by the coordinator's clock (R32)."""
    if not is_past:
        assert look(now) == Admit()
        return
    refusal = refused(now)
    assert refusal.error.error_code == "DEADLINE_EXCEEDED"
    assert context(refusal)["violations"][0]["path"] == "deadline_ms"


def test_a_past_deadline_takes_its_place_among_the_violations() -> None:
    """R35: it is of the class window."""
    refusal = refused(DEADLINE_MS, violations=[DEPENDENCIES, ENVIRONMENT])
    classes = [entry["class"] for entry in context(refusal)["violations"]]
    assert classes == ["dependencies", "window", "environment"]
    assert refusal.error.error_code == "DEPENDENCY_UNRESOLVED"
    assert refused(DEADLINE_MS, violations=[ENVIRONMENT]).error.error_code == (
        "DEADLINE_EXCEEDED"
    )


@pytest.mark.parametrize("value", [None, "5", True, 0, -1, 2**63, 1.0, [], {}])
def test_the_outline_of_what_is_invalid(value: object) -> None:
    """R32, R35: no valid start is none; `steps_total` is 0 unless steps is a list."""
    fields = {"plan": {"steps": value}, "started_at": value, "deadline_ms": value}
    assert Outline.of(fields) == Outline()
    assert Outline.of({"plan": value}) == Outline()
    assert Outline.of({}) == Outline()


def test_the_outline_of_a_submission() -> None:
    """R35: the length of `steps`, whatever is in it."""
    fields = submission(step(0), step(1))
    assert Outline.of(fields) == Outline(STARTED_AT, DEADLINE_MS, 2)
    fields["plan"]["steps"] = [1, None, {}]
    assert Outline.of(fields).steps_total == 3


def test_a_real_submission_is_decided_by_what_validation_finds() -> None:
    """The facts are those that schemas.validation gives."""
    fields = submission(step(0), step(1, 7), version=2)
    _, violations = validate(fields)
    refusal = refused(
        ids=identify(fields), violations=violations, outline=Outline.of(fields)
    )
    assert refusal.error.error_code == "INVALID_PAYLOAD"
    assert {entry["class"] for entry in context(refusal)["violations"]} == {
        "schema",
        "dependencies",
    }


ALL_FACTS = list(
    product(
        [IDS, None],
        [1, MAX_BYTES + 1],
        [None, *DecodeReason],
        Familiarity,
        [(), (SCHEMA,)],
        [Outline(), OUTLINE, Outline(STARTED_AT, 1, 3)],
    )
)


@pytest.mark.parametrize("known", Familiarity)
def test_every_combination_of_facts_has_one_decision(known: Familiarity) -> None:
    """Refusals: only what has ids gets a result; only what is new and sound runs."""
    for ids, size, unreadable, familiarity, violations, outline in ALL_FACTS:
        if familiarity is not known:
            continue
        arrival = Arrival(
            ids, size, unreadable, "why", familiarity, violations, outline
        )
        decision = decide(arrival, MAX_BYTES, NOW)
        is_sound = unreadable is None and size <= MAX_BYTES
        is_valid = not violations and (outline.deadline_ms or NOW + 1) > NOW
        if familiarity in {Familiarity.SAME_RECORD, Familiarity.SAME_PARENT}:
            assert isinstance(decision, Ignore)
        elif (
            ids is None
            or familiarity is Familiarity.USED
            or unreadable is DecodeReason.MALFORMED
        ):
            assert isinstance(decision, Reject)
        else:
            kind = Admit if is_sound and is_valid else Refuse
            assert isinstance(decision, kind)
