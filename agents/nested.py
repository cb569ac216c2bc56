"""Ties child plans to the steps that run them (§6.5, R39).

```text
worker      StepStarted, naming the child ─▶ parent's partition   (acknowledged first)
worker      the child's submission, its header names the attempt ─▶ child's partition
coordinator ChildEnded, in the child's transaction ─▶ parent's partition
coordinator ParentEnded, in the parent's transaction ─▶ child's partition
```

Whoever may produce to the plans topic may write the header. An answer therefore counts
only for a running attempt that named this child, and with an id of a start of it: only
the worker that announced the start knows that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agents.core.commands import HaltChild
from agents.core.events import ParentEnded as LostParent
from agents.effects import Headers, Outgoing
from agents.tables import Tables, plan_key
from schemas import codec
from schemas.commands import ParentEnded
from schemas.errors import (
    STEP_ERROR,
    ErrorCode,
    ExecutionError,
    Severity,
    make_error,
    without_details,
)
from schemas.results import PlanResult, Status
from schemas.rows import RegistryRow
from schemas.steps import ChildEnded, ParentReference

if TYPE_CHECKING:
    from agents.coordinator import PartitionState
    from agents.publication import Execution

PARENT = "planstream-parent"
"""The header of a child's submission: a ParentReference."""
DEPTH = "planstream-depth"
"""The header of the step requests of a child: how deep it is nested."""
MAX_DEPTH = 8
"""How many plans may run one in another, below the outermost (R39)."""
ORPHAN_MARGIN_MS = 60_000
"""The clocks of two partitions differ by less."""


def depth_of(headers: Headers) -> int:
    """How deep the plan of a step request is nested; 0 is not at all."""
    text = dict(headers).get(DEPTH) or b"0"
    return int(text) if text.isdigit() and len(text) <= len(str(MAX_DEPTH)) else 0


def depth_headers(execution: Execution) -> Headers:
    """The headers of an execution's step requests."""
    parent = execution.parent
    return () if parent is None else ((DEPTH, b"%d" % parent.depth),)


# -- the child's partition


def parent_of(
    headers: Headers, fields: Mapping[str, Any] | None
) -> ParentReference | None:
    """The attempt that submitted a plan; None for plans that are nobody's children.

    Args:
        headers: of the submission's record.
        fields: of the submission; None when it is unreadable.
    """
    value = dict(headers).get(PARENT)
    if value is None:
        return None
    try:
        parent = codec.decode(value, ParentReference)
    except codec.DecodeError:
        return None
    if fields is None or fields.get("parent_execution_id") == parent.execution_id:
        return parent
    return None


def adopted(tables: Tables, child: bytes) -> ParentReference | None:
    """The parent of a plan that was admitted or refused before."""
    row = tables.children.get(child)
    return None if row is None else _read(row)


def adopt(tables: Tables, child: bytes, parent: ParentReference | None) -> None:
    """Remember whose child a plan is, as long as its id is remembered."""
    if parent is not None:
        tables.put_child(child, codec.encode_row(ParentReference, vars(parent)))


def is_repeat(tables: Tables, child: bytes, parent: ParentReference | None) -> bool:
    """Whether the same attempt submitted this child before: its answer is on its way.

    A redelivered request has another start, but is the same attempt.
    """
    known = adopted(tables, child)
    if known is None or parent is None:
        return False
    return _attempt(known) == _attempt(parent)


def take_orphan(
    tables: Tables, child: bytes, parent: ParentReference | None
) -> ExecutionError | None:
    """The error of a parent that ended before its child was admitted."""
    row = tables.orphans.get(child)
    if row is None or parent is None:
        return None
    ended = codec.decode_row(ParentEnded, row)
    if ended["parent_execution_id"] != parent.execution_id:
        return None
    tables.drop_orphan(child)
    return ExecutionError.model_validate(ended["error"])


def expire_orphans(tables: Tables, now: int) -> None:
    """Forget parents' ends that no child can come after: its deadline is theirs."""
    ends = {
        key: codec.decode_row(ParentEnded, row)["ends_at"]
        for key, row in tables.orphans.items()
    }
    for key, ends_at in ends.items():
        if ends_at + ORPHAN_MARGIN_MS < now:
            tables.drop_orphan(key)


def fold_parent_ended(state: PartitionState, command: ParentEnded, now: int) -> None:
    """End the child of a parent that ended first.

    A child that has not arrived yet will find what is remembered here: commands are
    folded before plans, and a worker may be about to submit it.
    """
    key = plan_key(command.plan_id)
    parent = adopted(state.tables, key)
    if parent is None and not state.tables.knows(key):
        row = codec.encode_row(ParentEnded, vars(command))
        state.tables.put_orphan(key, row)
        return
    plan = state.open_plan(key)
    is_ours = parent and parent.execution_id == command.parent_execution_id
    if plan is None or not is_ours:
        state.effects.ignored["no such open child"] += 1
        return
    state.advance_plan(plan, LostParent(command.error), now)


def answer(
    state: PartitionState, execution: Execution, result: Mapping[str, Any]
) -> Outgoing | None:
    """What a parent is told of the end of its child; None when there is no parent.

    Args:
        state: the partition's.
        execution: that has ended.
        result: the fields of its PlanResult.
    """
    parent = execution.parent
    if parent is None:
        return None
    if result["status"] == Status.FAILURE:
        return _failed(state, execution.plan_id, parent, result["error"])
    text = codec.encode_fields(PlanResult, result, codec.Format.JSON)
    most = state.terms.max_step_result_bytes
    if len(text) > most:
        message = f"the result of the child plan has {len(text)} bytes of {most}"
        error = make_error(
            ErrorCode.RESOURCE_EXHAUSTED, message, step_id=parent.step_id
        )
        return _child_ended(state, execution.plan_id, parent, None, error)
    return _child_ended(state, execution.plan_id, parent, text.decode(), None)


def refuse_duplicate(
    state: PartitionState, child_plan_id: str, parent: ParentReference
) -> None:
    """Tell a parent that the plan id of its child was used before (R14, R39)."""
    message = f"the id of the child plan {child_plan_id} was used before"
    error = _step_error(child_plan_id, parent, message, None)
    state.effects.records.append(
        _child_ended(state, child_plan_id, parent, None, error)
    )


def _failed(
    state: PartitionState,
    child_plan_id: str,
    parent: ParentReference,
    cause: ExecutionError,
) -> Outgoing:
    message = f"the child plan {child_plan_id} failed with {cause.error_code}"
    error = _step_error(child_plan_id, parent, message, cause)
    told = _child_ended(state, child_plan_id, parent, None, error)
    if len(told.value or b"") > state.terms.max_record_bytes:
        error = _step_error(child_plan_id, parent, message, without_details(cause))
        told = _child_ended(state, child_plan_id, parent, None, error)
    return told


def _step_error(
    child_plan_id: str,
    parent: ParentReference,
    message: str,
    cause: ExecutionError | None,
) -> ExecutionError:
    return make_error(
        STEP_ERROR,
        message,
        step_id=parent.step_id,
        severity=Severity.ERROR,
        cause=cause,
        context={"attempt": parent.attempt, "child_plan_id": child_plan_id},
    )


def _child_ended(
    state: PartitionState,
    child_plan_id: str,
    parent: ParentReference,
    result: str | None,
    error: ExecutionError | None,
) -> Outgoing:
    fields = {
        "plan_id": parent.plan_id,
        "execution_id": parent.execution_id,
        "step_id": parent.step_id,
        "step_number": parent.step_number,
        "attempt": parent.attempt,
        "child_plan_id": child_plan_id,
        "start_id": parent.start_id,
        "result": result,
        "error": error,
    }
    value = codec.encode_fields(ChildEnded, fields, state.terms.format)
    return Outgoing("step-outcomes", parent.plan_id.encode(), value)


def _attempt(parent: ParentReference) -> tuple[str, str, int]:
    return parent.execution_id, parent.step_id, parent.attempt


def _read(row: bytes) -> ParentReference:
    return ParentReference(**codec.decode_row(ParentReference, row))


# -- the parent's partition


def halt_child(state: PartitionState, execution: Execution, command: HaltChild) -> None:
    """Tell a child's partition that its parent has ended (R39)."""
    plan = state.open_plan(execution.key)
    if plan is None:
        raise RuntimeError(f"plan {execution.plan_id} halts a child, but is not open")
    ends = ParentEnded(
        plan_id=command.plan_id,
        parent_execution_id=execution.execution_id,
        ends_at=plan.ends_at,
        error=command.error,
    )
    _tell_child(state, ends)


def halt_late_child(state: PartitionState, started: Mapping[str, Any]) -> None:
    """End the child of an attempt that was started when its plan had ended (R39).

    The worker that started it had not heard of the end yet; nobody else knows this
    child, which would run until its own deadline.

    Args:
        state: the partition's.
        started: the fields of a StepStarted that belongs to no open plan.
    """
    row = state.tables.registry.get(plan_key(started["plan_id"]))
    if row is None:
        return
    ended = codec.decode_row(RegistryRow, row)
    code = ended["error_code"]
    if code is None or ended["execution_id"] != started["execution_id"]:
        return
    fatal = ended["status"] == Status.FAILURE
    error = make_error(
        code,
        "the parent plan had ended before its child was started",
        severity=Severity.FATAL if fatal else None,
    )
    ends = ParentEnded(
        plan_id=started["child_plan_id"],
        parent_execution_id=started["execution_id"],
        ends_at=state.now,
        error=error,
    )
    _tell_child(state, ends)


def _tell_child(state: PartitionState, ends: ParentEnded) -> None:
    value = codec.encode_fields(ParentEnded, vars(ends), state.terms.format)
    state.effects.records.append(Outgoing("commands", ends.plan_id.encode(), value))
