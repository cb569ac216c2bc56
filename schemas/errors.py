"""Execution errors: codes, severities and the error record (contract §3.1, §4)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from schemas.opaque import JsonObject
from schemas.record import Record, Uuid4


class Severity(StrEnum):
    """How bad an error is; `recoverable` is derived from it."""

    WARN = "warn"
    ERROR = "error"
    FATAL = "fatal"


class ErrorCode(StrEnum):
    """The eleven reserved codes of §4."""

    CONTEXT_MISSING = "CONTEXT_MISSING"
    INVALID_PAYLOAD = "INVALID_PAYLOAD"
    STEP_TIMEOUT = "STEP_TIMEOUT"
    PLAN_TIMEOUT = "PLAN_TIMEOUT"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    DEPENDENCY_UNRESOLVED = "DEPENDENCY_UNRESOLVED"
    ACTION_NOT_FOUND = "ACTION_NOT_FOUND"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    EXECUTION_HALTED = "EXECUTION_HALTED"
    STEP_SKIPPED = "STEP_SKIPPED"
    UNKNOWN_ERROR = "UNKNOWN_ERROR"


STEP_ERROR = "STEP_ERROR"
"""What an exception without a code becomes (R6); not reserved."""


class ExecutionError(Record):
    """Why a step or a plan did not succeed (§3.1)."""

    error_code: Annotated[str, Field(min_length=1, max_length=50)]
    message: Annotated[str, Field(max_length=1000)]
    step_id: Uuid4 | None = None
    severity: Annotated[Severity, Field(strict=False)]
    recoverable: bool
    cause: ExecutionError | None = None
    context: JsonObject = "{}"
