"""Folds step outcomes into the progress of their plans."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agents import nested
from agents.core import events
from agents.core.progress import PlanProgress
from agents.effects import SourceRecord
from schemas import codec
from schemas.errors import ErrorCode, ExecutionError, make_error
from schemas.opaque import is_json
from schemas.record import Record
from schemas.steps import (
    ChildEnded,
    StepFailed,
    StepStarted,
    StepSucceeded,
    StepWarned,
)

if TYPE_CHECKING:
    from agents.coordinator import CoordinatorTerms, PartitionState

OUTCOMES = (StepStarted, StepSucceeded, StepFailed, StepWarned, ChildEnded)


def fold_outcome(state: PartitionState, record: SourceRecord, now: int) -> None:
    """Fold one record of the step-outcomes topic.

    What speaks of no open plan, or not of a step of it, changes nothing: the fold
    that admits a plan again sends its requests again, and every request is answered.
    """
    try:
        model, fields = _decode(record)
    except codec.DecodeError as error:
        state.reject_unreadable(record, error)
        return
    plan = state.find_plan(fields["plan_id"], fields["execution_id"])
    if plan is None:
        if fields.get("child_plan_id") is not None and model is StepStarted:
            nested.halt_late_child(state, fields)
        return
    if not plan.terms.has_step(fields["step_number"], fields["step_id"]):
        state.effects.ignored["no such step"] += 1
        return
    if model is ChildEnded and not _is_awaited(plan.progress, fields):
        state.effects.ignored["no such child"] += 1
        return
    is_error = fields.get("error") is not None
    if model is StepSucceeded or (model is ChildEnded and not is_error):
        event = _succeeded(fields, state.terms)
    else:
        event = _EVENTS[model](fields)
    result = fields["result"] if isinstance(event, events.Succeeded) else None
    state.advance_plan(plan, event, now, result)


def _decode(record: SourceRecord) -> tuple[type[Record], dict[str, Any]]:
    """The fields of an outcome; the frequent kind unvalidated, as ids are looked up."""
    model, fields = codec.decode_fields(record.value, *OUTCOMES)
    if model is StepSucceeded:
        return model, fields
    return model, dict(codec.decode(record.value, *OUTCOMES))


def _started(fields: dict[str, Any]) -> events.Event:
    return events.Started(
        fields["step_number"],
        fields["attempt"],
        fields["start_id"],
        fields["elapsed_ms"],
        fields["child_plan_id"],
    )


def _is_awaited(progress: PlanProgress, fields: dict[str, Any]) -> bool:
    """Whether a child's end is of the child that a running attempt named (R39).

    The id of a start of that attempt shows that its worker submitted the child: a
    foreign plan may bear the same id, and claim the same parent.
    """
    step = fields["step_number"]
    if progress.child_of(step, fields["attempt"]) != fields["child_plan_id"]:
        return False
    has_one = (fields["result"] is None) is not (fields["error"] is None)
    return has_one and fields["start_id"] in progress.look(step).starts


def _succeeded(fields: dict[str, Any], terms: CoordinatorTerms) -> events.Event:
    step, attempt, result = fields["step_number"], fields["attempt"], fields["result"]
    size = len(result) if result.isascii() else len(result.encode())
    error = _unfit(result, size, fields["step_id"], terms)
    if error is not None:
        return events.Failed(step, attempt, error)
    return events.Succeeded(step, attempt, size)


def _unfit(
    result: str, size: int, step_id: str, terms: CoordinatorTerms
) -> ExecutionError | None:
    """Why a result cannot be kept (R22): too large, or not the JSON it must be."""
    if size > terms.max_step_result_bytes:
        message = f"the result has {size} bytes of {terms.max_step_result_bytes}"
        return make_error(ErrorCode.RESOURCE_EXHAUSTED, message, step_id=step_id)
    if not is_json(result):
        message = "the step worker's result is not JSON"
        return make_error(ErrorCode.UNKNOWN_ERROR, message, step_id=step_id)
    return None


def _failed(fields: dict[str, Any]) -> events.Event:
    return events.Failed(fields["step_number"], fields["attempt"], fields["error"])


def _warned(fields: dict[str, Any]) -> events.Event:
    return events.Warned(
        fields["step_number"],
        fields["attempt"],
        fields["code"],
        fields["message"],
        fields["at"],
    )


_EVENTS: Mapping[type[Record], Callable[[dict[str, Any]], events.Event]] = (
    MappingProxyType(
        {
            StepStarted: _started,
            StepFailed: _failed,
            StepWarned: _warned,
            ChildEnded: _failed,
        }
    )
)
"""What is validated, and translated as it is."""
