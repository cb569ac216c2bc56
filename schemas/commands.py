"""What the coordinator tells itself over the commands topic."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from schemas.errors import ExecutionError
from schemas.record import Count, Instant, Record, Uuid4


class Limit(StrEnum):
    """Which limit a deadline stands for."""

    PLAN_TIMEOUT = "plan_timeout"
    DEADLINE = "deadline"
    STEP_TIMEOUT = "step_timeout"


class DeadlineFired(Record):
    """A limit is due, and everything that arrived before it is folded (R33)."""

    shares_topic: ClassVar[bool] = True

    plan_id: Uuid4
    execution_id: Uuid4
    limit: Annotated[Limit, Field(strict=False)]
    due_at: Instant
    step_number: Count | None = None
    attempt: Count | None = None


class RetryDue(Record):
    """A step's backoff is over (§1.1)."""

    shares_topic: ClassVar[bool] = True

    plan_id: Uuid4
    execution_id: Uuid4
    step_number: Count
    attempt: Count
    """The attempt that is to be made."""
    due_at: Instant


class ParentEnded(Record):
    """The plan whose step runs this one has ended first (R39)."""

    shares_topic: ClassVar[bool] = True

    plan_id: Uuid4
    """The child's."""
    parent_execution_id: Uuid4
    ends_at: Instant
    """The parent's limit, which is its children's: none is admitted after it."""
    error: ExecutionError
    """The parent's."""
