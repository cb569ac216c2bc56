"""Timeouts, and handlers that do not want to end."""

from __future__ import annotations

import time

import pytest

from tests.unit.worker.harness import TOPIC, bench, eventually, in_loop
from tests.unit.worker.sleepers import again, log, registry

PARTITION = (TOPIC, 0)


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
async def test_an_older_attempt_is_made_after_a_newer_one() -> None:
    """Who asks for it knows nothing of the newer one, and waits for its answer.

    A coordinator dies while what made it ask for the newer attempt is not committed:
    its successor goes back, and may ignore the newer one's outcome.
    """
    async with bench(registry) as b:
        given = b.offer("sleep", {"seconds": 0.2}, attempt=2)
        await eventually(lambda: ("start", 2) in log.said())
        again(b, given, 1)
        await b.answered(2)
        await eventually(lambda: b.engine.committable() == {PARTITION: 2})
        assert log.said() == [("start", 2), ("start", 1)]
        assert [each.attempt for each in b.sink.succeeded] == [2, 1]


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
