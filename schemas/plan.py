"""The plan: a graph of steps, whole in one record (contract §1)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from schemas.opaque import JsonObject
from schemas.record import Instant, Int64, Items, Millis, Positive, Record, Uuid4

MAX_STEPS = 1024
PLAN_VERSION = 1
"""The one version of plans that this release executes (R1)."""


class OnFailure(StrEnum):
    """What becomes of the plan when a step fails recoverably."""

    HALT = "halt"
    SKIP = "skip"
    RETRY = "retry"


class RetryPolicy(Record):
    """How often, and how fast, failed steps are tried again (§1.1)."""

    max_attempts: Positive = 1
    backoff_ms: Millis = 0
    backoff_multiplier: Annotated[float, Field(ge=1.0)] = 1.0
    max_backoff_ms: Millis = 60_000
    retryable_error_codes: Items[str] = ()


class PlanStep(Record):
    """One unit of work: an action, its payload, and what must complete before it."""

    id: Uuid4
    action: Annotated[str, Field(min_length=1, max_length=100)]
    payload: JsonObject
    depends_on: Items[Uuid4] = ()
    on_failure: Annotated[OnFailure, Field(strict=False)] = OnFailure.HALT
    timeout_ms: Positive | None = None


class Plan(Record):
    """What is to be done; never changed after admission (§6.2)."""

    id: Uuid4
    # The value is judged by `schemas.validation`: it is told apart from a wrong type.
    version: Annotated[Positive, Field(json_schema_extra={"const": PLAN_VERSION})]
    created_at: Instant
    steps: Annotated[Items[PlanStep], Field(min_length=1, max_length=MAX_STEPS)]
    name: Annotated[str, Field(min_length=1, max_length=255)]
    context_requirements: Annotated[
        Items[Annotated[str, Field(min_length=1)]], Field(min_length=1)
    ]
    priority: Int64 = 0
    timeout_ms: Positive = 300_000
    retry_policy: RetryPolicy = RetryPolicy()
    metadata: JsonObject = "{}"
    tags: Items[str] = ()
    estimated_duration_ms: Positive | None = None
