"""What coordinators ask of step workers, and what these answer."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from schemas.context import SubmissionReference
from schemas.errors import ExecutionError
from schemas.opaque import JsonObject, JsonText
from schemas.record import Count, Instant, Int64, Millis, Positive, Record, Uuid4


class StepRequest(Record):
    """Run one attempt of one step (topic step-requests.<queue>, key step id)."""

    plan_id: Uuid4
    execution_id: Uuid4
    step_id: Uuid4
    step_number: Count
    """The step's place in the plan's list, from 0."""
    attempt: Positive
    action: str
    payload: JsonObject
    environment: dict[str, JsonText]
    """Empty when `environment_at` says where it is."""
    timeout_ms: Positive | None
    """The step's own limit; null when it inherits the plan's (R31)."""
    deadline_ms: Instant
    """When the plan ends at the latest, by the coordinator's clock."""
    priority: Int64
    requested_at: Instant
    user_id: str | None
    request_id: str | None
    correlation_context: dict[str, str] | None
    environment_at: SubmissionReference | None = None
    """The submission whose environment it is, when that is too large to be copied."""


class StepReference(Record):
    """Which attempt of which step an outcome speaks of."""

    shares_topic: ClassVar[bool] = True

    plan_id: Uuid4
    execution_id: Uuid4
    step_id: Uuid4
    step_number: Count
    attempt: Positive


class StepStarted(StepReference):
    """An attempt runs longer than a moment, or may be a redelivery (R29)."""

    worker: str
    start_id: str
    """Differs for every start of an attempt: repeats of this record share it."""
    started_at: Instant
    elapsed_ms: Millis
    """How long the attempt had been running when this was announced."""
    child_plan_id: Uuid4 | None = None


class StepSucceeded(StepReference):
    """An attempt completed."""

    worker: str
    started_at: Instant
    ended_at: Instant
    result: JsonText


class StepFailed(StepReference):
    """An attempt failed."""

    worker: str
    started_at: Instant
    ended_at: Instant
    error: ExecutionError


class StepWarned(StepReference):
    """A handler reported a warning without failing (R6)."""

    code: Annotated[str, Field(min_length=1, max_length=50)]
    message: Annotated[str, Field(max_length=1000)]
    at: Instant


class ChildEnded(StepReference):
    """The child plan of an attempt has ended; sent by the child's partition (R39)."""

    child_plan_id: Uuid4
    start_id: str
    """Of the start of the attempt that submitted the child: nobody else knows it."""
    result: JsonObject | None
    """The child's PlanResult, unless the attempt failed."""
    error: ExecutionError | None


class ParentReference(Record):
    """The attempt whose child a plan is (a header of the child's submission, R39)."""

    plan_id: Uuid4
    execution_id: Uuid4
    step_id: Uuid4
    step_number: Count
    attempt: Positive
    start_id: str
    depth: Positive
    """How deep the child is nested: 1 when its parent is nobody's child."""


class ExecutionHalted(Record):
    """No attempt of this execution is wanted any longer (topic halts)."""

    plan_id: Uuid4
    execution_id: Uuid4
    at: Instant
    error_code: str
