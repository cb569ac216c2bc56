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
    ArmStepLimit,
    Command,
    RequestStep,
    SaveStep,
    StepWarning,
)
from agents.core.consequences import fail, save
from agents.core.deadlines import step_limit
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
from agents.core.states import StepInput, StepState
from schemas.commands import Limit

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
    step = event.step
    if step is None or progress.attempt(step) != event.attempt:
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
        return fail(progress, step, error, now)
    progress.result_size = size
    ready = progress.complete(step)
    commands = [*save(progress, step), *_request(progress, ready)]
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
        return fail(progress, step, error, now)
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
    return fail(progress, event.step, event.error, now)


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
    return fail(progress, step, error, now)


def _retry_is_due(
    progress: PlanProgress,
    event: RetryFired,
    now: int,  # noqa: ARG001 - as the others
    bounds: Bounds,  # noqa: ARG001 - as the others
) -> list[Command]:
    step = event.step
    progress.move(step, StepInput.BACKOFF_OVER)
    return [*save(progress, step), RequestStep(step, event.attempt)]


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


def _request(progress: PlanProgress, steps: list[int]) -> list[Command]:
    for step in steps:
        progress.move(step, StepInput.READY)
    return [RequestStep(step, FIRST_ATTEMPT) for step in steps]


# -- events of the plan


def _pass_limit(progress: PlanProgress, event: LimitFired, now: int) -> list[Command]:
    error = failures.limit_passed(progress.terms, event.limit)
    return outcome.stop(progress, error, now, failed=None)


def _lose_parent(progress: PlanProgress, event: ParentEnded, now: int) -> list[Command]:
    error = failures.parent_ended(event.error)
    return outcome.stop(progress, error, now, failed=None)
