from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from agents import FailureNotice, HandlerError
from agents.discovery import find_callable
from agents.effects import Headers, Outgoing
from agents.error_calls import CallTimeout, ErrorCalls
from agents.error_handler import ErrorHandler, ErrorPolicy
from schemas.codec import encode
from schemas.errors import Severity, make_error
from schemas.results import PlanResult, Status

PLAN = "7d1f6f4e-9c4a-4c8e-8f0e-3a1b2c3d4e5f"
POLICY = ErrorPolicy(
    max_attempts=4, backoff_ms=1_000, max_backoff_ms=3_000, max_bytes=1_000_000
)


class Record(NamedTuple):
    """A record of results.failure."""

    value: bytes | None
    key: bytes | None = PLAN.encode()
    headers: Headers = (
        ("execution_id", b"e"),
        ("status", b"failure"),
        ("status", b"mine"),
        ("tenant", b"acme"),
    )
    topic: str = "p.results.failure"
    partition: int = 3
    offset: int = 17
    timestamp: int = 5


def result() -> PlanResult:
    """That of a plan that failed."""
    return PlanResult(
        plan_id=PLAN,
        execution_id=PLAN,
        status=Status.FAILURE,
        completed_at=2,
        duration_ms=1,
        steps_executed=0,
        steps_total=1,
        result_payload={},
        error=make_error("BROKEN", "it broke", severity=Severity.FATAL),
    )


def failure() -> Record:
    """The record of a plan that failed."""
    return Record(encode(result()))


class Bench:
    """An error handler over a fake sink, whose pauses take no time."""

    def __init__(self, function: Callable[[FailureNotice], Any], **limits: Any) -> None:
        self.letters: list[tuple[Any, Outgoing]] = []
        self.pauses: list[float] = []
        self.fatal: list[str] = []
        limits = {"timeout_s": 5.0, "grace_s": 0.05, **limits}
        self.calls = ErrorCalls(function, fatal=self.fatal.append, **limits)
        self.handler = ErrorHandler(self.calls, POLICY, self._reject, self._sleep)

    def finish(self, record: Record) -> None:
        """Hand a record over, until it is finished."""
        asyncio.run(self.handler.finish(record))

    async def _reject(self, record: Any, letter: Outgoing) -> None:
        self.letters.append((record, letter))

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)


def test_it_is_told_of_the_result_and_the_plans_own_headers() -> None:
    """R42, R41: typed; of the headers, what the submitter gave."""
    told: list[FailureNotice] = []
    bench = Bench(told.append)
    bench.finish(failure())

    (notice,) = told
    assert notice.result.plan_id == PLAN
    assert notice.result.error is not None
    assert notice.result.error.error_code == "BROKEN"
    assert notice.correlation_context == {"status": "mine", "tenant": "acme"}
    assert notice.attempt == 1
    assert not bench.letters


def test_it_is_told_again_after_pauses_that_double_up_to_a_limit() -> None:
    """The failing attempts leave no dead letter when a later one succeeds."""
    attempts: list[int] = []

    async def fails_thrice(notice: FailureNotice) -> None:
        attempts.append(notice.attempt)
        if notice.attempt < 4:
            raise OSError("away")

    bench = Bench(fails_thrice)
    bench.finish(failure())

    assert attempts == [1, 2, 3, 4]
    assert bench.pauses == [1.0, 2.0, 3.0]
    assert not bench.letters


def test_what_keeps_failing_is_given_up() -> None:
    """After `max_attempts` calls: key, value, headers as they were, then the reason."""

    def fails(notice: FailureNotice) -> None:
        raise OSError("away " * 1000)

    bench = Bench(fails)
    record = failure()
    bench.finish(record)

    ((rejected, letter),) = bench.letters
    assert rejected is record
    assert (letter.key, letter.value) == (record.key, record.value)
    assert list(letter.headers[:4]) == list(record.headers)
    added = {name: value or b"" for name, value in letter.headers[4:]}
    assert added["reason"] == b"HANDLER_FAILED"
    assert added["reason-detail"].startswith(b"OSError: away")
    assert added["source-topic"] == b"p.results.failure"
    assert added["source-offset"] == b"17"
    assert added["error-type"] == b"builtins.OSError"
    assert added["error-message"].startswith(b"away away")
    assert len(added["error-message"]) < 1010
    assert len(bench.pauses) == 3


@pytest.mark.parametrize("value", [None, b"", b"garbage", b"{}"])
def test_what_cannot_be_read_is_given_up_at_once(value: bytes | None) -> None:
    """Nobody is told; the reason says that it is unreadable."""
    told: list[FailureNotice] = []
    bench = Bench(told.append)
    bench.finish(Record(value))

    ((_, letter),) = bench.letters
    assert letter.value == value
    assert dict(letter.headers)["reason"] == b"MALFORMED"
    assert not told
    assert not bench.pauses


@pytest.mark.parametrize(
    "error",
    [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), ValueError()],
)
@pytest.mark.parametrize("kind", ["async", "plain"])
def test_whatever_leaves_it_is_its_failure(error: BaseException, kind: str) -> None:
    """As R26 says of step handlers: the process goes on."""

    async def raises(notice: FailureNotice) -> None:
        raise error

    def raises_plainly(notice: FailureNotice) -> None:
        raise error

    bench = Bench(raises if kind == "async" else raises_plainly)
    bench.finish(failure())

    ((_, letter),) = bench.letters
    headers = {name: value or b"" for name, value in letter.headers}
    assert headers["error-type"].endswith(type(error).__name__.encode())


def call(bench: Bench) -> BaseException | None:
    """Make one call."""
    notice = FailureNotice(result())
    return asyncio.run(bench.calls.call(notice))


def test_an_async_function_is_cancelled_at_its_limit() -> None:
    """It may clean up; the call has failed."""
    cancelled: list[bool] = []

    async def hangs(notice: FailureNotice) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.append(True)

    bench = Bench(hangs, timeout_s=0.05)
    assert isinstance(call(bench), CallTimeout)
    assert cancelled
    assert not bench.fatal


def test_a_plain_function_is_not_waited_for_past_its_limit() -> None:
    """Its thread goes on, and what it returns later is nobody's."""
    gate = threading.Event()

    def blocks(notice: FailureNotice) -> None:
        gate.wait(30)

    bench = Bench(blocks, timeout_s=0.05)
    began = time.monotonic()
    try:
        assert isinstance(call(bench), CallTimeout)
        assert time.monotonic() - began < 10
    finally:
        gate.set()


def test_too_many_calls_that_run_on_are_fatal() -> None:
    """A process that only gathers threads is better started again."""
    gate = threading.Event()

    def blocks(notice: FailureNotice) -> None:
        gate.wait(30)

    async def scenario(bench: Bench) -> None:
        notice = FailureNotice(result())
        await asyncio.gather(*[bench.calls.call(notice) for _ in range(16)])
        assert not bench.fatal
        await bench.calls.call(notice)

    bench = Bench(blocks, timeout_s=0.05)
    try:
        asyncio.run(scenario(bench))
        assert "17 calls" in bench.fatal[0]
    finally:
        gate.set()


def test_a_plain_function_that_returns_a_coroutine_has_failed() -> None:
    """Nobody would await it, and nobody would be told."""

    async def inner() -> None:
        """Never runs."""

    error = call(Bench(lambda notice: inner()))
    assert isinstance(error, TypeError)


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("no.such.module:tell", "does not import"),
        ("json:tell", "has no 'tell'"),
        ("sys:path", "function of one argument"),
        ("time:time", "function of one argument"),
    ],
)
def test_a_callable_that_is_none_is_refused_at_the_start(path: str, what: str) -> None:
    """One line says which and why."""
    with pytest.raises(HandlerError, match=what):
        find_callable(path)


def test_a_callable_is_found_in_its_module() -> None:
    """Also as a member of something in it."""
    assert find_callable("json:loads").__name__ == "loads"
    assert find_callable("os:path.basename").__name__ == "basename"
