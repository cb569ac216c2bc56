"""Carries out what the core decided: rows, requests, timers, and the plan's end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agents import nested, publication
from agents.core import commands as core
from agents.core.deadlines import plan_limit
from agents.core.recovery import row_fields
from agents.deadlines import KIND_OF_LIMIT, DeadlineKind
from agents.effects import Outgoing
from agents.handlers import RESERVED_ACTION
from agents.publication import Execution
from agents.tables import PLAN_ITSELF, Deadline
from schemas import codec
from schemas.rows import StepRow
from schemas.steps import StepRequest

if TYPE_CHECKING:
    from agents.coordinator import PartitionState
    from agents.open_plans import OpenPlan

DEFAULT_QUEUE = "default"


def carry_out(
    state: PartitionState,
    plan: OpenPlan,
    commands: Iterable[core.Command],
    result: str | None = None,
) -> None:
    """Carry out a fold's commands, in order.

    Args:
        state: the partition's.
        plan: the open plan that the commands are for.
        commands: of the core.
        result: what the step returned, when the fold was of its success: JSON text.
    """
    for command in commands:
        if isinstance(command, core.SaveStep):
            _save_step(state, plan, command.step, result)
        elif (run := _PLAN_COMMANDS.get(type(command))) is not None:
            run(state, plan, command)
        else:
            conclude(state, plan.execution, (command,))


def conclude(
    state: PartitionState, execution: Execution, commands: Iterable[core.Command]
) -> None:
    """Carry out the commands of an end; also of a plan that was never open."""
    for command in commands:
        _END_COMMANDS[type(command)](state, execution, command)


def arm_plan_limit(state: PartitionState, plan: OpenPlan) -> None:
    """Arm the earlier of the plan's two limits (R10, R31)."""
    limit, due_at = plan_limit(plan.terms, plan.progress.admitted_at)
    deadline = Deadline(due_at, KIND_OF_LIMIT[limit], 0)
    state.deadlines.arm(plan.key, PLAN_ITSELF, deadline)


def _save_step(
    state: PartitionState, plan: OpenPlan, step: int, result: str | None
) -> None:
    fields = row_fields(plan.progress, step, state.now)
    fields["result"] = result
    state.tables.put_step(plan.key, step, codec.encode_row(StepRow, fields))


def _request_step(
    state: PartitionState, plan: OpenPlan, command: core.RequestStep
) -> None:
    terms, execution, step = plan.terms, plan.execution, command.step
    step_id, action = terms.step_ids[step], plan.actions[step]
    fields = {
        "plan_id": terms.plan_id,
        "execution_id": terms.execution_id,
        "step_id": step_id,
        "step_number": step,
        "attempt": command.attempt,
        "action": action,
        "payload": plan.payloads[step],
        "environment": plan.environment,
        "timeout_ms": terms.step_timeouts.get(step),
        "deadline_ms": plan.ends_at,
        "priority": plan.priority,
        "requested_at": state.now,
        "user_id": execution.user_id,
        "request_id": execution.request_id,
        "correlation_context": execution.correlation_context,
        "environment_at": plan.environment_at,
    }
    queue = state.terms.routes.get(action, DEFAULT_QUEUE)
    value = codec.encode_fields(StepRequest, fields, state.terms.format)
    headers = nested.depth_headers(execution)
    request = Outgoing(f"step-requests.{queue}", step_id.encode(), value, headers)
    if action == RESERVED_ACTION:
        # With its fold, not before: the child's end might else come, and be ignored,
        # before a coordinator that takes over has admitted the parent again. The same
        # attempt submits the same child again then, which is not answered again.
        state.effects.records.append(request)
    else:
        state.effects.requests.append(request)


def _arm_step_limit(
    state: PartitionState, plan: OpenPlan, command: core.ArmStepLimit
) -> None:
    due = Deadline(command.due_at, DeadlineKind.STEP_TIMEOUT, command.attempt)
    state.deadlines.arm(plan.key, command.step, due)


def _arm_retry(state: PartitionState, plan: OpenPlan, command: core.ArmRetry) -> None:
    due = Deadline(command.due_at, DeadlineKind.RETRY, command.attempt)
    state.deadlines.arm(plan.key, command.step, due)


def _disarm(state: PartitionState, plan: OpenPlan, command: core.Disarm) -> None:
    state.tables.drop_deadline(plan.key, command.step)


def _release(state: PartitionState, execution: Execution, _: Any) -> None:
    state.release(execution.key, len(execution.step_ids))


def _return(state: PartitionState, execution: Execution, _: Any) -> None:
    publication.return_result(state, execution)


def _notify_error_handler(state: Any, execution: Any, command: Any) -> None:
    """The failure topic itself is what error handlers read (R42, DESIGN §7)."""


_PLAN_COMMANDS: Mapping[type[Any], Callable[..., None]] = MappingProxyType(
    {
        core.RequestStep: _request_step,
        core.ArmStepLimit: _arm_step_limit,
        core.ArmRetry: _arm_retry,
        core.Disarm: _disarm,
    }
)
"""What concerns an open plan's steps."""

_END_COMMANDS: Mapping[type[Any], Callable[..., None]] = MappingProxyType(
    {
        core.HaltSteps: publication.halt_steps,
        core.HaltChild: nested.halt_child,
        core.PersistResult: publication.persist_result,
        core.MarkRegistry: publication.mark_registry,
        core.EmitEvent: publication.emit_event,
        core.RecordAudit: publication.record_audit,
        core.NotifyErrorHandler: _notify_error_handler,
        core.ReleaseResources: _release,
        core.ReturnResult: _return,
    }
)
"""The §5 actions that have an effect outside the core."""
