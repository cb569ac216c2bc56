"""Folds events into a plan's progress, and says what is to be done about them.

An event that finds no entry in `STEP_FOLDS`, or speaks of another attempt than the
current one, is a repeat or a latecomer: it changes nothing and asks for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from agents.core import failures, outcome
from agents.core.commands import (
    ArmRetry,
    ArmStepLimit,
    Command,
    Disarm,
    RequestStep,
    SaveStep,
    StepWarning,
)
from agents.core.deadlines import due, step_limit
from agents.core.events import (
    Event,
    Failed,
    LimitFired,
    ParentEnded,
    RetryFired,
    Started,
    Succeeded,
    Warned,
)
from agents.core.progress import FIRST_ATTEMPT, PlanProgress
from agents.core.retries import Verdict, verdict
from agents.core.states import StepInput, StepState
from agents.core.traces import newest
from schemas.commands import Limit
from schemas.errors import ExecutionError

MAX_STEP_WARNINGS: Final = 50
"""Further warnings of a step are ignored: its row is written with each of them."""
MAX_PLAN_WARNINGS: Final = 500
"""Further warnings of a plan are ignored: they must fit into one audit record."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the configuration allows an execution.

    Attributes:
        max_deliveries: starts of one attempt before it is given up (R29).
        max_result_bytes: size of all results of a plan together (R22).
    """

    max_deliveries: int = 3
    max_result_bytes: int = 6 * 1024 * 1024


DEFAULT_BOUNDS: Final = Bounds()


def begin(progress: PlanProgress, now: int) -> list[Command]:  # noqa: ARG001 - as fold
    """Request the steps that wait for nothing, in list order (R9)."""
    roots = [step for step, missing in enumerate(progress.missing) if not missing]
    waiting = [step for step in roots if progress.states[step] == StepState.WAITING]
    return _request(progress, waiting)


def fold(
    progress: PlanProgress, event: Event, now: int, bounds: Bounds = DEFAULT_BOUNDS
) -> list[Command]:
    """Fold one event; O(successors of its step), but for the end of the plan.

    Args:
        progress: changed in place.
        event: what happened.
        now: the coordinator's clock, Unix ms.
        bounds: what the configuration allows.

    Returns:
        What is to be done, in order; empty when the event is a repeat or late.
        When the plan ends, what ends it (§5), after the row of the last step that
        completed; other rows are not written anew, as they go.
    """
    if not progress.is_open:
        return []
    if isinstance(event, ParentEnded):
        return _lose_parent(progress, event, now)
    if isinstance(event, LimitFired) and event.limit != Limit.STEP_TIMEOUT:
        return _pass_limit(progress, event, now)
    step = cast("int", event.step)  # of LimitFired, None is the plan's
    if progress.attempt(step) != event.attempt:
        return []
    handle = STEP_FOLDS.get((progress.states[step], type(event)))
    return [] if handle is None else handle(progress, event, now, bounds)


# -- events of a step


def _succeed(
    progress: PlanProgress, event: Succeeded, now: int, bounds: Bounds
) -> list[Command]:
    step, size = event.step, progress.result_size + event.size
    if event.size and size > bounds.max_result_bytes:
        error = failures.result_too_large(
            progress.terms, step, event.attempt, bounds.max_result_bytes
        )
        return _fail(progress, step, error, now)
    progress.result_size = size
    ready = progress.complete(step)
    commands = [*_save(progress, step), *_request(progress, ready)]
    return commands if progress.unfinished else commands + outcome.finish(progress, now)


def _start(
    progress: PlanProgress, event: Started, now: int, bounds: Bounds
) -> list[Command]:
    step, starts = event.step, progress.look(event.step).starts
    if event.start_id in starts:
        return []
    delivery = len(starts) + 1
    if delivery > bounds.max_deliveries:
        error = failures.delivered_too_often(
            progress.terms, step, event.attempt, delivery
        )
        return _fail(progress, step, error, now)
    progress.move(step, StepInput.STARTED)
    notes = progress.note(step)
    notes.starts = (*starts, event.start_id)
    notes.child_plan_id = event.child_plan_id or notes.child_plan_id
    return [SaveStep(step), *_arm_limit(progress, event, now)]


def _arm_limit(progress: PlanProgress, event: Started, now: int) -> list[Command]:
    step = event.step
    timeout_ms = progress.terms.step_timeouts.get(step)
    if timeout_ms is None:
        return []
    due_at = step_limit(timeout_ms, event.elapsed_ms, now)
    progress.note(step).due_at = due_at
    return [ArmStepLimit(step, event.attempt, due_at)]


def _warn(
    progress: PlanProgress,
    event: Warned,
    now: int,  # noqa: ARG001 - as the others
    bounds: Bounds,  # noqa: ARG001 - as the others
) -> list[Command]:
    step = event.step
    warning = StepWarning(step, event.code, event.message, event.at)
    known = progress.look(step).warnings
    if warning in known or len(known) >= MAX_STEP_WARNINGS:
        return []
    if progress.warned >= MAX_PLAN_WARNINGS:
        return []
    progress.move(step, StepInput.WARNED)
    progress.warned += 1
    progress.note(step).warnings = (*known, warning)
    return [SaveStep(step)]


def _report(
    progress: PlanProgress,
    event: Failed,
    now: int,
    bounds: Bounds,  # noqa: ARG001 - as the others
) -> list[Command]:
    if event.step in progress.notes:
        progress.note(event.step).child_plan_id = None  # its end was reported by this
    return _fail(progress, event.step, event.error, now)


def _time_out(
    progress: PlanProgress,
    event: LimitFired,
    now: int,
    bounds: Bounds,  # noqa: ARG001 - as the others
) -> list[Command]:
    step, attempt = cast("int", event.step), cast("int", event.attempt)
    due_at = progress.look(step).due_at
    if due_at == 0:
        return []
    if now < due_at:  # armed anew since: a later start of the same attempt
        return [ArmStepLimit(step, attempt, due_at)]
    error = failures.step_timed_out(progress.terms, step, attempt)
    return _fail(progress, step, error, now)


def _retry_is_due(
    progress: PlanProgress,
    event: RetryFired,
    now: int,  # noqa: ARG001 - as the others
    bounds: Bounds,  # noqa: ARG001 - as the others
) -> list[Command]:
    step = event.step
    progress.move(step, StepInput.BACKOFF_OVER)
    return [*_save(progress, step), RequestStep(step, event.attempt)]


_StepFold = Callable[[PlanProgress, Any, int, Bounds], list[Command]]

STEP_FOLDS: Final[Mapping[tuple[int, type], _StepFold]] = {
    (StepState.REQUESTED, Started): _start,
    (StepState.REQUESTED, Warned): _warn,
    (StepState.REQUESTED, Succeeded): _succeed,
    (StepState.REQUESTED, Failed): _report,
    (StepState.RUNNING, Started): _start,
    (StepState.RUNNING, Warned): _warn,
    (StepState.RUNNING, Succeeded): _succeed,
    (StepState.RUNNING, Failed): _report,
    (StepState.RUNNING, LimitFired): _time_out,
    (StepState.BACKING_OFF, RetryFired): _retry_is_due,
}
"""Which events count in which state of their step."""


# -- failures


def _fail(
    progress: PlanProgress, step: int, error: ExecutionError, now: int
) -> list[Command]:
    terms, notes = progress.terms, progress.note(step)
    error = failures.classified(terms, step, error)
    notes.errors = newest((*notes.errors, error))
    means = verdict(terms.policies[step], terms.retry, notes.attempt, error)
    return _AFTER_FAILURE[means](progress, step, now)


def _retry(progress: PlanProgress, step: int, now: int) -> list[Command]:
    notes = progress.note(step)
    notes.attempt += 1
    delay_ms = progress.terms.retry.delay_before(notes.attempt)
    if delay_ms == 0:
        progress.move(step, StepInput.RETRY_NOW)
        return [*_save(progress, step), RequestStep(step, notes.attempt)]
    progress.move(step, StepInput.RETRY_LATER)
    notes.end_attempt()
    notes.due_at = due(now, delay_ms)
    return [SaveStep(step), ArmRetry(step, notes.attempt, notes.due_at)]


def _give_up(progress: PlanProgress, step: int, now: int) -> list[Command]:
    progress.fail(step, StepInput.GIVEN_UP)
    return _go_on_without(progress, step, now)


def _skip(progress: PlanProgress, step: int, now: int) -> list[Command]:
    progress.fail(step, StepInput.PASSED_OVER)
    skipped = failures.shown(progress, step)
    warning = StepWarning(step, skipped.error_code, skipped.message, now)
    progress.note(step).warnings += (warning,)
    return _go_on_without(progress, step, now)


def _go_on_without(progress: PlanProgress, step: int, now: int) -> list[Command]:
    if progress.terms.dependants[step]:
        error = failures.unresolved(progress, step)
        return outcome.stop(progress, error, now, failed=step)
    if not progress.unfinished:
        return outcome.finish(progress, now)
    return _save(progress, step)


def _halt(progress: PlanProgress, step: int, now: int) -> list[Command]:
    progress.fail(step, StepInput.STOPPING)
    error = failures.halted(failures.shown(progress, step))
    return outcome.stop(progress, error, now, failed=step)


def _abort(progress: PlanProgress, step: int, now: int) -> list[Command]:
    progress.fail(step, StepInput.STOPPING)
    return outcome.stop(progress, failures.shown(progress, step), now, failed=step)


_AFTER_FAILURE: Final[
    Mapping[Verdict, Callable[[PlanProgress, int, int], list[Command]]]
] = {
    Verdict.RETRY: _retry,
    Verdict.GIVE_UP: _give_up,
    Verdict.SKIP: _skip,
    Verdict.HALT: _halt,
    Verdict.ABORT: _abort,
}


def _request(progress: PlanProgress, steps: list[int]) -> list[Command]:
    for step in steps:
        progress.move(step, StepInput.READY)
    return [RequestStep(step, FIRST_ATTEMPT) for step in steps]


def _save(progress: PlanProgress, step: int) -> list[Command]:
    """Write the row of a step whose attempt is over, and disarm what was armed."""
    if progress.end_attempt(step):
        return [Disarm(step), SaveStep(step)]
    return [SaveStep(step)]


# -- events of the plan


def _pass_limit(progress: PlanProgress, event: LimitFired, now: int) -> list[Command]:
    error = failures.limit_passed(progress.terms, event.limit)
    return outcome.stop(progress, error, now, failed=None)


def _lose_parent(progress: PlanProgress, event: ParentEnded, now: int) -> list[Command]:
    error = failures.parent_ended(event.error)
    return outcome.stop(progress, error, now, failed=None)
