"""The error trees of failed plans and steps."""

import json
from typing import Any

import pytest

from agents.core.commands import HaltChild, HaltSteps
from agents.core.events import Failed, ParentEnded, Succeeded
from agents.core.folding import Bounds
from schemas.commands import Limit
from schemas.errors import RESERVED_CODES, ErrorCode, ExecutionError, Severity
from schemas.results import Status
from tests.unit.core.plans import (
    FATAL,
    Run,
    causes,
    chain,
    error,
    of_type,
    retry,
    step,
    step_id,
    terms,
)

ERROR, WARN = Severity.ERROR, Severity.WARN


def context(failure: ExecutionError) -> dict[str, Any]:
    """An error's diagnostics."""
    members: dict[str, Any] = json.loads(failure.context)
    return members


def outline(failure: ExecutionError) -> list[tuple[str, Severity, str | None]]:
    """Code, severity and step of an error and its causes."""
    return [
        (str(link.error_code), link.severity, link.step_id) for link in causes(failure)
    ]


def listed(failure: ExecutionError) -> list[tuple[str, str | None]]:
    """Code and step of the errors in the context."""
    entries = context(failure).get("errors", [])
    return [(entry["error_code"], entry["step_id"]) for entry in entries]


# -- R5


def test_halt_fails_the_plan_with_the_steps_error_as_cause() -> None:
    """R5: EXECUTION_HALTED, fatal, step id of the step; its error unchanged."""
    run = Run(terms(step(0), step(1)))
    reported = error(attempt=1, worker="w").model_copy(update={"step_id": step_id(1)})
    run.fail(1, reported)
    assert outline(run.failure) == [
        ("EXECUTION_HALTED", FATAL, step_id(1)),
        ("CARD_DECLINED", ERROR, step_id(1)),
    ]
    assert run.failure.cause == reported
    assert [link.recoverable for link in causes(run.failure)] == [False, True]


@pytest.mark.parametrize("policy", ["halt", "skip", "retry"])
def test_a_fatal_error_is_itself_the_plans(policy: str) -> None:
    """R5."""
    run = Run(terms(step(0, on_failure=policy), retry_policy=retry(3, "BROKEN")))
    run.fail(0, error("BROKEN", severity=FATAL))
    assert outline(run.failure) == [("BROKEN", FATAL, step_id(0))]
    assert run.failure.context == "{}"


def test_an_error_names_its_step_even_when_the_agent_did_not() -> None:
    """§3.1: `step_id` is null for plan-level errors only."""
    run = Run(terms(step(0)))
    run.fail(0, error(severity=FATAL))
    assert run.failure.step_id == step_id(0)


@pytest.mark.parametrize("code", sorted(RESERVED_CODES - {"STEP_TIMEOUT"}))
@pytest.mark.parametrize("severity", Severity)
def test_a_reserved_code_has_the_severity_of_the_registry(
    code: str, severity: Severity
) -> None:
    """§4: nothing that an agent reports makes a fatal code recoverable."""
    run = Run(terms(step(0, on_failure="skip"), step(1)))
    run.fail(0, error(code, severity=severity))
    assert run.progress.is_open is (code == "STEP_SKIPPED")


def test_a_failure_reported_as_a_warning_is_an_error() -> None:
    """§4: a failed attempt has failed; a warn is reported without failing."""
    run = Run(terms(step(0)))
    run.fail(0, error(severity=WARN))
    assert outline(run.failure)[1] == ("CARD_DECLINED", ERROR, step_id(0))


# -- R8, R18


def test_a_dependant_of_a_skipped_step_fails_the_plan_at_once() -> None:
    """R8, R18: other steps are no reason to wait; cause as R17 shows it."""
    run = Run(terms(step(0), step(1, on_failure="skip"), step(2, 1)))
    run.fail(1)
    assert outline(run.failure) == [
        ("DEPENDENCY_UNRESOLVED", FATAL, step_id(2)),
        ("STEP_SKIPPED", WARN, step_id(1)),
        ("CARD_DECLINED", ERROR, step_id(1)),
    ]


def test_a_dependant_of_a_failed_step_fails_the_plan_at_once() -> None:
    """R8: also under `retry`; cause is the error of the last attempt (R17)."""
    run = Run(terms(step(0, on_failure="retry"), step(1, 0)))
    run.fail(0)
    assert outline(run.failure) == [
        ("DEPENDENCY_UNRESOLVED", FATAL, step_id(1)),
        ("CARD_DECLINED", ERROR, step_id(0)),
    ]


def test_the_first_dependant_in_list_order_is_named() -> None:
    """R18: also when it stands before its dependency (R9)."""
    plan = terms(step(0), step(1, 3), step(2, 3), step(3, on_failure="skip"))
    run = Run(plan)
    run.fail(3)
    assert run.failure.step_id == step_id(1)


def test_the_step_named_depends_on_the_failed_one_itself() -> None:
    """R8: "a step whose dependency failed"; those behind it have no failed one."""
    plan = terms(step(0, 2), step(1, on_failure="skip"), step(2, 1))
    run = Run(plan)
    run.fail(1)
    assert run.failure.step_id == step_id(2)


def test_a_halting_step_with_dependants_halts() -> None:
    """R5 comes before R8: the policy decides what the failure means."""
    run = Run(terms(*chain(2)))
    run.fail(0)
    assert run.failure.error_code == "EXECUTION_HALTED"


# -- R11, R17, R19


def test_the_primary_error_of_a_partial_result_is_the_first_failure_folded() -> None:
    """R11, R17: not the first in list order; one failure alone has no list (R19)."""
    steps = [step(n, on_failure="skip") for n in range(3)]
    run = Run(terms(*steps))
    run.fail(1)
    run.succeed(0, 2)
    assert run.result.status is Status.PARTIAL
    assert outline(run.failure) == [
        ("STEP_SKIPPED", WARN, step_id(1)),
        ("CARD_DECLINED", ERROR, step_id(1)),
    ]
    assert run.failure.context == "{}"


def test_the_other_failures_follow_in_the_order_they_were_folded() -> None:
    """R11, R19: whole errors, in order, with the total, the primary included."""
    policies = ["skip", "retry", "skip", "halt"]
    run = Run(terms(*[step(n, on_failure=p) for n, p in enumerate(policies)]))
    run.fail(2, error("A"))
    run.fail(1, error("B"))
    run.fail(0, error("C"))
    run.succeed(3)
    assert run.failure.step_id == step_id(2)
    assert listed(run.failure) == [("B", step_id(1)), ("STEP_SKIPPED", step_id(0))]
    assert context(run.failure)["errors_total"] == 3
    entry = context(run.failure)["errors"][1]
    assert entry["cause"]["error_code"] == "C"
    assert "errors" not in entry["context"]
    assert ExecutionError.model_fields.keys() == entry.keys()


def test_an_error_keeps_its_own_diagnostics_beside_the_list() -> None:
    """R19, R21: opaque numbers in them stay as they were written."""
    steps = [step(n, on_failure="retry") for n in range(3)]
    run = Run(terms(*steps))
    wild = error("A").model_copy(
        update={"context": '{"worker":"w","big":1e400,"x":1.50}'}
    )
    run.fail(0, wild)
    run.fail(1, wild)
    run.succeed(2)
    own, other = (
        '"worker":"w","big":1e400,"x":1.50',
        '"context":{"worker":"w","big":1e400',
    )
    assert own in run.failure.context
    assert other in run.failure.context


def test_at_most_fifty_failures_are_listed() -> None:
    """R11: at most 50, with the total count."""
    run = Run(terms(*[step(n, on_failure="skip") for n in range(60)]))
    for number in range(59):
        run.fail(number)
    run.succeed(59)
    assert len(listed(run.failure)) == 50
    assert listed(run.failure)[0] == ("STEP_SKIPPED", step_id(1))
    assert context(run.failure)["errors_total"] == 59


def test_a_failed_retry_shows_its_last_error_with_the_earlier_ones() -> None:
    """R17: earlier errors are in `context["attempts"]`."""
    policy = retry(3, "A", "B", "C")
    run = Run(terms(step(0, on_failure="retry"), step(1), retry_policy=policy))
    run.fail(0, error("A", attempt=1))
    run.fail(0, error("B", attempt=2), attempt=2)
    run.fail(0, error("C", attempt=3), attempt=3)
    run.succeed(1)
    assert outline(run.failure) == [("C", ERROR, step_id(0))]
    attempts = context(run.failure)["attempts"]
    assert [entry["error_code"] for entry in attempts] == ["A", "B"]
    assert [entry["context"]["attempt"] for entry in attempts] == [1, 2]
    assert context(run.failure)["attempt"] == 3


def test_a_fatal_last_attempt_shows_the_earlier_ones() -> None:
    """R17, §5.3.9: the full error trace."""
    run = Run(terms(step(0, on_failure="retry"), retry_policy=retry(3, "A")))
    run.fail(0, error("A"))
    run.fail(0, error("B", severity=FATAL), attempt=2)
    assert outline(run.failure) == [("B", FATAL, step_id(0))]
    assert [e["error_code"] for e in context(run.failure)["attempts"]] == ["A"]


def test_of_very_many_attempts_the_last_are_kept() -> None:
    """Rows and results stay small; how many attempts there were is told."""
    policy = retry(10**6, "A")
    run = Run(terms(step(0, on_failure="retry"), retry_policy=policy))
    for attempt in range(1, 200):
        run.fail(0, error("A", number=attempt), attempt=attempt)
    run.fail(0, error("B", severity=FATAL), attempt=200)
    attempts = context(run.failure)["attempts"]
    assert [e["context"]["number"] for e in attempts] == list(range(150, 200))
    assert context(run.failure)["attempts_total"] == 199


def test_a_failure_lists_the_step_failures_before_it() -> None:
    """R19: both lists also on the error of a failure with earlier step failures."""
    run = Run(terms(step(0, on_failure="skip"), step(1, on_failure="retry"), step(2)))
    run.fail(0)
    run.fail(1)
    run.fail(2, error("LAST"))
    assert outline(run.failure)[0] == ("EXECUTION_HALTED", FATAL, step_id(2))
    assert listed(run.failure) == [
        ("STEP_SKIPPED", step_id(0)),
        ("CARD_DECLINED", step_id(1)),
    ]
    assert context(run.failure)["errors_total"] == 3
    assert run.failure.cause is not None
    assert run.failure.cause.context == "{}"


def test_an_unresolved_dependency_lists_only_the_other_failures() -> None:
    """R18, R19: the dependency's failure is the cause, so it is not listed again."""
    plan = terms(step(0, on_failure="skip"), step(1, on_failure="skip"), step(2, 1))
    run = Run(plan)
    run.fail(0)
    run.fail(1)
    assert listed(run.failure) == [("STEP_SKIPPED", step_id(0))]
    assert context(run.failure)["errors_total"] == 2


# -- R12


@pytest.mark.parametrize("policy", ["skip", "retry"])
def test_nothing_completed_is_a_failure(policy: str) -> None:
    """R12: EXECUTION_HALTED, fatal, cause the primary error as R17 shows it."""
    run = Run(terms(step(0, on_failure=policy), step(1, on_failure=policy)))
    run.fail(1, error("A"))
    run.fail(0, error("B"))
    assert run.result.status is Status.FAILURE
    codes = [link.error_code for link in causes(run.failure)]
    shown = ["STEP_SKIPPED", "A"] if policy == "skip" else ["A"]
    assert codes == ["EXECUTION_HALTED", *shown]
    assert run.failure.severity is FATAL
    assert run.failure.step_id == step_id(1)
    assert run.failure.cause is not None
    assert run.failure.cause.context == "{}"
    assert len(listed(run.failure)) == 1
    assert context(run.failure)["errors_total"] == 2


# -- R20, R31


@pytest.mark.parametrize(
    ("limit", "code"),
    [
        (Limit.PLAN_TIMEOUT, ErrorCode.PLAN_TIMEOUT),
        (Limit.DEADLINE, ErrorCode.DEADLINE_EXCEEDED),
    ],
)
def test_a_passed_limit_is_the_plans_and_names_the_attempts_in_flight(
    limit: Limit, code: ErrorCode
) -> None:
    """R20: `step_id` null; what backs off or waits is not in flight."""
    policy = retry(3, "CARD_DECLINED", backoff_ms=10)
    steps = [step(n, on_failure="retry") for n in range(4)]
    run = Run(terms(*steps, step(4, 0), retry_policy=policy))
    run.fail(0)
    run.retry_fires(0, 2)
    run.fail(1)
    run.start(2)
    run.succeed(3)
    run.limit(limit)
    assert outline(run.failure) == [(code, FATAL, None)]
    assert context(run.failure) == {
        "in_flight": [
            {"step_id": step_id(0), "attempt": 2},
            {"step_id": step_id(2), "attempt": 1},
        ]
    }
    assert run.result.completed == (3,)


def test_a_passed_limit_lists_the_failures_before_it() -> None:
    """R19: also for an error that no step failure stands behind."""
    run = Run(terms(step(0, on_failure="skip"), step(1)))
    run.fail(0)
    run.limit(Limit.DEADLINE)
    assert listed(run.failure) == [("STEP_SKIPPED", step_id(0))]
    assert context(run.failure)["errors_total"] == 2
    assert len(context(run.failure)["in_flight"]) == 1


# -- R22, R24, R39


def test_a_result_that_makes_the_plans_too_large_fails_its_step() -> None:
    """R22: RESOURCE_EXHAUSTED, so that executed < total holds."""
    run = Run(terms(step(0), step(1)), Bounds(max_result_bytes=100))
    run.fold(Succeeded(0, 1, 60))
    run.fold(Succeeded(1, 1, 41))
    assert outline(run.failure) == [("RESOURCE_EXHAUSTED", FATAL, step_id(1))]
    assert run.result.completed == (0,)


def test_a_result_that_just_fits_is_accepted() -> None:
    """R22."""
    run = Run(terms(step(0), step(1)), Bounds(max_result_bytes=100))
    run.fold(Succeeded(0, 1, 60))
    run.fold(Succeeded(1, 1, 40))
    assert run.result.status is Status.SUCCESS


def test_of_several_failures_the_first_folded_wins() -> None:
    """R24: later ones are late outcomes."""
    run = Run(terms(step(0), step(1)))
    run.fold(Failed(1, 1, error("FIRST")), at=run.now)
    assert run.fold(Failed(0, 1, error("SECOND")), at=run.now) == []
    assert outline(run.failure)[1][0] == "FIRST"
    assert run.failure.context == "{}"


def test_a_child_ends_with_its_parents_error() -> None:
    """R39: EXECUTION_HALTED, fatal, cause the parent's error."""
    run = Run(terms(step(0)))
    run.fold(ParentEnded(error("DEADLINE_EXCEEDED", severity=FATAL)))
    assert outline(run.failure) == [
        ("EXECUTION_HALTED", FATAL, None),
        ("DEADLINE_EXCEEDED", FATAL, None),
    ]


def test_a_parent_that_ends_first_halts_its_children() -> None:
    """R39: those of running attempts; the others have ended."""
    run = Run(terms(*[step(n) for n in range(4)]))
    run.start(0, child="child-0")
    run.start(1, child="child-1")
    run.start(2, child="child-2")
    run.succeed(1)
    commands = run.limit(Limit.PLAN_TIMEOUT)
    halts = of_type(commands, HaltChild)
    assert [halt.plan_id for halt in halts] == ["child-0", "child-2"]
    assert {halt.error.error_code for halt in halts} == {"PLAN_TIMEOUT"}
    assert commands[0] == HaltSteps("PLAN_TIMEOUT")


def test_a_child_of_the_step_that_fails_the_plan_is_not_halted() -> None:
    """R39: it has ended, that is why its parent's step failed."""
    run = Run(terms(step(0), step(1)))
    run.start(0, child="child-0")
    run.fail(0)
    assert of_type(run.commands, HaltChild) == []
