"""The submission: a plan with the context it runs in (contract §2)."""

from __future__ import annotations

from typing import ClassVar

from schemas.opaque import JsonText
from schemas.plan import Plan
from schemas.record import Count, Instant, Record, Uuid4


class PlanSubmission(Record):
    """An execution context of the contract, as it lies on the plans topic."""

    judged_apart: ClassVar[bool] = True

    plan: Plan
    execution_id: Uuid4
    started_at: Instant
    deadline_ms: Instant
    environment: dict[str, JsonText]
    parent_execution_id: Uuid4 | None = None
    user_id: str | None = None
    request_id: str | None = None
    correlation_context: dict[str, str] | None = None


class SubmissionReference(Record):
    """Where a submission lies on the plans topic; it is there until its plan ends."""

    partition: Count
    offset: Count
