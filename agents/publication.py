"""Carries out the §5 actions that leave the coordinator: result, audit, event, halt."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agents import nested
from agents.core.commands import (
    EmitEvent,
    HaltSteps,
    MarkRegistry,
    PersistResult,
    RecordAudit,
)
from agents.effects import Headers, Outgoing, size_of
from schemas import codec
from schemas.errors import without_details
from schemas.events import PlanExecutionEvent
from schemas.results import ExecutionAudit, PlanResult
from schemas.rows import RegistryRow, StepRow
from schemas.steps import ExecutionHalted, ParentReference

if TYPE_CHECKING:
    from agents.coordinator import PartitionState


@dataclass(slots=True)
class Execution:
    """Whose outcome is published: the ids and what the submitter wants back.

    Attributes:
        key: the plan's key in the tables.
        step_ids: by step number; empty for a plan that was refused.
        parent: the attempt that runs it, when it is a child (R39).
        result: the outgoing result, from when it is persisted until it is returned.
        answer: what its parent is told, likewise.
    """

    key: bytes
    plan_id: str
    execution_id: str
    step_ids: tuple[str, ...] = ()
    user_id: str | None = None
    request_id: str | None = None
    correlation_context: dict[str, str] | None = None
    parent: ParentReference | None = None
    result: Outgoing | None = field(default=None, repr=False)
    answer: Outgoing | None = field(default=None, repr=False)

    @property
    def ids(self) -> dict[str, Any]:
        """The fields that every record of this execution begins with."""
        return {"plan_id": self.plan_id, "execution_id": self.execution_id}


def persist_result(
    state: PartitionState, execution: Execution, command: PersistResult
) -> None:
    """Build the result while the steps' rows are still there (R3)."""
    payload = {
        execution.step_ids[number]: _result_of(state, execution.key, number)
        for number in command.completed
    }
    fields = execution.ids | {
        "status": command.status,
        "completed_at": command.completed_at,
        "duration_ms": command.duration_ms,
        "steps_executed": len(command.completed),
        "steps_total": command.steps_total,
        "result_payload": payload,
        "error": command.error,
    }
    value = codec.encode_fields(PlanResult, fields, state.terms.format)
    headers = _result_headers(execution, command.status.value)
    most = state.terms.max_record_bytes - size_of(headers)
    if len(value) > most and command.error is not None:
        fields["error"] = without_details(command.error)
        value = codec.encode_fields(PlanResult, fields, state.terms.format)
    if len(value) > most:
        headers = headers[:OWN_HEADERS]
    topic = f"results.{command.status.value}"
    execution.result = Outgoing(topic, execution.plan_id.encode(), value, headers)
    execution.answer = nested.answer(state, execution, fields)


def return_result(state: PartitionState, execution: Execution) -> None:
    """Publish the result, in the transaction that marks the registry (R16).

    A child's result is its parent's step outcome as well (R39).
    """
    if execution.result is None:
        raise RuntimeError(f"plan {execution.plan_id}: no result was persisted")
    state.effects.records.append(execution.result)
    if execution.answer is not None:
        state.effects.records.append(execution.answer)
    state.effects.ended += 1


def mark_registry(
    state: PartitionState, execution: Execution, command: MarkRegistry
) -> None:
    """Remember the plan as ended: its id is used up (R14)."""
    fields = {
        "execution_id": execution.execution_id,
        "status": command.status,
        # The clock's: a result's lies in the future when its plan's start does, and
        # rows are forgotten in their order (R14, R32).
        "completed_at": state.now,
        "steps_executed": command.steps_executed,
        "steps_total": command.steps_total,
        "error_code": command.error_code,
    }
    state.tables.put_registry(execution.key, codec.encode_row(RegistryRow, fields))


def record_audit(
    state: PartitionState, execution: Execution, command: RecordAudit
) -> None:
    """Publish the actions carried out, in their order (R41)."""
    ids = execution.step_ids
    fields = execution.ids | {
        "outcome": command.outcome,
        "actions": [
            {"number": taken.number, "name": taken.name, "at": taken.at}
            for taken in command.actions
        ],
        "incomplete_steps": [ids[number] for number in command.incomplete],
        "warnings": [
            {"step_id": ids[step], "code": code, "message": message, "at": at}
            for step, code, message, at in command.warnings
        ],
    }
    state.effects.records.append(
        _outgoing("audit", execution, ExecutionAudit, fields, state)
    )


def emit_event(state: PartitionState, execution: Execution, command: EmitEvent) -> None:
    """Queue the event for after the commit (§5.0)."""
    fields = execution.ids | {
        "event": command.event,
        "at": command.at,
        "status": command.status,
        "error": command.error,
        "user_id": execution.user_id,
        "request_id": execution.request_id,
        "correlation_context": execution.correlation_context,
    }
    state.effects.events.append(
        _outgoing("events", execution, PlanExecutionEvent, fields, state)
    )


def halt_steps(state: PartitionState, execution: Execution, command: HaltSteps) -> None:
    """Tell every step worker that no attempt of this execution is wanted."""
    fields = execution.ids | {"at": state.now, "error_code": command.error_code}
    state.effects.records.append(
        _outgoing("halts", execution, ExecutionHalted, fields, state)
    )


def _outgoing(
    topic: str,
    execution: Execution,
    model: Any,
    fields: dict[str, Any],
    state: PartitionState,
) -> Outgoing:
    value = codec.encode_fields(model, fields, state.terms.format)
    return Outgoing(topic, execution.plan_id.encode(), value)


def _result_of(state: PartitionState, plan: bytes, number: int) -> str:
    row = codec.decode_row(StepRow, state.tables.step_row(plan, number))
    result: str = row["result"]
    return result


OWN_HEADERS = 2
"""Those that no submitter chooses; they are the first."""


def _result_headers(execution: Execution, status: str) -> Headers:
    correlation = execution.correlation_context or {}
    return [
        ("execution_id", execution.execution_id.encode()),
        ("status", status.encode()),
        *((name, value.encode()) for name, value in correlation.items()),
    ]
