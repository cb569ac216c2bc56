"""Hands failures to the error handler, again when it fails, and then gives up (R42).

It is at least once: a process that dies in the middle of a call is followed by one that
makes the call again. Failures of one partition come one after the other, so a failure
that is retried holds up those behind it, and nothing else: the pipeline does not wait
for its results to be read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from agents.core.retries import RetryTerms
from agents.dead_letters import dead_letter
from agents.effects import Headers, Outgoing, SourceRecord
from agents.error_calls import ErrorCalls, FailureNotice
from agents.failures import printable, text_of, title_of
from agents.publication import OWN_HEADERS
from schemas import codec
from schemas.results import PlanResult

log = logging.getLogger("planstream.error_handler")

HANDLER_FAILED = "HANDLER_FAILED"

Reject = Callable[[SourceRecord, Outgoing], Awaitable[None]]
Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ErrorPolicy:
    """How often a failure is handed over, and how large its dead letter may be.

    Attributes:
        max_attempts: Calls after which a failure is given up.
        backoff_ms: The pause before the second; each further one is twice as long.
        max_backoff_ms: The longest pause.
        max_bytes: How large a record is at most that a dead letter keeps whole.
    """

    max_attempts: int
    backoff_ms: int
    max_backoff_ms: int
    max_bytes: int

    def pause_s(self, attempt: int) -> float:
        """Seconds before an attempt (≥ 2)."""
        terms = RetryTerms(self.max_attempts, self.backoff_ms, 2.0, self.max_backoff_ms)
        return terms.delay_before(attempt) / 1000


class ErrorHandler:
    """Sees to it that each failure is handled, or becomes a dead letter.

    Args:
        calls: Makes one call.
        policy: See `ErrorPolicy`.
        reject: Sends a dead letter; returns when the broker has it.
        sleep: Waits for so many seconds.
    """

    def __init__(
        self,
        calls: ErrorCalls,
        policy: ErrorPolicy,
        reject: Reject,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._calls = calls
        self._policy = policy
        self._reject = reject
        self._sleep = sleep

    async def finish(self, record: SourceRecord) -> None:
        """Return when nothing more is to be done about a record of results.failure."""
        try:
            result = codec.decode(record.value, PlanResult)
        except codec.DecodeError as error:
            log.error("a record of %s is unreadable: %s", _place(record), error)
            await self._give_up(record, str(error.reason), str(error))
            return
        last = await self._call_often(record, result)
        if last is not None:
            log.error(
                "the error handler failed %d times with plan %s: %s is a dead letter",
                self._policy.max_attempts,
                result.plan_id,
                _place(record),
                exc_info=last,
            )
            await self._give_up(record, HANDLER_FAILED, title_of(last), last)

    async def _call_often(
        self, record: SourceRecord, result: PlanResult
    ) -> BaseException | None:
        """Call until it succeeds; give the error of the last attempt that may be."""
        correlation = correlation_of(record.headers)
        attempt = 1
        while True:
            notice = FailureNotice(result, correlation, attempt)
            error = await self._calls.call(notice)
            if error is None or attempt >= self._policy.max_attempts:
                return error
            attempt += 1
            pause_s = self._policy.pause_s(attempt)
            log.warning(
                "the error handler failed with plan %s: %s; attempt %d in %g s",
                result.plan_id,
                title_of(error),
                attempt,
                pause_s,
            )
            await self._sleep(pause_s)

    async def _give_up(
        self,
        record: SourceRecord,
        reason: str,
        detail: str,
        error: BaseException | None = None,
    ) -> None:
        letter = dead_letter(record, reason, detail, self._policy.max_bytes)
        if error is not None:
            headers = [*letter.headers, *_error_headers(error)]
            letter = replace(letter, headers=headers)
        await self._reject(record, letter)


def correlation_of(headers: Headers) -> dict[str, str]:
    """Read the plan's correlation context: what follows our own headers (R41)."""
    return {
        name: (value or b"").decode("utf-8", "replace")
        for name, value in headers[OWN_HEADERS:]
    }


def _error_headers(error: BaseException) -> Headers:
    kind = type(error)
    return [
        ("error-type", f"{kind.__module__}.{kind.__qualname__}".encode()),
        ("error-message", printable(text_of(error)).encode()),
    ]


def _place(record: SourceRecord) -> str:
    return f"{record.topic}/{record.partition} at {record.offset}"
