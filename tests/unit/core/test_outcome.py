"""The ordered actions of §5, and what the result says."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from agents.core import actions
from agents.core.actions import ACTIONS
from agents.core.commands import (
    EmitEvent,
    HaltSteps,
    MarkRegistry,
    NotifyErrorHandler,
    PersistResult,
    RecordAudit,
    ReleaseResources,
    ReturnResult,
)
from agents.core.ending import Ending, RuleBroken
from agents.core.events import Warned
from agents.core.outcome import refuse
from agents.core.progress import PlanProgress
from schemas.commands import Limit
from schemas.errors import ErrorCode, make_error
from schemas.events import EventName
from schemas.results import Status
from tests.unit.core.plans import (
    ADMITTED_AT,
    STARTED_AT,
    Run,
    chain,
    error,
    of_type,
    step,
    terms,
)

CONTRACT = {
    Status.SUCCESS: """
        1 validate completion · 2 capture metadata · 3 set status success ·
        4 persist result · 5 emit plan_execution_success ·
        6 mark completed in registry ·
        7 release resources · 8 return result""",
    Status.PARTIAL: """
        1 classify failure · 2 aggregate errors · 3 validate partial execution ·
        4 preserve completed output · 5 capture metadata · 6 set status partial ·
        7 persist result · 8 emit plan_execution_partial ·
        9 record incomplete steps · 10 return result""",
    Status.FAILURE: """
        1 identify cause · 2 assert severity fatal · 3 halt in flight steps ·
        4 capture failure context · 5 keep completed results ·
        6 validate execution count · 7 set error · 8 set status failure ·
        9 persist result · 10 emit plan_execution_failure · 11 release resources ·
        12 notify error handler · 13 return result""",
}


def in_contract(status: Status) -> list[tuple[int, str]]:
    """Number and name of the actions, as the contract lists them."""
    words = CONTRACT[status].split("·")
    pairs = [re.split(r"\s+", entry.strip(), maxsplit=1) for entry in words]
    return [(int(number), re.sub(r"\s+", "_", name)) for number, name in pairs]


def succeeded() -> Run:
    """A plan of three steps that completed."""
    run = Run(terms(*chain(3)))
    run.succeed(0, 1, 2)
    return run


def partial() -> Run:
    """A plan of which one step of three was skipped."""
    run = Run(terms(step(0), step(1, on_failure="skip"), step(2, 0)))
    run.fail(1)
    run.succeed(0, 2)
    return run


def failed() -> Run:
    """A plan that a step halted, after one of three."""
    run = Run(terms(*chain(3)))
    run.succeed(0)
    run.fail(1)
    return run


ENDS: dict[Status, Callable[[], Run]] = {
    Status.SUCCESS: succeeded,
    Status.PARTIAL: partial,
    Status.FAILURE: failed,
}


@pytest.mark.parametrize("status", Status)
def test_the_actions_are_those_of_the_contract_in_its_order(status: Status) -> None:
    """§5.1, §5.2, §5.3."""
    listed = [(action.number, action.name) for action in ACTIONS[status]]
    assert listed == in_contract(status)


@pytest.mark.parametrize("status", Status)
def test_each_action_is_one_unit_of_its_name(status: Status) -> None:
    """§5: each is one named unit in the code."""
    for action in ACTIONS[status]:
        assert vars(actions)[action.name] is action.carry_out


@pytest.mark.parametrize("status", Status)
def test_the_audit_lists_the_actions_carried_out_with_their_times(
    status: Status,
) -> None:
    """§5, F5: the audit record of every execution shows them in order."""
    run = ENDS[status]()
    assert run.audit.outcome is status
    assert [(a.number, a.name) for a in run.audit.actions] == in_contract(status)
    assert {a.at for a in run.audit.actions} == {run.now}


@pytest.mark.parametrize(
    ("status", "commands"),
    [
        (
            Status.SUCCESS,
            [PersistResult, EmitEvent, MarkRegistry, ReleaseResources, ReturnResult],
        ),
        (
            Status.PARTIAL,
            [PersistResult, EmitEvent, ReturnResult, MarkRegistry, ReleaseResources],
        ),
        (
            Status.FAILURE,
            [
                HaltSteps,
                PersistResult,
                EmitEvent,
                ReleaseResources,
                NotifyErrorHandler,
                ReturnResult,
                MarkRegistry,
            ],
        ),
    ],
)
def test_commands_come_in_the_order_of_the_actions(
    status: Status, commands: list[type[Any]]
) -> None:
    """R16; what §5 does not list but each end needs comes last (R14, U3)."""
    run = ENDS[status]()
    kinds = [type(command) for command in run.commands]
    end = kinds[kinds.index(commands[0]) :]
    assert end == [*commands, RecordAudit]


def test_a_success_has_every_result_and_no_error() -> None:
    """§5.1, §3: error is null exactly when status is success."""
    result = succeeded().result
    assert result.status is Status.SUCCESS
    assert result.error is None
    assert result.completed == (0, 1, 2)
    assert result.steps_total == 3


def test_a_partial_result_keeps_what_completed_and_records_the_rest() -> None:
    """§5.2.4, §5.2.9, R3."""
    run = partial()
    assert run.result.status is Status.PARTIAL
    assert run.result.completed == (0, 2)
    assert run.audit.incomplete == (1,)


def test_a_failure_keeps_what_completed() -> None:
    """§5.3.5, R3; the audit names what did not complete."""
    run = failed()
    assert run.result.completed == (0,)
    assert run.audit.incomplete == (1, 2)


@pytest.mark.parametrize("status", Status)
def test_event_and_registry_say_what_the_result_says(status: Status) -> None:
    """§5.1.5, §5.2.8, §5.3.10, R14."""
    run = ENDS[status]()
    result = run.result
    (event,) = of_type(run.commands, EmitEvent)
    (mark,) = of_type(run.commands, MarkRegistry)
    assert event.event is EventName(f"plan_execution_{status}")
    assert (event.status, event.error) == (status, result.error)
    assert event.at == result.completed_at
    code = None if result.error is None else result.error.error_code
    assert mark == MarkRegistry(
        status, result.completed_at, len(result.completed), 3, code
    )


def test_the_duration_runs_from_started_at() -> None:
    """§3: duration_ms = completed_at − started_at."""
    result = succeeded().result
    assert result.completed_at == ADMITTED_AT + 3
    assert result.duration_ms == ADMITTED_AT + 3 - STARTED_AT


def test_a_start_in_the_future_gives_a_duration_of_zero() -> None:
    """R32: completed_at = max(clock, started_at)."""
    run = Run(terms(step(0)))
    run.now = STARTED_AT - 500
    run.succeed(0)
    assert run.result.completed_at == STARTED_AT
    assert run.result.duration_ms == 0


def test_a_limit_after_the_last_step_changes_nothing() -> None:
    """R13: the fold order in the log decides."""
    run = succeeded()
    assert run.limit(Limit.DEADLINE) == []
    assert run.result.status is Status.SUCCESS


def test_a_step_that_completed_after_a_limit_is_late() -> None:
    """R13, R24, the other way round."""
    run = Run(terms(step(0)))
    run.limit(Limit.DEADLINE)
    assert run.succeed(0) == []
    assert run.result.status is Status.FAILURE
    assert run.result.completed == ()


def test_the_audit_has_the_warnings_of_handlers_and_skips() -> None:
    """R6, §4 rule 3, R41: by step; a skip's warning carries the step's error code."""
    run = Run(terms(step(0, on_failure="skip"), step(1)))
    run.fold(Warned(1, 1, "SLOW", "took its time", 77))
    run.fail(0)
    run.succeed(1)
    assert [warning[:2] for warning in run.audit.warnings] == [
        (0, "STEP_SKIPPED"),
        (1, "SLOW"),
    ]
    skip, slow = run.audit.warnings
    assert "CARD_DECLINED" in skip.message
    assert skip.at == ADMITTED_AT + 2
    assert slow == (1, "SLOW", "took its time", 77)


def test_a_refused_plan_ends_like_any_failure_with_nothing_to_halt() -> None:
    """§5.3, Refusals: steps_executed 0; result, event, audit (R41), error handler."""
    refusal = make_error(ErrorCode.INVALID_PAYLOAD, "plan.name: missing")
    commands = refuse(refusal, 4, STARTED_AT, ADMITTED_AT)
    assert [type(command) for command in commands] == [
        PersistResult,
        EmitEvent,
        ReleaseResources,
        NotifyErrorHandler,
        ReturnResult,
        MarkRegistry,
        RecordAudit,
    ]
    (result,) = of_type(commands, PersistResult)
    assert result == PersistResult(Status.FAILURE, ADMITTED_AT, 50, (), 4, refusal)
    (audit,) = of_type(commands, RecordAudit)
    taken = [(action.number, action.name) for action in audit.actions]
    assert taken == in_contract(Status.FAILURE)
    assert (audit.incomplete, audit.warnings) == ((), ())


def test_a_refused_plan_without_a_valid_start_started_at_its_admission() -> None:
    """R32: duration_ms 0."""
    refusal = make_error(ErrorCode.INVALID_PAYLOAD, "started_at: missing")
    (result,) = of_type(refuse(refusal, 0, None, ADMITTED_AT), PersistResult)
    assert (result.completed_at, result.duration_ms) == (ADMITTED_AT, 0)


# -- the checks among the actions: a bug of ours is raised, never published


def unit(status: Status, name: str) -> Callable[[Ending], None]:
    """An action by its name."""
    return next(a.carry_out for a in ACTIONS[status] if a.name == name)


def ending(progress: PlanProgress | None = None, **members: Any) -> Ending:
    """An end in the making."""
    return Ending(ADMITTED_AT, STARTED_AT, 3, progress, **members)


def test_success_is_checked() -> None:
    """§5.1.1."""
    with pytest.raises(RuleBroken, match="every step completed"):
        unit(Status.SUCCESS, "validate_completion")(
            ending(Run(terms(*chain(3))).progress)
        )


@pytest.mark.parametrize("completed", [0, 3])
def test_partial_is_checked(completed: int) -> None:
    """§5.2.3: 1 ≤ executed < total."""
    run = Run(terms(*chain(3)))
    run.progress.completed = completed
    with pytest.raises(RuleBroken, match="1 ≤ executed < total"):
        unit(Status.PARTIAL, "validate_partial_execution")(ending(run.progress))


def test_the_error_of_a_failure_is_checked() -> None:
    """§5.3.2."""
    with pytest.raises(RuleBroken, match="fatal"):
        unit(Status.FAILURE, "assert_severity_fatal")(ending(cause=error()))


def test_the_count_of_a_failure_is_checked() -> None:
    """§5.3.6: executed < total or executed = 0."""
    check = unit(Status.FAILURE, "validate_execution_count")
    with pytest.raises(RuleBroken, match="executed = 0"):
        check(ending(completed=(0, 1, 2)))
    check(ending(completed=(0, 1)))
    check(ending(completed=()))
    check(Ending(ADMITTED_AT, STARTED_AT, 0, None))


def test_a_result_is_not_persisted_before_its_status_is_set() -> None:
    """§5: the order of the actions."""
    with pytest.raises(RuleBroken, match="status"):
        unit(Status.SUCCESS, "persist_result")(ending())


def test_a_refused_plan_cannot_succeed() -> None:
    """Refusals."""
    with pytest.raises(RuleBroken, match="failure only"):
        unit(Status.SUCCESS, "validate_completion")(ending())


def test_partial_and_failure_need_an_error() -> None:
    """§3: error is null exactly when status is success."""
    with pytest.raises(RuleBroken, match="error"):
        unit(Status.PARTIAL, "set_status_partial")(ending())
    with pytest.raises(RuleBroken, match="cause"):
        unit(Status.FAILURE, "set_error")(ending())
