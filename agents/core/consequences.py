"""What follows from a failed attempt: retry, skip, halt, exactly (§4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from agents.core import failures, outcome
from agents.core.commands import (
    ArmRetry,
    Command,
    Disarm,
    RequestStep,
    SaveStep,
    StepWarning,
)
from agents.core.deadlines import due
from agents.core.progress import PlanProgress
from agents.core.retries import Verdict, verdict
from agents.core.states import StepInput
from agents.core.traces import newest
from schemas.errors import ExecutionError


def fail(
    progress: PlanProgress, step: int, error: ExecutionError, now: int
) -> list[Command]:
    """Take the failure of a step's current attempt to what the policies make of it.

    Args:
        progress: changed in place.
        step: whose attempt is in flight.
        error: as it was reported or found.
        now: the coordinator's clock, Unix ms.
    """
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
        return [*save(progress, step), RequestStep(step, notes.attempt)]
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
    return save(progress, step)


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


def save(progress: PlanProgress, step: int) -> list[Command]:
    """Write the row of a step whose attempt is over, and disarm what was armed."""
    if progress.end_attempt(step):
        return [Disarm(step), SaveStep(step)]
    return [SaveStep(step)]
