"""Timeouts, halts and handlers that do not want to end."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from agents import StepContext
from agents.handlers import Registry
from agents.scheduling import Position
from schemas.steps import StepFailed, StepSucceeded
from tests.unit.worker.harness import TOPIC, Bench, bench, eventually, in_loop

PARTITION = (TOPIC, 0)


class Log:
    """What handlers did, and when."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, int, float]] = []

    def add(self, what: str, step: StepContext) -> None:
        self.lines.append((what, step.attempt, time.monotonic()))

    def said(self) -> list[tuple[str, int]]:
        return [(what, attempt) for what, attempt, _ in self.lines]

    def at(self, what: str, attempt: int) -> float:
        return next(t for w, a, t in self.lines if (w, a) == (what, attempt))


log = Log()
registry = Registry()


@pytest.fixture(autouse=True)
def fresh_log() -> None:
    log.lines.clear()


@registry.action("sleep")
async def sleep(step: StepContext, payload: dict[str, Any]) -> str:
    log.add("start", step)
    try:
        await asyncio.sleep(payload.get("seconds", 60))
    except asyncio.CancelledError:
        log.add("cancelled", step)
        await asyncio.sleep(payload.get("cleanup", 0))
        log.add("clean", step)
        raise
    return "slept"


@registry.action("stubborn")
async def stubborn(step: StepContext, payload: dict[str, Any]) -> str:
    log.add("start", step)
    until = time.monotonic() + payload["seconds"]
    while time.monotonic() < until:
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            log.add("swallowed", step)
    log.add("end", step)
    step.warn("TOO_LATE", "nobody listens")
    return "too late"


@registry.action("deaf")
async def deaf(step: StepContext) -> str:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        return "as if nothing had been"
    return ""


@registry.action("blunt")
async def blunt(step: StepContext) -> None:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        raise SystemExit(1) from None


@registry.action("echo")
async def echo(step: StepContext, payload: dict[str, Any]) -> Any:
    log.add("start", step)
    return payload


def again(b: Bench, given: dict[str, Any], attempt: int) -> None:
    """Offers another attempt of the same step."""
    position = Position(TOPIC, 0, b.offset)
    b.offset += 1
    request = dict(given, attempt=attempt)
    b.engine.offer(position, request, 0.0, redelivered=False)


@in_loop
async def test_the_limit_is_hard() -> None:
    """§6.9: STEP_TIMEOUT at the limit; the severity is the coordinator's (R4)."""
    async with bench(registry) as b:
        before = time.monotonic()
        outcome = await b.run("sleep", timeout_ms=150)
        assert 0.15 <= time.monotonic() - before < 0.8
        assert outcome.error.error_code == "STEP_TIMEOUT"
        assert outcome.error.severity == "error"
        assert 150 <= outcome.ended_at - outcome.started_at < 800
        await eventually(lambda: ("clean", 1) in log.said())
        assert [each for each, _ in log.said()] == ["start", "cancelled", "clean"]
        await eventually(lambda: b.engine.committable() == {PARTITION: 1})


@pytest.mark.parametrize("action", ["deaf", "blunt"])
@in_loop
async def test_what_a_handler_does_with_its_cancellation_is_no_outcome(
    action: str,
) -> None:
    """R30: the timeout stands."""
    async with bench(registry) as b:
        outcome = await b.run(action, timeout_ms=50)
        assert outcome.error.error_code == "STEP_TIMEOUT"
        await eventually(lambda: b.engine.load().running == 0)
        assert len(b.sink.records) == 1


@in_loop
async def test_an_outcome_is_on_time_whatever_the_handler_does() -> None:
    """R30: also when it swallows its cancellation; its late words are lost."""
    async with bench(registry, grace=0.2) as b:
        before = time.monotonic()
        outcome = await b.run("stubborn", {"seconds": 0.9}, timeout_ms=100)
        assert time.monotonic() - before < 0.8
        assert outcome.error.error_code == "STEP_TIMEOUT"
        assert b.engine.load().leaked == 0, "not before the grace is over"
        await eventually(lambda: b.engine.load().leaked == 1)
        await eventually(lambda: ("end", 1) in log.said())
        await eventually(lambda: b.engine.load().leaked == 0)
        assert b.sink.warned == []
        assert len(b.sink.failed) == 1
        assert b.sink.succeeded == []
        assert b.fatal == []


@in_loop
async def test_too_many_leaks_are_fatal() -> None:
    """A worker full of handlers that nobody can end is started anew."""
    async with bench(registry, grace=0.05, max_leaked=2) as b:
        for _ in range(2):
            b.offer("stubborn", {"seconds": 1}, timeout_ms=20)
        await eventually(lambda: b.engine.load().leaked == 2)
        assert b.fatal == []
        b.offer("stubborn", {"seconds": 1}, timeout_ms=20)
        await eventually(lambda: b.fatal)
        assert b.fatal == ["3 handlers swallowed their cancellation; 2 may"]


@in_loop
async def test_a_leak_gives_its_place_back() -> None:
    """Else a few of them would stop the worker silently."""
    async with bench(registry, grace=0.05, concurrency=1) as b:
        b.offer("stubborn", {"seconds": 1}, timeout_ms=20)
        await b.answered()
        await b.run("echo")
        assert b.engine.load().leaked == 1


@in_loop
async def test_the_next_attempt_waits_for_the_end_of_the_last() -> None:
    """R30: two attempts of a step do not run at once on a worker."""
    async with bench(registry) as b:
        given = b.offer("sleep", {"cleanup": 0.3}, timeout_ms=50)
        await b.answered()
        again(b, given, 2)
        await eventually(lambda: ("start", 2) in log.said())
        assert log.said()[:4] == [
            ("start", 1),
            ("cancelled", 1),
            ("clean", 1),
            ("start", 2),
        ]


@in_loop
async def test_the_next_attempt_waits_no_longer_than_the_grace() -> None:
    """R30: a handler that does not end holds up its step for a second, not for ever."""
    async with bench(registry, grace=0.3) as b:
        given = b.offer("stubborn", {"seconds": 1.5}, timeout_ms=50)
        await b.answered()
        timed_out = time.monotonic()
        again(b, given, 2)
        await eventually(lambda: ("start", 2) in log.said())
        assert 0.25 <= log.at("start", 2) - timed_out < 1


@in_loop
async def test_a_newer_attempt_ends_an_older_one() -> None:
    """The coordinator has given up on it; its answer would come too late."""
    async with bench(registry) as b:
        given = b.offer("sleep", {"seconds": 0.5})
        await eventually(lambda: ("start", 1) in log.said())
        again(b, given, 2)
        await b.answered()
        assert [each.attempt for each in b.sink.succeeded] == [2]
        assert log.said()[:4] == [
            ("start", 1),
            ("cancelled", 1),
            ("clean", 1),
            ("start", 2),
        ]
        await eventually(lambda: b.engine.committable() == {PARTITION: 2})


@in_loop
async def test_an_older_attempt_is_not_made_beside_a_newer_one() -> None:
    """A request that comes again after its end is in the log."""
    async with bench(registry) as b:
        given = b.offer("sleep", {"seconds": 0.2}, attempt=2)
        await eventually(lambda: ("start", 2) in log.said())
        again(b, given, 1)
        await b.answered()
        await eventually(lambda: b.engine.committable() == {PARTITION: 2})
        assert log.said() == [("start", 2)]


@in_loop
async def test_waiting_does_not_count() -> None:
    """R10: a step's own limit runs from the start of its handler."""
    async with bench(registry, concurrency=1) as b:
        b.offer("sleep", {"seconds": 0.3})
        b.offer("echo", timeout_ms=50)
        await b.answered(2)
        assert len(b.sink.succeeded) == 2


@pytest.mark.parametrize("timeout_ms", [None, 60_000])
@in_loop
async def test_the_plans_limit_is_left_to_the_coordinator(
    timeout_ms: int | None,
) -> None:
    """R31: no STEP_TIMEOUT; past the deadline and the slack it ends silently."""
    async with bench(registry, deadline_slack=0.2) as b:
        deadline_ms = int(time.time() * 1000) + 100
        b.offer("sleep", deadline_ms=deadline_ms, timeout_ms=timeout_ms)
        before = time.monotonic()
        await eventually(lambda: ("clean", 1) in log.said())
        assert 0.25 <= time.monotonic() - before < 1.5
        await eventually(lambda: b.engine.committable() == {PARTITION: 1})
        assert b.sink.failed == []


@in_loop
async def test_a_request_of_a_plan_that_is_long_over_is_not_run() -> None:
    """Its halt did not come by here; nobody waits for the answer."""
    async with bench(registry, deadline_slack=0.2) as b:
        b.offer("echo", deadline_ms=int(time.time() * 1000) - 1000)
        await eventually(lambda: b.engine.committable() == {PARTITION: 1})
        assert log.said() == []
        assert b.sink.records == []


@in_loop
async def test_many_limits_are_met() -> None:
    """One timer serves them all."""
    async with bench(registry, concurrency=200) as b:
        for number in reversed(range(100)):
            b.offer("sleep", timeout_ms=50 + 3 * number)
        await b.answered(100)
        late = [
            each.ended_at - each.started_at - int(each.error.message.split()[-2])
            for each in b.sink.failed
        ]
        assert min(late) >= -1
        assert sorted(late)[50] < 50


class TestHalts:
    """No attempt of the execution is wanted any longer."""

    @in_loop
    async def test_running_attempts_are_cancelled(self) -> None:
        """Silently: the plan has its result."""
        async with bench(registry) as b:
            given = b.offer("sleep")
            b.offer("sleep", {"seconds": 0.2})
            await eventually(lambda: len(log.said()) == 2)
            b.engine.halt(given["execution_id"])
            await eventually(lambda: ("clean", 1) in log.said())
            await b.answered()
            await eventually(lambda: b.engine.committable() == {PARTITION: 2})
            assert len(b.sink.succeeded) == 1
            assert b.sink.failed == []

    @in_loop
    async def test_waiting_requests_are_dropped(self) -> None:
        """And counted as finished."""
        async with bench(registry, concurrency=1) as b:
            b.offer("sleep", {"seconds": 0.1})
            given = b.offer("echo")
            b.offer("echo", {"kept": True})
            await eventually(log.said)
            b.engine.halt(given["execution_id"])
            assert b.engine.load().waiting == 1
            await b.answered(2)
            await eventually(lambda: b.engine.committable() == {PARTITION: 3})
            assert b.sink.results == ["slept", {"kept": True}]

    @in_loop
    async def test_later_requests_are_dropped_too(self) -> None:
        """Requests and halts travel on different topics."""
        async with bench(registry) as b:
            execution = "b0000000-0000-4000-8000-000000000001"
            b.engine.halt(execution)
            b.offer("echo", execution_id=execution)
            await b.run("echo")
            await eventually(lambda: b.engine.committable() == {PARTITION: 2})
            assert len(b.sink.records) == 1

    @in_loop
    async def test_an_announcement_under_way_is_halted(self) -> None:
        """The handler does not run once the announcement is in the log."""
        async with bench(registry) as b:
            b.sink.is_holding = True
            given = b.offer("echo", redelivered=True)
            await eventually(lambda: b.sink.started)
            b.engine.halt(given["execution_id"])
            b.sink.release()
            await eventually(lambda: b.engine.load().running == 0)
            await eventually(lambda: b.engine.committable() == {PARTITION: 1})
            assert log.said() == []

    @in_loop
    async def test_attempts_that_wait_for_an_earlier_one_are_dropped(self) -> None:
        """They have not started; nobody wants them."""
        async with bench(registry) as b:
            given = b.offer("sleep", {"cleanup": 0.2}, timeout_ms=50)
            await b.answered()
            again(b, given, 2)
            await asyncio.sleep(0.02)
            b.engine.halt(given["execution_id"])
            await eventually(lambda: b.engine.load().running == 0)
            await eventually(lambda: b.engine.committable() == {PARTITION: 2})
            assert ("start", 2) not in log.said()

    @in_loop
    async def test_a_handler_that_swallows_its_halt_is_a_leak(self) -> None:
        """As with a timeout."""
        async with bench(registry, grace=0.1) as b:
            given = b.offer("stubborn", {"seconds": 0.6})
            await eventually(log.said)
            b.engine.halt(given["execution_id"])
            await eventually(lambda: b.engine.load().leaked == 1)
            await eventually(lambda: b.engine.load().leaked == 0)
            assert b.sink.succeeded == []


class TestRevoke:
    """Partitions that are another worker's now."""

    @in_loop
    async def test_waiting_requests_go_and_running_ones_are_answered(self) -> None:
        """A duplicate answer folds to nothing; a missing one costs a redelivery."""
        async with bench(registry, concurrency=1) as b:
            b.offer("sleep", {"seconds": 0.2}, partition=0)
            await eventually(log.said)
            b.offer("echo", {"lost": True}, partition=0)
            b.offer("echo", {"kept": True}, partition=1)
            b.engine.revoke({(TOPIC, 0)})
            await b.answered(2)
            assert b.sink.results == ["slept", {"kept": True}]
            await asyncio.sleep(0.02)
            assert b.engine.committable() == {(TOPIC, 1): 3}
            assert b.engine.room() == 1000

    @in_loop
    async def test_a_partition_that_comes_back_is_read_from_its_mark(self) -> None:
        """The request that runs on is joined by its redelivery."""
        async with bench(registry) as b:
            given = b.offer("sleep", {"seconds": 0.2})
            await eventually(log.said)
            b.engine.revoke({PARTITION})
            b.engine.offer(Position(TOPIC, 0, 0), dict(given), 0.0, redelivered=True)
            assert b.engine.committable() == {}
            await b.answered()
            await eventually(lambda: b.engine.committable() == {PARTITION: 1})
            assert log.said() == [("start", 1)]


class TestStop:
    """A worker that goes in peace."""

    @in_loop
    async def test_with_enough_time_what_runs_is_finished(self) -> None:
        """Answered and acknowledged; what waits is left to others."""
        async with bench(registry, concurrency=1) as b:
            b.offer("sleep", {"seconds": 0.2})
            b.offer("echo")
            await eventually(log.said)
            before = time.monotonic()
            await b.engine.stop(5)
            assert time.monotonic() - before < 1
            assert b.sink.results == ["slept"]
            assert b.engine.committable() == {PARTITION: 1}

    @in_loop
    async def test_outcomes_on_their_way_are_waited_for(self) -> None:
        """An answer that nobody acknowledged is no answer."""
        async with bench(registry) as b:
            b.sink.is_holding = True
            b.offer("echo")
            await b.answered()
            asyncio.get_running_loop().call_later(0.2, b.sink.release)
            await b.engine.stop(5)
            assert b.engine.committable() == {PARTITION: 1}

    @in_loop
    async def test_without_enough_time_what_runs_is_cut_off_unanswered(self) -> None:
        """It will be redelivered, under the same attempt's number (R29)."""
        async with bench(registry) as b:
            b.offer("sleep")
            await eventually(log.said)
            before = time.monotonic()
            await b.engine.stop(0.2)
            assert 0.2 <= time.monotonic() - before < 1
            assert log.said()[-1] == ("clean", 1)
            assert b.sink.of(StepSucceeded) == b.sink.of(StepFailed) == []
            assert b.engine.committable() == {}

    @in_loop
    async def test_stubborn_handlers_do_not_hold_up_the_end(self) -> None:
        """Once the grace is over, the process may go."""
        async with bench(registry, grace=0.2) as b:
            b.offer("stubborn", {"seconds": 1.5})
            await eventually(log.said)
            before = time.monotonic()
            await b.engine.stop(0.1)
            assert time.monotonic() - before < 0.8

    @in_loop
    async def test_nothing_is_taken_afterwards(self) -> None:
        """Requests that come while it stops are for others."""
        async with bench(registry) as b:
            await b.engine.stop(1)
            b.offer("echo")
            b.engine.skip(Position(TOPIC, 0, 1))
            await asyncio.sleep(0.02)
            assert b.sink.records == []
            assert b.engine.committable() == {}
