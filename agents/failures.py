"""What becomes of whatever leaves a handler: a failure with a code (R6, R21, R26)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from types import FrameType, TracebackType
from typing import Any, Self

from agents.serialization import TooLarge, Unencodable, dump_json
from schemas.errors import (
    MAX_CODE,
    RESERVED_CODES,
    STEP_ERROR,
    ErrorCode,
    ExecutionError,
    Severity,
    cut_message,
    make_error,
)

LAST_FRAMES = 5
CAUSE_DEPTH = 64
"""Causes looked at: a chain may be a ring. The record keeps 16 (R21)."""
CONTEXT_LIMIT = 16 * 1024
"""Characters of diagnostics that a handler may add to an error."""

_SEVERITIES = (Severity.ERROR, Severity.FATAL)


class ActionError(Exception):
    """A handler raises this to fail its step with a code of its own.

        raise ActionError("CARD_DECLINED", "the issuer said no")

    The plan's `retryable_error_codes` and the step's `on_failure` decide what
    becomes of the plan. `raise ActionError(...) from error` keeps the reason as the
    error's `cause`.

    Args:
        code: 1 … 50 characters, none of the reserved codes of §4.
        message: What happened, for people; cut at 1000 characters.
        severity: `error` (the step's `on_failure` decides) or `fatal` (the plan
            fails whatever its policies say).
        context: Diagnostics to find again in the error's `context`: any JSON.

    Raises:
        ValueError: The code or the severity is none a handler may use (R25).
    """

    def __init__(
        self,
        code: str,
        message: str = "",
        *,
        severity: str = Severity.ERROR,
        context: Mapping[str, Any] | None = None,
    ) -> None:
        check_code(code)
        if severity not in _SEVERITIES:
            raise ValueError(f"severity {severity!r} is neither 'error' nor 'fatal'")
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.severity = Severity(severity)
        self.context = dict(context or {})

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def check_code(code: object) -> None:
    """Raises ValueError for a code that a handler may not use (R25)."""
    if not isinstance(code, str) or not 1 <= len(code) <= MAX_CODE:
        raise ValueError(f"a code has 1 to {MAX_CODE} characters, not {code!r:.100}")
    if printable(code) != code:
        raise ValueError(f"the code {code!r} has characters that cannot be sent")
    if code in RESERVED_CODES:
        raise ValueError(f"{code} is reserved for planstream itself")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed, before attempt, worker and times are added."""

    code: str
    message: str
    severity: str
    context: dict[str, Any] = field(default_factory=dict)
    cause: Failure | None = None

    @classmethod
    def fatal(cls, code: ErrorCode, message: str, **context: Any) -> Self:
        """A failure that ends the plan whatever its policies say."""
        return cls(code, message, Severity.FATAL, context)

    @classmethod
    def of_dict(cls, members: dict[str, Any]) -> Self:
        """The failure that `as_dict` was made of."""
        cause = members.pop("cause")
        return cls(**members, cause=None if cause is None else cls.of_dict(cause))

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON, for the way out of a child process."""
        return asdict(self)

    def with_context(self, **members: Any) -> Self:
        """The same failure with more diagnostics (§6.7)."""
        return replace(self, context={**self.context, **members})

    def error(self, step_id: str) -> ExecutionError:
        """The record that goes into the outcome (§3.1)."""
        try:
            return self._error(step_id)
        except ValueError as error:  # somebody changed an ActionError once it was built
            unfit = Failure.fatal(
                ErrorCode.UNKNOWN_ERROR, f"the handler's error cannot be sent: {error}"
            )
            return unfit.with_context(**self.context).error(step_id)

    def _error(self, step_id: str) -> ExecutionError:
        return make_error(
            self.code,
            self.message,
            step_id=step_id,
            severity=Severity(self.severity),
            cause=None if self.cause is None else self.cause.error(step_id),
            context=self.context,
        )


class StepUnfit(Exception):
    """An attempt that planstream itself ends, because of its payload or its worker."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def failure_of(exception: BaseException, depth: int = CAUSE_DEPTH) -> Failure:
    """Classifies what left a handler; never raises (R6, R26)."""
    match exception:
        case StepUnfit():
            return exception.failure
        case ActionError():
            failure = _of_action_error(exception)
        case Unencodable():
            return _of_result(exception, ErrorCode.UNKNOWN_ERROR)
        case TooLarge():
            return _of_result(exception, ErrorCode.RESOURCE_EXHAUSTED)
        case MemoryError():
            failure = _of_memory_error(exception)
        case _:
            failure = _of_exception(exception)
    cause = exception.__cause__
    if cause is None or depth == 0:
        return failure
    return replace(failure, cause=failure_of(cause, depth - 1))


def text_of(exception: BaseException) -> str:
    """What an exception says, as far as a record can carry it."""
    try:
        text = cut_message(str(exception))
    except BaseException:  # noqa: BLE001 (a broken __str__ is the handler's failure too)
        return "(its message cannot be read)"
    if isinstance(exception, BaseExceptionGroup):
        inner = "; ".join(map(title_of, islice(_leaves(exception), 3)))
        return f"{text}: {inner}"
    return text


def title_of(exception: BaseException) -> str:
    """An exception in one line: its type and what it says."""
    text = text_of(exception)
    return f"{type(exception).__name__}: {text}" if text else type(exception).__name__


def printable(text: str) -> str:
    """The text without lone surrogates, which no record can carry."""
    return text.encode("utf-8", "replace").decode()


def _of_action_error(error: ActionError) -> Failure:
    message = cut_message(str(error.message))
    return Failure(error.code, message, error.severity, _bounded(error.context))


def _of_result(error: Exception, code: ErrorCode) -> Failure:
    return Failure.fatal(code, printable(f"the handler's result {error}"))


def _of_memory_error(error: MemoryError) -> Failure:
    message = f"the handler ran out of memory: {title_of(error)}"
    return Failure(
        ErrorCode.RESOURCE_EXHAUSTED, message, Severity.FATAL, _diagnostics(error)
    )


def _of_exception(exception: BaseException) -> Failure:
    message = title_of(exception)
    return Failure(STEP_ERROR, message, Severity.ERROR, _diagnostics(exception))


def _diagnostics(exception: BaseException) -> dict[str, Any]:
    kind = type(exception)
    return {
        "exception": f"{kind.__module__}.{kind.__qualname__}",
        "frames": frames_of(exception.__traceback__),
    }


def frames_of(traceback: TracebackType | None) -> list[str]:
    """The innermost frames, outermost first, without planstream's own."""
    places = [
        f"{frame.f_code.co_filename}:{line} in {frame.f_code.co_name}"
        for frame, line in _walk(traceback)
        if not _is_own(frame)
    ]
    return [printable(place) for place in places[-LAST_FRAMES:]]


def _walk(traceback: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    while traceback is not None:
        yield traceback.tb_frame, traceback.tb_lineno
        traceback = traceback.tb_next


def _is_own(frame: FrameType) -> bool:
    """By its module: frames of what is compiled know no whole path."""
    return str(frame.f_globals.get("__name__")).startswith(_OWN_PACKAGE)


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for exception in group.exceptions:
        if isinstance(exception, BaseExceptionGroup):
            yield from _leaves(exception)
        else:
            yield exception


def _bounded(context: Mapping[str, Any]) -> dict[str, Any]:
    """What a handler wants in the error's context, if it can be carried there."""
    try:
        dump_json(context, CONTEXT_LIMIT)
    except (Unencodable, TooLarge) as error:
        return {"context_dropped": printable(f"it {error}")}
    return dict(context)


_OWN_PACKAGE = __name__.removesuffix("failures")
