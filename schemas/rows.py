"""What the coordinator's tables hold: the values of changelog rows."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from schemas.context import SubmissionReference
from schemas.errors import ExecutionError
from schemas.opaque import JsonText
from schemas.record import Count, Instant, Items, Record, Uuid4
from schemas.results import AuditWarning, Status


class PlanRow(Record):
    """An open plan: written once, at admission (table plans, key plan id)."""

    execution_id: Uuid4
    admitted_at: Instant
    submission: bytes
    """The submission's record value, untouched."""
    environment_at: SubmissionReference | None = None
    """What step requests say in place of the environment, when that is large."""


class StepRow(Record):
    """A step's progress: one row a transition (table steps, key plan id + number)."""

    state: Count
    """A `StepState` of agents.core.states."""
    attempt: Count
    changed_at: Instant
    due_at: Count = 0
    """When the backoff is over, 0 when there is none."""
    start_ids: Items[str] = ()
    """The announced starts of this attempt (R29)."""
    child_plan_id: Uuid4 | None = None
    order: Count = 0
    """The place of this step's failure among the plan's failures, from 1; or 0."""
    result: JsonText | None = None
    errors: Items[ExecutionError] = ()
    """The errors of this step's attempts, in order."""
    warnings: Items[AuditWarning] = ()


class RegistryRow(Record):
    """A plan that has ended (table registry, key plan id)."""

    execution_id: Uuid4
    status: Annotated[Status, Field(strict=False)]
    completed_at: Instant
    steps_executed: Count
    steps_total: Count
    error_code: str | None
