"""Progress to rows of the steps table, and back after a recovery."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agents.core.commands import StepWarning
from agents.core.progress import BLANK, PlanProgress, StepNotes
from agents.core.states import FINISHED, StepState
from agents.core.terms import PlanTerms
from schemas.errors import ErrorCode, ExecutionError


def row_fields(progress: PlanProgress, step: int, now: int) -> dict[str, Any]:
    """The fields of a step's StepRow but for `result`, which the shell knows.

    Errors and warnings are records' fields or records: `errors` ExecutionErrors,
    `warnings` dicts.
    """
    notes = progress.look(step)
    step_id = progress.terms.step_ids[step]
    return {
        "state": progress.states[step],
        "attempt": notes.attempt,
        "changed_at": now,
        "due_at": notes.due_at,
        "start_ids": notes.starts,
        "child_plan_id": notes.child_plan_id,
        "order": notes.failed_as,
        "errors": notes.errors,
        "warnings": tuple([_warning_fields(step_id, w) for w in notes.warnings]),
    }


def restore(
    terms: PlanTerms,
    admitted_at: int,
    rows: Iterable[tuple[int, Mapping[str, Any]]],
    result_size: int = 0,
) -> PlanProgress:
    """The progress of an open plan, from the rows of its steps; O(steps + edges).

    A step without a row waits, or was requested when the last of its dependencies
    completed: that writes no row, as it follows.

    Args:
        terms: the plan's.
        admitted_at: when it was admitted, Unix ms.
        rows: step numbers and the fields of their StepRows; nested records may be
            models or fields.
        result_size: the size of the completed steps' results (`Succeeded.size`).
    """
    progress = PlanProgress(terms, admitted_at)
    progress.result_size = result_size
    for step, row in rows:
        _load(progress, step, row)
    _count(progress)
    for step, missing in enumerate(progress.missing):
        if not missing and progress.states[step] == StepState.WAITING:
            progress.states[step] = StepState.REQUESTED
    return progress


def _load(progress: PlanProgress, step: int, row: Mapping[str, Any]) -> None:
    progress.states[step] = row["state"]
    notes = StepNotes(
        attempt=row["attempt"],
        failed_as=row["order"],
        due_at=row["due_at"],
        child_plan_id=row["child_plan_id"],
        starts=tuple(row["start_ids"]),
        errors=tuple([_error(error) for error in row["errors"]]),
        warnings=_warnings(step, row["warnings"]),
    )
    if notes != BLANK:
        progress.notes[step] = notes


def _count(progress: PlanProgress) -> None:
    failed = []
    for step, state in progress.numbered():
        if state in FINISHED:
            progress.unfinished -= 1
        if state == StepState.COMPLETED:
            progress.completed += 1
            progress.release(step)
        elif state in FINISHED:
            failed.append(step)
    progress.failures = sorted(failed, key=lambda step: progress.notes[step].failed_as)
    progress.warned = sum(_reported(notes) for notes in progress.notes.values())


def _reported(notes: StepNotes) -> int:
    return sum(warning.code != ErrorCode.STEP_SKIPPED for warning in notes.warnings)


def _error(error: ExecutionError | Mapping[str, Any]) -> ExecutionError:
    if isinstance(error, ExecutionError):
        return error
    return ExecutionError.model_validate(error)


def _warning_fields(step_id: str, warning: StepWarning) -> dict[str, Any]:
    return {
        "step_id": step_id,
        "code": warning.code,
        "message": warning.message,
        "at": warning.at,
    }


def _warnings(step: int, warnings: Sequence[Any]) -> tuple[StepWarning, ...]:
    fields = [w if isinstance(w, Mapping) else w.__dict__ for w in warnings]
    return tuple([StepWarning(step, w["code"], w["message"], w["at"]) for w in fields])
