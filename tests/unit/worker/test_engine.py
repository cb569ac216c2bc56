"""Requests in, outcomes out, and the mark that may be committed."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from agents import HandlerError, StepContext
from agents.handlers import Registry
from agents.scheduling import Position
from tests.unit.worker.harness import TOPIC, bench, eventually, in_loop
from tests.unit.worker.quick import registry

PARTITION = (TOPIC, 0)


@in_loop
async def test_a_request_is_answered_with_its_own_reference() -> None:
    """The outcome tells whose attempt it was, who made it, when and with what."""
    before = int(time.time() * 1000)
    async with bench(registry) as b:
        given = b.offer("echo", {"a": [1, None]}, attempt=3, step_number=7)
        await b.answered()
        outcome = b.sink.succeeded[0]
        for name in ("plan_id", "execution_id", "step_id", "step_number", "attempt"):
            assert getattr(outcome, name) == given[name]
        assert outcome.worker == "worker-1"
        assert outcome.result == '{"a":[1,null]}'
        assert before <= outcome.started_at <= outcome.ended_at
        assert b.sink.records == [outcome], "a short attempt is not announced"
        assert b.fatal == []


@in_loop
async def test_a_handler_learns_whose_step_it_makes() -> None:
    """Everything §6 of the design lists."""
    async with bench(registry) as b:
        given = b.offer(
            "whoami",
            attempt=2,
            user_id="ada",
            request_id="r-1",
            correlation_context={"tenant": "t"},
            timeout_ms=5000,
        )
        await b.answered()
        told = b.sink.results[0]
    assert told["ids"] == [given[n] for n in ("plan_id", "execution_id", "step_id")]
    assert told["attempt"] == 2
    assert told["key"] == f"{given['execution_id']}:{given['step_id']}"
    assert told["region"] == "eu"
    assert told["user"] == ["ada", "r-1", {"tenant": "t"}]
    assert 4 < told["remaining"] <= 5


@in_loop
async def test_remaining_is_to_the_nearer_limit() -> None:
    """The plan may end before the step's own limit."""
    async with bench(registry) as b:
        soon = int(time.time() * 1000) + 2000
        outcome = await b.run("whoami", timeout_ms=50_000, deadline_ms=soon)
        assert 1 < json.loads(outcome.result)["remaining"] <= 2


@in_loop
async def test_a_slow_handler_delays_nobody() -> None:
    """Others start, end and are answered while it sleeps."""
    async with bench(registry, concurrency=2) as b:
        b.offer("sleep", {"seconds": 30})
        before = time.monotonic()
        for _ in range(200):
            b.offer("echo")
        await b.answered(200)
        assert time.monotonic() - before < 5


@in_loop
async def test_no_more_run_at_once_than_allowed() -> None:
    """The window may be full of requests, the loop is not full of handlers."""
    peak = running = 0
    counting = Registry()

    @counting.action("count")
    async def count(step: StepContext) -> None:
        nonlocal peak, running
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(0.001)
        running -= 1

    async with bench(counting, concurrency=5) as b:
        for _ in range(100):
            b.offer("count")
        await b.answered(100)
    assert peak == 5


@in_loop
async def test_a_chunk_is_run_by_priority() -> None:
    """R40: the whole chunk is looked at before its first request starts."""
    async with bench(registry, concurrency=1) as b:
        for number, priority in enumerate([0, 5, -1, 5, 9]):
            b.offer("echo", {"n": number}, priority=priority)
        await b.answered(5)
        assert [each["n"] for each in b.sink.results] == [4, 1, 3, 0, 2]


@in_loop
async def test_ties_go_by_arrival_then_list_order() -> None:
    """R40."""
    async with bench(registry, concurrency=1) as b:
        b.offer("echo", {"n": 3}, arrived=2.0, step_number=0)
        b.offer("echo", {"n": 2}, arrived=1.0, step_number=5)
        b.offer("echo", {"n": 1}, arrived=1.0, step_number=4)
        await b.answered(3)
        assert [each["n"] for each in b.sink.results] == [1, 2, 3]


@in_loop
async def test_a_request_is_finished_when_its_outcome_is_in_the_log() -> None:
    """Not before: else a crash could lose it."""
    async with bench(registry) as b:
        b.sink.is_holding = True
        b.offer("echo")
        await b.answered()
        await asyncio.sleep(0.02)
        assert b.engine.committable() == {}
        b.sink.release()
        await eventually(lambda: b.engine.committable() == {PARTITION: 1})


@in_loop
async def test_the_mark_waits_for_the_slowest() -> None:
    """Completion out of order commits nothing out of order."""
    async with bench(registry) as b:
        b.offer("echo")
        b.offer("sleep", {"seconds": 0.2})
        for _ in range(50):
            b.offer("echo")
        await b.answered(51)
        await asyncio.sleep(0)
        assert b.engine.committable() == {PARTITION: 1}
        await b.answered(52)
        await eventually(lambda: b.engine.committable() == {PARTITION: 52})


@in_loop
async def test_unreadable_records_count_as_finished() -> None:
    """A record that is no request must not stop the partition."""
    async with bench(registry) as b:
        b.offer("echo")
        b.engine.skip(Position(TOPIC, 0, 1))
        b.engine.skip(Position(TOPIC, 0, 2))
        await b.answered()
        await eventually(lambda: b.engine.committable() == {PARTITION: 3})


@in_loop
async def test_a_dead_letter_is_sent_before_its_record_is_finished() -> None:
    """What comes behind it is finished earlier, and committed later."""
    async with bench(registry) as b:
        letter = asyncio.get_running_loop().create_future()
        b.engine.skip(Position(TOPIC, 0, 0), after=letter)
        b.offset = 1
        await b.run("echo")
        await asyncio.sleep(0.02)
        assert b.engine.committable() == {}
        letter.set_result(None)
        await eventually(lambda: b.engine.committable() == {PARTITION: 2})


@in_loop
async def test_a_dead_letter_that_is_not_sent_leaves_its_record_open() -> None:
    """It is read again after the restart."""
    async with bench(registry) as b:
        letter = asyncio.get_running_loop().create_future()
        b.engine.skip(Position(TOPIC, 0, 0), after=letter)
        letter.set_exception(ConnectionError("gone"))
        await asyncio.sleep(0.02)
        assert b.engine.committable() == {}


@in_loop
async def test_room_ends_and_comes_back() -> None:
    """Back-pressure, never a refusal (R22)."""
    async with bench(registry, window=4, concurrency=1) as b:
        b.sink.is_holding = True
        for _ in range(6):
            b.offer("echo")
        assert b.engine.room() == 0
        assert b.engine.load().waiting == 6
        await b.answered(6)
        assert b.engine.room() == 0
        assert b.rooms == []
        b.sink.release()
        await eventually(lambda: b.engine.room() == 4)
        assert b.rooms == [1]


@in_loop
async def test_an_attempt_that_takes_a_moment_is_announced_once() -> None:
    """The coordinator then holds its deadline."""
    async with bench(registry) as b:
        b.offer("sleep", {"seconds": 0.4}, timeout_ms=5000)
        await eventually(lambda: b.sink.started)
        started = b.sink.started[0]
        assert b.sink.succeeded == []
        assert 90 <= started.elapsed_ms <= 300
        await b.answered()
        assert len(b.sink.started) == 1
        assert b.sink.succeeded[0].started_at == started.started_at


@in_loop
async def test_each_start_has_an_id_of_its_own() -> None:
    """R29: also across restarts of a worker with the same name."""
    ids = set()
    for _ in range(2):
        async with bench(registry) as b:
            for _ in range(3):
                b.offer("echo", redelivered=True)
            await b.answered(3)
            ids |= {each.start_id for each in b.sink.started}
    assert len(ids) == 6


@in_loop
async def test_a_redelivery_is_announced_and_that_awaited() -> None:
    """R29: before the handler runs, so that what kills its worker is counted."""
    calls = []
    own = Registry()

    @own.action("touch")
    async def touch(step: StepContext) -> None:
        calls.append(step.attempt)

    async with bench(own) as b:
        b.sink.is_holding = True
        b.offer("touch", redelivered=True)
        await eventually(lambda: b.sink.started)
        await asyncio.sleep(0.05)
        assert calls == []
        b.sink.release()
        await b.answered()
        assert calls == [1]
        assert len(b.sink.started) == 1


@in_loop
async def test_a_limit_does_not_run_while_a_redelivery_is_announced() -> None:
    """R10: an attempt's clock starts with its handler."""
    async with bench(registry) as b:
        b.sink.is_holding = True
        b.offer("echo", redelivered=True, timeout_ms=50)
        await asyncio.sleep(0.2)
        b.sink.release()
        await b.answered()
        assert len(b.sink.succeeded) == 1


@in_loop
async def test_an_outcome_that_cannot_be_delivered_is_fatal() -> None:
    """Crash, don't limp: the request stays open, and is redelivered."""
    async with bench(registry) as b:
        b.sink.is_holding = True
        b.offer("echo")
        b.offer("echo")
        await b.answered(2)
        for future in b.sink.pending:
            future.set_exception(ConnectionError("fenced"))
        await eventually(lambda: b.fatal)
        assert b.fatal == [
            "an outcome cannot be delivered: ConnectionError('fenced')"
        ], "said once"
        assert b.engine.committable() == {}


@in_loop
async def test_a_start_that_cannot_be_announced_is_not_made() -> None:
    """R29: else nobody would count it."""
    async with bench(registry) as b:
        b.sink.is_holding = True
        b.offer("echo", redelivered=True)
        await eventually(lambda: b.sink.pending)
        b.sink.pending[0].set_exception(ConnectionError("fenced"))
        await eventually(lambda: b.fatal and b.engine.load().running == 0)
        assert b.sink.succeeded == []
        assert b.engine.committable() == {}


@in_loop
async def test_a_sink_that_raises_is_fatal_too() -> None:
    """Whatever the sink does, the loop goes on."""
    async with bench(registry) as b:
        b.sink.send = None  # type: ignore[assignment, method-assign]
        b.offer("echo")
        await eventually(lambda: b.fatal)
        assert "cannot be delivered: TypeError" in b.fatal[0]


@in_loop
async def test_a_repeat_joins_the_attempt_that_runs() -> None:
    """The handler runs once, both requests are finished by its outcome."""
    async with bench(registry) as b:
        given = b.offer("sleep", {"seconds": 0.08})
        await asyncio.sleep(0.02)
        b.engine.offer(Position(TOPIC, 1, 9), dict(given), 0.0, redelivered=True)
        await b.answered()
        await eventually(
            lambda: b.engine.committable() == {PARTITION: 1, (TOPIC, 1): 10}
        )
        assert len(b.sink.succeeded) == 1


@in_loop
async def test_a_repeat_of_an_answered_request_is_answered_again() -> None:
    """The first answer may have come before anybody knew the plan (again)."""
    async with bench(registry) as b:
        given = b.offer("echo")
        await b.answered()
        b.engine.offer(Position(TOPIC, 0, 1), dict(given), 0.0, redelivered=False)
        await b.answered(2)
        assert b.sink.succeeded[0].step_id == b.sink.succeeded[1].step_id


@in_loop
async def test_annotations_that_fit_nothing_stop_the_start() -> None:
    """Found when the worker starts, not with the first request."""
    broken = Registry()

    @broken.action("broken")
    async def broken_one(step: StepContext, payload: int) -> None: ...

    with pytest.raises(HandlerError, match="a payload is a JSON object"):
        async with bench(broken):
            pass
