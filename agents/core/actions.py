"""The ordered actions of §5.1, §5.2 and §5.3, each one a unit of its name.

The audit of an execution lists the units that were carried out, so `ACTIONS` can be
held against the contract line by line. Those that the world outside has a part in
leave a command for the shell, at their place in the order (R16).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from agents.core import failures
from agents.core.commands import (
    EmitEvent,
    HaltChild,
    HaltSteps,
    MarkRegistry,
    NotifyErrorHandler,
    PersistResult,
    ReleaseResources,
    ReturnResult,
)
from agents.core.ending import Ending, RuleBroken
from schemas.errors import ErrorCode, Severity
from schemas.events import EventName
from schemas.results import Status

Unit = Callable[[Ending], None]

_LIMITS: Final = frozenset({ErrorCode.PLAN_TIMEOUT, ErrorCode.DEADLINE_EXCEEDED})


class Action(NamedTuple):
    """A unit at its place in the order."""

    number: int
    name: str
    carry_out: Unit


# -- §5.1 success


def validate_completion(ending: Ending) -> None:
    """§5.1.1: all steps completed, none failed."""
    if ending.run.completed != ending.steps_total or ending.run.failures:
        raise RuleBroken("success needs every step completed")
    ending.completed = ending.run.completed_steps()


def capture_metadata(ending: Ending) -> None:
    """§5.1.2, §5.2.5: when it ended, and how long it took (§3, R32)."""
    ending.completed_at = max(ending.now, ending.started_at)
    ending.duration_ms = ending.completed_at - ending.started_at


def set_status_success(ending: Ending) -> None:
    """§5.1.3: success, no error."""
    ending.status, ending.error = Status.SUCCESS, None


def persist_result(ending: Ending) -> None:
    """§5.1.4, §5.2.7, §5.3.9: the result, final from here on."""
    result = PersistResult(
        ending.settled,
        ending.completed_at,
        ending.duration_ms,
        ending.completed,
        ending.steps_total,
        ending.error,
    )
    ending.commands.append(result)


def emit_plan_execution_success(ending: Ending) -> None:
    """§5.1.5: queued here, sent after the commit, never awaited (R16)."""
    _emit(ending, EventName.SUCCESS)


def mark_completed_in_registry(ending: Ending) -> None:
    """§5.1.6: the plan id is used up (R14)."""
    code = None if ending.error is None else ending.error.error_code
    mark = MarkRegistry(
        ending.settled,
        ending.completed_at,
        len(ending.completed),
        ending.steps_total,
        code,
    )
    ending.commands.append(mark)


def release_resources(ending: Ending) -> None:
    """§5.1.7, §5.3.11: what the execution holds is freed (U3)."""
    ending.commands.append(ReleaseResources())


def return_result(ending: Ending) -> None:
    """§5.1.8, §5.2.10, §5.3.13: to the topic of its status."""
    ending.commands.append(ReturnResult())


# -- §5.2 partial


def classify_failure(ending: Ending) -> None:
    """§5.2.1: the first failure folded is the primary one (R11)."""
    ending.failed = ending.run.failures[0]


def aggregate_errors(ending: Ending) -> None:
    """§5.2.2: the primary error, the others in its context (R11, R17, R19)."""
    primary = failures.shown(ending.run, ending.run.failures[0])
    ending.error = failures.with_others(primary, ending.run, ending.failed)


def validate_partial_execution(ending: Ending) -> None:
    """§5.2.3: 1 ≤ executed < total."""
    if not 1 <= ending.run.completed < ending.steps_total:
        raise RuleBroken("partial needs 1 ≤ executed < total")


def preserve_completed_output(ending: Ending) -> None:
    """§5.2.4: what completed steps returned is in the result (R3)."""
    ending.completed = ending.run.completed_steps()


def set_status_partial(ending: Ending) -> None:
    """§5.2.6: partial, with the primary error."""
    if ending.error is None:
        raise RuleBroken("partial has an error")
    ending.status = Status.PARTIAL


def emit_plan_execution_partial(ending: Ending) -> None:
    """§5.2.8."""
    _emit(ending, EventName.PARTIAL)


def record_incomplete_steps(ending: Ending) -> None:
    """§5.2.9: for the audit trail."""
    ending.incomplete = ending.run.incomplete_steps()


# -- §5.3 failure


def identify_cause(ending: Ending) -> None:
    """§5.3.1: what stopped the plan; R12 when nothing did, and nothing completed."""
    if ending.cause is None:
        ending.failed = ending.run.failures[0]
        primary = failures.shown(ending.run, ending.failed)
        ending.cause = failures.nothing_completed(primary)


def assert_severity_fatal(ending: Ending) -> None:
    """§5.3.2."""
    if ending.found.severity is not Severity.FATAL or ending.found.recoverable:
        raise RuleBroken("a failure's error is fatal")


def halt_in_flight_steps(ending: Ending) -> None:
    """§5.3.3: now, children included (R39); a refused plan has none.

    Also when none is known to be in flight: a fold that a crash took back may have
    requested steps.
    """
    if ending.progress is None:
        return
    ending.commands.append(HaltSteps(ending.found.error_code))
    ending.commands += [
        HaltChild(child, ending.found) for child in ending.progress.children()
    ]


def capture_failure_context(ending: Ending) -> None:
    """§5.3.4: times, attempts cut off (R20), other failures (R19)."""
    capture_metadata(ending)
    if ending.progress is None:
        return
    if ending.failed is None and ending.found.error_code in _LIMITS:
        ending.cause = failures.with_in_flight(ending.found, ending.progress)
    ending.cause = failures.with_others(ending.found, ending.progress, ending.failed)


def keep_completed_results(ending: Ending) -> None:
    """§5.3.5: results of completed steps only (R3)."""
    if ending.progress is not None:
        ending.completed = ending.progress.completed_steps()
        ending.incomplete = ending.progress.incomplete_steps()


def validate_execution_count(ending: Ending) -> None:
    """§5.3.6: executed < total, or executed = 0."""
    executed = len(ending.completed)
    if executed and executed >= ending.steps_total:
        raise RuleBroken("failure needs executed < total or executed = 0")


def set_error(ending: Ending) -> None:
    """§5.3.7."""
    ending.error = ending.found


def set_status_failure(ending: Ending) -> None:
    """§5.3.8."""
    ending.status = Status.FAILURE


def emit_plan_execution_failure(ending: Ending) -> None:
    """§5.3.10."""
    _emit(ending, EventName.FAILURE)


def notify_error_handler(ending: Ending) -> None:
    """§5.3.12: if one is configured (R42)."""
    ending.commands.append(NotifyErrorHandler())


def _emit(ending: Ending, event: EventName) -> None:
    at = ending.completed_at
    ending.commands.append(EmitEvent(event, at, ending.settled, ending.error))


def _in_order(*units: Unit) -> tuple[Action, ...]:
    return tuple(
        Action(number, unit.__name__, unit) for number, unit in enumerate(units, 1)
    )


ACTIONS: Final[Mapping[Status, tuple[Action, ...]]] = {
    Status.SUCCESS: _in_order(
        validate_completion,
        capture_metadata,
        set_status_success,
        persist_result,
        emit_plan_execution_success,
        mark_completed_in_registry,
        release_resources,
        return_result,
    ),
    Status.PARTIAL: _in_order(
        classify_failure,
        aggregate_errors,
        validate_partial_execution,
        preserve_completed_output,
        capture_metadata,
        set_status_partial,
        persist_result,
        emit_plan_execution_partial,
        record_incomplete_steps,
        return_result,
    ),
    Status.FAILURE: _in_order(
        identify_cause,
        assert_severity_fatal,
        halt_in_flight_steps,
        capture_failure_context,
        keep_completed_results,
        validate_execution_count,
        set_error,
        set_status_failure,
        persist_result,
        emit_plan_execution_failure,
        release_resources,
        notify_error_handler,
        return_result,
    ),
}
"""What §5.1, §5.2 and §5.3 list, in exactly this order."""

NOT_LISTED: Final[Mapping[Status, tuple[Unit, ...]]] = {
    Status.SUCCESS: (),
    Status.PARTIAL: (mark_completed_in_registry, release_resources),
    Status.FAILURE: (mark_completed_in_registry,),
}
"""What §5 does not list for an end that needs it all the same (R14, U1, U3)."""
