"""How a plan ended: its result, and the audit of how that was concluded."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from schemas.errors import ExecutionError
from schemas.opaque import JsonText
from schemas.record import Count, Instant, Items, Millis, Record, Uuid4


class Status(StrEnum):
    """How a plan ended (§3)."""

    SUCCESS = "success"
    PARTIAL = "partial"
    FAILURE = "failure"


class PlanResult(Record):
    """The one terminal result of an execution (§3)."""

    plan_id: Uuid4
    execution_id: Uuid4
    status: Annotated[Status, Field(strict=False)]
    completed_at: Instant
    duration_ms: Millis
    steps_executed: Count
    steps_total: Count
    result_payload: dict[str, JsonText]
    error: ExecutionError | None


class AuditAction(Record):
    """One of the ordered actions of §5, and when it was carried out."""

    number: Count
    name: str
    at: Instant


class AuditWarning(Record):
    """A warning in the execution's trace."""

    step_id: Uuid4
    code: str
    message: str
    at: Instant


class ExecutionAudit(Record):
    """The §5 actions of an execution in the order they were carried out (R41)."""

    plan_id: Uuid4
    execution_id: Uuid4
    outcome: Annotated[Status, Field(strict=False)]
    actions: Items[AuditAction]
    incomplete_steps: Items[Uuid4]
    warnings: Items[AuditWarning]
