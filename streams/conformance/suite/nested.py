"""Nested plans (§6.5, R39)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from streams.conformance.cases import (
    ANY,
    Case,
    Check,
    Err,
    Finding,
    Phase,
    case,
    failure,
    partial,
    success,
)
from streams.conformance.making import (
    ENVIRONMENT,
    fails,
    gives,
    named,
    plan,
    sleeps,
    step,
    submission,
)

_PRIORITY: Final = 3
_EXECUTE: Final = "execute_plan"
_HALTED: Final = Err("EXECUTION_HALTED", step="bad", cause=ANY)


def nest(name: str, child: Mapping[str, Any], **members: Any) -> dict[str, Any]:
    """A step that runs a plan."""
    payload = {"plan": child, "environment": dict(ENVIRONMENT)}
    return step(name, action=_EXECUTE, payload=payload, **members)


def _child(*steps: Mapping[str, Any], **members: Any) -> dict[str, Any]:
    """A child's plan; its instants are plain: they lie in a payload."""
    return {**plan(*steps, **members), "created_at": 1}


def _of(plan_id: str, status: str, code: str | None = None) -> Check:
    """The child has one result, with this status and code, and one audit and event."""

    def check(finding: Finding) -> Iterator[str]:
        seen = finding.ledger.trails[plan_id]
        counts = (len(seen.results), len(seen.audits), len(seen.events))
        if counts != (1, 1, 1):
            yield f"R39: the child has {counts} results, audits and events"
            return
        result = seen.results[0]
        found = None if result.error is None else result.error.error_code
        if (result.status.value, found) != (status, code):
            yield f"R39: the child ended in {result.status.value}, {found}"

    return check


def completions() -> Iterator[Case]:
    """Success and partial complete the step; its result is the child's PlanResult."""
    for status, steps, code in (
        ("success", (step("x", gives(1)),), None),
        (
            "partial",
            (step("x", gives(1)), step("y", fails("NO"), on_failure="skip")),
            "STEP_SKIPPED",
        ),
    ):
        child = _child(*steps)

        def returned(
            finding: Finding, wanted: str = status, plan_id: str = child["id"]
        ) -> Iterator[str]:
            text = finding.seen.results[0].result_payload[named("nest")]
            value = json.loads(text)
            if (value["plan_id"], value["status"]) != (plan_id, wanted):
                yield f"R39: the step returned {text:.200}"
            if value["result_payload"] != {named("x"): 1}:
                yield f"R39: the child's results are {value['result_payload']}"

        yield case(
            f"a child that ends in {status}",
            "§6.5 R39",
            submission(nest("nest", child), step("after", gives(2), after=("nest",))),
            success(results={"nest": ANY, "after": 2}),
            _of(child["id"], status, code),
            returned,
            children=(child["id"],),
        )


def failures() -> Iterator[Case]:
    """A child that fails, is refused, or is a duplicate, fails its step."""
    kinds: dict[str, tuple[dict[str, Any], Err]] = {
        "fails": (
            _child(step("bad", fails("NO"))),
            Err("EXECUTION_HALTED", step="bad", cause=Err("NO", "error", "bad")),
        ),
        "is refused": (
            _child(step("x"), context_requirements=["who"]),
            Err("CONTEXT_MISSING"),
        ),
        "has no steps": (_child(), Err("INVALID_PAYLOAD")),
    }
    for name, (child, cause) in kinds.items():
        own = Err("STEP_ERROR", "error", "nest", cause)
        yield case(
            f"a child that {name}",
            "§6.5 R39 R42",
            submission(step("a"), nest("nest", child, after=("a",))),
            failure(Err("EXECUTION_HALTED", step="nest", cause=own)),
            _of(child["id"], "failure", cause.code),
            children=(child["id"],),
        )
    skipped = _child(step("bad", fails("NO")))
    own = Err("STEP_ERROR", "error", "nest", _HALTED)
    yield case(
        "a child that fails under skip",
        "R39 §5.2",
        submission(step("a"), nest("nest", skipped, on_failure="skip")),
        partial(Err("STEP_SKIPPED", "warn", "nest", own)),
        children=(skipped["id"],),
    )
    again = _child(step("bad", fails("NO")))
    yield case(
        "a second attempt is a duplicate",
        "R39 R14",
        submission(
            step("a"),
            nest("nest", again, on_failure="retry"),
            retry_policy={"max_attempts": 2, "retryable_error_codes": ["STEP_ERROR"]},
        ),
        partial(Err("STEP_ERROR", "error", "nest", ANY)),
        _of(again["id"], "failure", "EXECUTION_HALTED"),
        children=(again["id"],),
    )
    own_id = submission(nest("nest", _child(step("x"))))
    own_id["plan"]["steps"][0]["payload"]["plan"]["id"] = own_id["plan"]["id"]
    yield case(
        "a plan that names itself",
        "R39 R14",
        own_id,
        failure(
            Err(
                "EXECUTION_HALTED",
                step="nest",
                cause=Err("STEP_ERROR", "error", "nest", ANY),
            )
        ),
    )


def unfit() -> Iterator[Case]:
    """The payload is exactly a plan and an environment."""
    sound = _child(step("x"))
    payloads: tuple[dict[str, Any], ...] = (
        {},
        {"plan": sound},
        {"plan": sound, "environment": {}, "more": 1},
        {"plan": sound, "environment": []},
        {"plan": [], "environment": {}},
        {"plan": {"id": "x"}, "environment": {}},
    )
    for payload in payloads:
        yield case(
            f"the payload {json.dumps(payload):.40}",
            "R39 §4",
            submission(step("nest", action=_EXECUTE, payload=payload)),
            failure(Err("INVALID_PAYLOAD", step="nest")),
        )


def limits() -> Iterator[Case]:
    """A child ends with its step's limit, and with its parent; at most eight deep."""
    slow = _child(step("x", sleeps(120_000)))
    # The child's deadline and the step's own limit are one instant: of what is due
    # then the first folded wins (R24).
    yield case(
        "a child ends with the limit of its step",
        "R39 R10 R24",
        submission(step("a"), nest("nest", slow, timeout_ms=2000)),
        failure(ANY),
        _ended_by_its_step(slow["id"]),
        children=(slow["id"],),
    )
    grandchild = _child(step("x", sleeps(120_000)))
    child = _child(nest("deeper", grandchild))
    yield case(
        "children end with their parent",
        "R39 §5.3",
        submission(
            nest("nest", child),
            step("wait", sleeps(3000)),
            step("bad", fails("NO"), after=("wait",)),
        ),
        failure(Err("EXECUTION_HALTED", step="bad", cause=Err("NO", "error", "bad"))),
        _of(child["id"], "failure", "EXECUTION_HALTED"),
        _of(grandchild["id"], "failure", "EXECUTION_HALTED"),
        children=(child["id"], grandchild["id"]),
        phase=Phase.QUIET,
    )
    eighth = _deep(8)
    yield case(
        "eight levels",
        "R39",
        submission(nest("nest", eighth)),
        success(results={"nest": ANY}),
    )
    ninth = _deep(9)
    yield case(
        "nine levels",
        "R39 §4",
        submission(nest("nest", ninth)),
        failure(
            Err(
                "EXECUTION_HALTED",
                step="nest",
                cause=Err("STEP_ERROR", "error", "nest", ANY),
            )
        ),
    )


def _ended_by_its_step(child_id: str) -> Check:
    codes = {"EXECUTION_HALTED", "STEP_TIMEOUT"}

    def check(finding: Finding) -> Iterator[str]:
        own = finding.ledger.trails[child_id].results[0].error
        error = finding.seen.results[0].error
        if error is None or own is None or error.error_code not in codes:
            yield f"R39: the parent ended with {error}, the child with {own}"
        elif own.error_code not in {"DEADLINE_EXCEEDED", "EXECUTION_HALTED"}:
            yield f"R39: the child ended with {own.error_code}"

    return check


def _deep(levels: int) -> dict[str, Any]:
    made = _child(step("x"))
    for _ in range(levels - 1):
        made = _child(nest("nest", made))
    return made


def inherited() -> Iterator[Case]:
    """The child has its parent's user, request and correlation fields."""
    child = _child(step("x"), priority=_PRIORITY)
    who = {"user_id": "u", "request_id": "r", "correlation_context": {"trace": "t"}}

    def has(finding: Finding) -> Iterator[str]:
        event = finding.ledger.trails[child["id"]].events[0]
        found = (event.user_id, event.request_id, event.correlation_context)
        if found != tuple(who.values()):
            yield f"R39: the child's event has {found}"
        asked = finding.ledger.trails[child["id"]].requests[0]
        if asked.priority != _PRIORITY:
            yield f"R39: the child's priority is {asked.priority}"

    yield case(
        "what a child inherits",
        "R39 R41",
        submission(nest("nest", child), members=who, priority=7),
        success(total=1),
        has,
        children=(child["id"],),
    )


def nested() -> Iterator[Case]:
    """All of these."""
    for make in (completions, failures, unfit, limits, inherited):
        yield from make()
