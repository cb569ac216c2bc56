"""Halts, revoked partitions and the end of a worker."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from agents.scheduling import Lane, Position, Ticket
from schemas.steps import StepFailed, StepSucceeded
from tests.unit.worker.harness import TOPIC, bench, eventually, in_loop
from tests.unit.worker.sleepers import again, log, registry

PARTITION = (TOPIC, 0)


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

    @pytest.mark.interpreted
    @in_loop
    async def test_many_halts_look_once_through_what_waits(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Else thousands of them, under a full window, stop the loop for seconds."""
        looks = 0
        remove = Lane.remove

        def counted(lane: Lane, unwanted: Any) -> list[Ticket]:
            nonlocal looks
            looks += 1
            return remove(lane, unwanted)

        async with bench(registry, concurrency=1) as b:
            b.offer("sleep", {"seconds": 0.1})
            given = [b.offer("echo")["execution_id"] for _ in range(20)]
            await eventually(log.said)
            monkeypatch.setattr(Lane, "remove", counted)
            b.engine.halt(*given, *(f"stranger {each}" for each in range(1000)))
            assert b.engine.load().waiting == 0
            assert looks == 2
            await eventually(lambda: b.engine.committable() == {PARTITION: 21})

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
            assert b.fatal == []

    @in_loop
    async def test_an_announcement_that_is_given_up_is_still_delivered(self) -> None:
        """Its acknowledgement is that of other outcomes too: it must not be cancelled.

        Else a worker that finds attempts 1 and 2 of a step ends, again and again.
        """
        async with bench(registry) as b:
            b.sink.is_holding = True
            given = b.offer("echo", redelivered=True)
            await eventually(lambda: b.sink.started)
            again(b, given, 2)
            await b.answered()
            assert not any(each.cancelled() for each in b.sink.pending)
            b.sink.release()
            await eventually(lambda: b.engine.committable() == {PARTITION: 2})
            assert [each.attempt for each in b.sink.succeeded] == [2]
            assert b.fatal == []

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
