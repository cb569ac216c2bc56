"""Outcome events: best effort, after the commit (§5.0, R41)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from schemas.errors import ExecutionError
from schemas.record import Instant, Record, Uuid4
from schemas.results import Status


class EventName(StrEnum):
    """The three outcome events of §5."""

    SUCCESS = "plan_execution_success"
    PARTIAL = "plan_execution_partial"
    FAILURE = "plan_execution_failure"


class PlanExecutionEvent(Record):
    """Tells onlookers that an execution has ended."""

    event: Annotated[EventName, Field(strict=False)]
    plan_id: Uuid4
    execution_id: Uuid4
    at: Instant
    status: Annotated[Status, Field(strict=False)]
    error: ExecutionError | None
    user_id: str | None
    request_id: str | None
    correlation_context: dict[str, str] | None
