"""Limits and retries that wait for their time.

What is due writes no table: it becomes a command on the commands topic, which the
fold treats as any event. So a limit is decided in the same order as everything else,
and only once (R13, R33).
"""

from __future__ import annotations

import heapq
from enum import IntEnum
from typing import TYPE_CHECKING, Any, cast

from agents import nested
from agents.core.events import LimitFired, RetryFired
from agents.effects import Outgoing, SourceRecord
from agents.tables import (
    PLAN_ITSELF,
    Deadline,
    Tables,
    plan_id_of,
    step_number_of,
)
from schemas import codec
from schemas.commands import DeadlineFired, Limit, ParentEnded, RetryDue

if TYPE_CHECKING:
    from agents.coordinator import PartitionState


class DeadlineKind(IntEnum):
    """What a row of the deadlines table stands for; the numbers are stored."""

    PLAN_TIMEOUT = 0
    DEADLINE = 1
    STEP_TIMEOUT = 2
    RETRY = 3


KIND_OF_LIMIT = {
    Limit.PLAN_TIMEOUT: DeadlineKind.PLAN_TIMEOUT,
    Limit.DEADLINE: DeadlineKind.DEADLINE,
    Limit.STEP_TIMEOUT: DeadlineKind.STEP_TIMEOUT,
}
LIMIT_OF_KIND = {kind.value: limit for limit, kind in KIND_OF_LIMIT.items()}


STALE_ENTRIES = 1024
"""Entries beyond twice the armed rows at which a heap is built anew."""


class DeadlineHeap:
    """The deadlines of a partition by due time; rows changed since are passed over."""

    __slots__ = ("_entries", "_tables")

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._entries: list[tuple[int, bytes]] = []

    def rebuild(self) -> None:
        """Fill the heap from the deadlines table."""
        rows = self._tables.deadlines
        self._entries = [(deadline.due_at, key) for key, deadline in rows.items()]
        heapq.heapify(self._entries)

    def arm(self, plan: bytes, number: int, deadline: Deadline) -> None:
        """Write the row and wait for it."""
        key = self._tables.put_deadline(plan, number, deadline)
        heapq.heappush(self._entries, (deadline.due_at, key))
        # Plans end long before their limits: what they leave here would stay till then.
        if len(self._entries) > 2 * len(self._tables.deadlines) + STALE_ENTRIES:
            self.rebuild()

    def next_due(self) -> int | None:
        """When to look again (Unix ms), at the latest; None is never."""
        return self._entries[0][0] if self._entries else None

    def take_due(self, now: int) -> list[tuple[bytes, Deadline]]:
        """Remove and return what is due at `now` (Unix ms) and still armed."""
        due = []
        entries, rows = self._entries, self._tables.deadlines
        while entries and entries[0][0] <= now:
            due_at, key = heapq.heappop(entries)
            deadline = rows.get(key)
            if deadline is not None and deadline.due_at == due_at:
                due.append((key, deadline))
        return due

    def put_back(self, due: list[tuple[bytes, Deadline]]) -> None:
        """Wait again for what was taken and could not be announced."""
        for key, deadline in due:
            heapq.heappush(self._entries, (deadline.due_at, key))

    def __len__(self) -> int:
        return len(self._entries)


def command_of(
    state: PartitionState, key: bytes, deadline: Deadline
) -> Outgoing | None:
    """The command that says that a row is due; None when its plan has ended."""
    execution_id = state.execution_of(key[:16])
    if execution_id is None:
        return None
    number = step_number_of(key)
    fields: dict[str, Any] = {
        "plan_id": plan_id_of(key),
        "execution_id": execution_id,
        "due_at": deadline.due_at,
    }
    if deadline.kind == DeadlineKind.RETRY:
        fields |= {"step_number": number, "attempt": deadline.attempt}
        return _command(RetryDue, fields, state)
    of_step = number != PLAN_ITSELF
    fields |= {
        "limit": LIMIT_OF_KIND[deadline.kind],
        "step_number": number if of_step else None,
        "attempt": deadline.attempt if of_step else None,
    }
    return _command(DeadlineFired, fields, state)


def _command(model: Any, fields: dict[str, Any], state: PartitionState) -> Outgoing:
    value = codec.encode_fields(model, fields, state.terms.format)
    return Outgoing("commands", fields["plan_id"].encode(), value)


def _decode(record: SourceRecord) -> DeadlineFired | RetryDue | ParentEnded:
    command = codec.decode(record.value, DeadlineFired, RetryDue, ParentEnded)
    return cast(DeadlineFired | RetryDue | ParentEnded, command)


def fold_command(state: PartitionState, record: SourceRecord, now: int) -> None:
    """Fold a DeadlineFired, RetryDue or ParentEnded of the commands topic."""
    try:
        command = _decode(record)
    except codec.DecodeError as error:
        state.reject_unreadable(record, error)
        return
    if isinstance(command, ParentEnded):
        nested.fold_parent_ended(state, command, now)
        return
    plan = state.find_plan(command.plan_id, command.execution_id)
    if plan is None:
        return
    if not _has_target(command, plan.terms.steps_total):
        state.effects.ignored["no such step"] += 1
        return
    event: LimitFired | RetryFired
    if isinstance(command, RetryDue):
        event = RetryFired(command.step_number, command.attempt)
    else:
        event = LimitFired(command.limit, command.step_number, command.attempt)
    state.advance_plan(plan, event, now)


def _has_target(command: DeadlineFired | RetryDue, steps_total: int) -> bool:
    """Whether the plan has what a command is about; ours always are, others may not."""
    if isinstance(command, DeadlineFired) and command.limit is not Limit.STEP_TIMEOUT:
        return True
    return command.step_number is not None and command.step_number < steps_total
