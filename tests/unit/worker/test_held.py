"""What a step worker holds for an execution (U3)."""

from __future__ import annotations

import pytest

from agents.engine import Held
from tests.unit.worker.harness import TOPIC, bench, eventually, in_loop
from tests.unit.worker.sleepers import log, registry

NOTHING = Held(0, 0)


@pytest.mark.parametrize("by", ["plan_id", "execution_id"])
@in_loop
async def test_attempts_and_slots_are_counted_until_they_are_settled(by: str) -> None:
    """U3: one runs and one waits for its turn; of others nothing is told."""
    async with bench(registry, concurrency=1) as b:
        given = b.offer("sleep", {"seconds": 0.2})
        ids = {name: given[name] for name in ("plan_id", "execution_id")}
        b.offer("sleep", {"seconds": 0.01}, **ids)
        other = b.offer("sleep", {"seconds": 0.01})
        await eventually(lambda: b.engine.load().running)
        assert b.engine.held(given[by]) == Held(attempts=1, slots=2)
        assert b.engine.held(other[by]) == Held(attempts=0, slots=1)
        await b.answered(3)
        await eventually(lambda: b.engine.held(given[by]) == NOTHING)
        await eventually(lambda: b.engine.held(other[by]) == NOTHING)


@in_loop
async def test_nothing_is_held_after_a_halt() -> None:
    """U3: what waits at once, what runs when its handler has ended."""
    async with bench(registry, concurrency=1) as b:
        given = b.offer("sleep", {"cleanup": 0.1})
        execution = given["execution_id"]
        b.offer("sleep", execution_id=execution)
        await eventually(lambda: b.engine.load().running)
        b.engine.halt(execution)
        assert b.engine.held(execution) == Held(attempts=1, slots=0)
        await eventually(lambda: b.engine.held(execution) == NOTHING)


@in_loop
async def test_a_handler_that_swallows_its_cancellation_is_still_counted() -> None:
    """U3, R30: it holds no slot any more, and runs on."""
    async with bench(registry, grace=0.05) as b:
        given = b.offer("stubborn", {"seconds": 0.5}, timeout_ms=20)
        await b.answered()
        await eventually(lambda: b.engine.load().leaked)
        assert b.engine.held(given["execution_id"]) == Held(attempts=1, slots=0)
        await eventually(lambda: b.engine.held(given["execution_id"]) == NOTHING)
        assert ("swallowed", 1) in log.said()


@in_loop
async def test_an_attempt_that_outlives_its_partition_is_counted() -> None:
    """U3: it runs on, and is answered, though its request is another's now."""
    async with bench(registry) as b:
        given = b.offer("sleep", {"seconds": 0.2})
        await eventually(lambda: b.engine.load().running)
        b.engine.revoke({(TOPIC, 0)})
        assert b.engine.held(given["plan_id"]) == Held(attempts=1, slots=1)
        await eventually(lambda: b.engine.held(given["plan_id"]) == NOTHING)
