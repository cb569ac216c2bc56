"""What is asked of coordinators and step workers, with what they answer (U1, U3)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from schemas.commands import Limit
from schemas.record import Count, Instant, Items, Positive, Record, Uuid4
from schemas.results import Status


class StepPhase(StrEnum):
    """Where a step of a running plan stands."""

    WAITING = "waiting"
    REQUESTED = "requested"
    RUNNING = "running"
    BACKING_OFF = "backing_off"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"


class WaitsFor(StrEnum):
    """What must happen before a step can go on."""

    DEPENDENCIES = "dependencies"
    WORKER = "worker"
    """One was asked; it has not said that it began, nor that it is done."""
    OUTCOME = "outcome"
    CHILD = "child"
    """The plan that the step runs (R39)."""
    RETRY = "retry"
    NOTHING = "nothing"


class Question(Record):
    """What is known of a plan, by the id of it or of its execution (topic questions).

    The owner of the partition that it lies on answers, or every step worker.
    """

    question_id: Uuid4
    reply_to: Uuid4
    """The key of the answer, which tells its partition."""
    asked_for: Uuid4
    """A plan id or an execution id."""
    to_workers: bool
    """Whether it is for step workers; then it lies on partition 0."""


class StepStatus(Record):
    """How far a step of a running plan is."""

    step_id: Uuid4
    action: str
    state: Annotated[StepPhase, Field(strict=False)]
    attempt: Count
    """The attempt that counts: the running one, the last, the one to come; from 1."""
    waits_for: Annotated[WaitsFor, Field(strict=False)]
    waits_until: Instant | None
    """When the wait ends at the latest; null when it waits for nothing."""
    dependencies_missing: Count
    """How many of its dependencies have not completed."""
    missing: Items[Uuid4]
    """The first of them."""
    child_plan_id: Uuid4 | None
    error_code: str | None
    """Of its last failed attempt."""


class RunningPlan(Record):
    """A plan that has not ended."""

    plan_id: Uuid4
    execution_id: Uuid4
    parent_plan_id: Uuid4 | None
    admitted_at: Instant
    ends_at: Instant
    """When the earlier of its limits ends it."""
    limit: Annotated[Limit, Field(strict=False)]
    """Which one that is."""
    steps_total: Positive
    steps_completed: Count
    steps: Items[StepStatus]
    """In the plan's order."""


class EndedPlan(Record):
    """What the registry remembers of a plan that has ended (R14)."""

    plan_id: Uuid4
    execution_id: Uuid4
    status: Annotated[Status, Field(strict=False)]
    completed_at: Instant
    steps_executed: Count
    steps_total: Count
    error_code: str | None


class Holdings(Record):
    """What a coordinator holds for an execution (U3)."""

    rows: Count
    """Of the tables plans, steps, children and orphans; the registry's is none."""
    timers: Count
    """Limits and retries that are armed."""
    pending_requests: Count
    """Step requests that were sent and have not been answered."""


class PlanAnswer(Record):
    """What the owner of a partition knows of a plan (topic answers).

    Neither running nor ended: the plan is unknown there.
    """

    shares_topic: ClassVar[bool] = True

    question_id: Uuid4
    coordinator: str
    partition: Count
    at: Instant
    running: RunningPlan | None
    ended: EndedPlan | None
    holdings: Holdings


class WorkAnswer(Record):
    """What a step worker holds for an execution (topic answers)."""

    shares_topic: ClassVar[bool] = True

    question_id: Uuid4
    worker: str
    at: Instant
    running_attempts: Count
    """Handlers that run, those included that swallowed their cancellation."""
    window_slots: Count
    """Requests that it has taken and not settled; attempts that run have theirs."""
