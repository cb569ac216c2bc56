"""Execution errors: codes, severities and the error record (contract §3.1, §4)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, model_validator

from schemas.json_scan import raw_members
from schemas.opaque import JsonObject, dump, merge
from schemas.record import Record, Uuid4

MAX_CODE = 50
MAX_MESSAGE = 1000
MAX_CAUSES = 16
"""How many errors a chain of causes has at most, the outermost included (R21)."""
CAUSES_CUT = "causes_cut"
"""The member of the last context of a cut chain that says how many were dropped."""


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


RESERVED_CODES = frozenset(code.value for code in ErrorCode)

STEP_ERROR = "STEP_ERROR"
"""What an exception without a code becomes (R6); not reserved."""

SEVERITIES: Mapping[str, Severity] = {
    ErrorCode.CONTEXT_MISSING: Severity.FATAL,
    ErrorCode.INVALID_PAYLOAD: Severity.FATAL,
    ErrorCode.STEP_TIMEOUT: Severity.ERROR,  # fatal when not listed: R4
    ErrorCode.PLAN_TIMEOUT: Severity.FATAL,
    ErrorCode.DEADLINE_EXCEEDED: Severity.FATAL,
    ErrorCode.DEPENDENCY_UNRESOLVED: Severity.FATAL,
    ErrorCode.ACTION_NOT_FOUND: Severity.FATAL,
    ErrorCode.RESOURCE_EXHAUSTED: Severity.FATAL,
    ErrorCode.EXECUTION_HALTED: Severity.FATAL,
    ErrorCode.STEP_SKIPPED: Severity.WARN,
    ErrorCode.UNKNOWN_ERROR: Severity.FATAL,
}
"""The severity of each reserved code (§4)."""


_RECOVERABLE: Any = {
    "if": {"properties": {"severity": {"const": Severity.FATAL.value}}},
    "then": {"properties": {"recoverable": {"const": False}}},
    "else": {"properties": {"recoverable": {"const": True}}},
}


class ExecutionError(Record):
    """Why a step or a plan did not succeed (§3.1)."""

    model_config = ConfigDict(json_schema_extra=_RECOVERABLE)

    error_code: Annotated[str, Field(min_length=1, max_length=MAX_CODE)]
    message: Annotated[str, Field(max_length=MAX_MESSAGE)]
    step_id: Uuid4 | None = None
    severity: Annotated[Severity, Field(strict=False)]
    recoverable: bool
    cause: ExecutionError | None = None
    context: JsonObject = "{}"

    @model_validator(mode="after")
    def _recoverable_follows_severity(self) -> Self:
        if self.recoverable is (self.severity is Severity.FATAL):
            raise ValueError("recoverable must be true unless the severity is fatal")
        return self


def make_error(
    code: str,
    message: str,
    *,
    step_id: str | None = None,
    severity: Severity | None = None,
    cause: ExecutionError | None = None,
    context: Mapping[str, Any] | None = None,
) -> ExecutionError:
    """Build an error, whatever the message and the diagnostics are.

    Args:
        code: A reserved code, `STEP_ERROR` or a handler's own, 1 … 50 characters.
        message: For people; cut, with a mark, to 1000 characters (R21).
        step_id: The step it is about; None for the plan (R20).
        severity: By default that of the code in §4, `error` for codes not listed there.
        cause: What it follows from; chains are cut to 16 errors, with a mark (R21).
        context: Diagnostics; what has no JSON form is replaced by its `repr`.

    Raises:
        ValueError: The code or the step id is none.
    """
    if severity is None:
        severity = SEVERITIES.get(code, Severity.ERROR)
    return ExecutionError(
        error_code=str(code),
        message=cut_message(message),
        step_id=step_id,
        severity=severity,
        recoverable=severity is not Severity.FATAL,
        cause=None if cause is None else _cut_causes(cause, MAX_CAUSES - 1),
        context=_diagnostics(context) if context else "{}",
    )


def with_context(error: ExecutionError, **members: Any) -> ExecutionError:
    """The error with members set in its context; the others stay as they are."""
    context = merge(error.context, {name: _clean(members[name]) for name in members})
    return error.model_copy(update={"context": context})


def with_severity(error: ExecutionError, severity: Severity) -> ExecutionError:
    """The error with another severity, and `recoverable` derived from it."""
    recoverable = severity is not Severity.FATAL
    return error.model_copy(update={"severity": severity, "recoverable": recoverable})


def without_details(error: ExecutionError) -> ExecutionError:
    """The error and its causes without diagnostics: what remains is small."""
    cause = None if error.cause is None else without_details(error.cause)
    return error.model_copy(update={"cause": cause, "context": "{}"})


def cut_message(message: str) -> str:
    """The message in at most 1000 characters: cut, it ends in ` …[+N]` (R21)."""
    message = message.encode(errors="replace").decode()  # lone surrogates cannot travel
    if len(message) <= MAX_MESSAGE:
        return message
    kept = MAX_MESSAGE
    while kept + len(mark := f" …[+{len(message) - kept}]") > MAX_MESSAGE:
        kept = MAX_MESSAGE - len(mark)
    return message[:kept] + mark


def _cut_causes(error: ExecutionError, limit: int) -> ExecutionError:
    chain = [error]
    while (cause := chain[-1].cause) is not None:
        chain.append(cause)
    if len(chain) <= limit:
        return error
    dropped = len(chain) - limit + _causes_cut(chain[-1])
    last = with_context(chain[limit - 1], **{CAUSES_CUT: dropped})
    rebuilt = last.model_copy(update={"cause": None})
    for above in reversed(chain[: limit - 1]):
        rebuilt = above.model_copy(update={"cause": rebuilt})
    return rebuilt


def _causes_cut(error: ExecutionError) -> int:
    """How many causes an earlier cut has dropped below this error."""
    mark = raw_members(error.context).get(CAUSES_CUT, "0")
    return int(mark[:9]) if mark.isdecimal() else 0  # a handler may put anything there


def _diagnostics(context: Mapping[str, Any]) -> str:
    try:
        return dump(dict(context))
    except (TypeError, ValueError):
        return dump({_printable(name): _clean(context[name]) for name in context})


def _clean(value: Any) -> Any:
    """The value when it has a JSON form, else its repr: diagnostics never fail."""
    try:
        dump(value)
    except (TypeError, ValueError):
        return _printable(repr(value))
    return value


def _printable(text: Any) -> str:
    return str(text).encode(errors="replace").decode()
