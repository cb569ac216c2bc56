"""Handlers that take all memory harm their own step, at worst their own worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from schemas.results import PlanResult, Status
from streams import bootstrap
from tests.conftest import Broker
from tests.integration.invariants import results_of
from tests.integration.plans import ENVIRONMENT, plan, step
from tests.integration.system import Keeper, System

HANDLERS = ("tests.chaos.hungry", "tests.integration.handlers")
AGAIN_S = 0.2
ENDED_S = 60.0
READY_S = 40.0


@asynccontextmanager
async def kept(
    kafka: Broker, prefix: str, directory: Path
) -> AsyncIterator[tuple[System, Keeper]]:
    """A coordinator, and a worker that is started again whenever it ends."""
    system = System(kafka.bootstrap, prefix, directory, partitions=2, max_deliveries=1)
    await bootstrap.create(system.settings)
    members = (system.coordinator(), system.worker(*HANDLERS))
    keepers = [Keeper(member, lambda: AGAIN_S) for member in members]
    try:
        for keeper in keepers:
            await keeper.ready(READY_S)
        yield system, keepers[1]
    finally:
        await asyncio.gather(*[keeper.stop() for keeper in keepers])


async def run(system: System, *actions: str) -> list[PlanResult]:
    """Plans of one step each, one after the other, and a good one at the end."""
    results = []
    async with system.client() as client:
        for each in (*actions, "echo"):
            sent = await client.submit(plan(step(each)), ENVIRONMENT)
            results.append(await client.result(sent.plan_id, ENDED_S))
    assert results[-1].status is Status.SUCCESS
    seen = await results_of(system)
    assert len(seen.results) == len(actions) + 1
    assert not seen.repeats
    return results[:-1]


def code_of(result: PlanResult) -> str:
    assert result.error is not None, result
    return result.error.error_code


@pytest.mark.slow
def test_a_handler_that_needs_too_much_memory_fails_alone(
    kafka: Broker, topic_prefix: str, tmp_path: Path
) -> None:
    """R26: RESOURCE_EXHAUSTED, on the loop or in a process; the worker lives on."""

    async def scenario() -> None:
        async with kept(kafka, topic_prefix, tmp_path) as (system, worker):
            results = await run(system, "gorge", "gorge-alone", "be-killed-alone")
            assert [code_of(each) for each in results] == [
                "RESOURCE_EXHAUSTED",
                "RESOURCE_EXHAUSTED",
                "UNKNOWN_ERROR",
            ]
            assert not worker.exits

    asyncio.run(scenario())


@pytest.mark.slow
def test_a_worker_that_is_killed_for_its_memory_is_not_killed_for_ever(
    kafka: Broker, topic_prefix: str, tmp_path: Path
) -> None:
    """R29: its attempt is given up after max_deliveries; later plans run."""

    async def scenario() -> None:
        async with kept(kafka, topic_prefix, tmp_path) as (system, worker):
            (result,) = await run(system, "be-killed")
            assert code_of(result) == "UNKNOWN_ERROR"
            assert worker.exits
            assert set(worker.exits) == {-9}

    asyncio.run(scenario())


@pytest.mark.slow
def test_a_worker_without_any_memory_left_does_not_linger(
    kafka: Broker, topic_prefix: str, tmp_path: Path
) -> None:
    """It answers or ends; either way the plan ends, and later ones run."""

    async def scenario() -> None:
        async with kept(kafka, topic_prefix, tmp_path) as (system, worker):
            (result,) = await run(system, "starve")
            assert code_of(result) in {"RESOURCE_EXHAUSTED", "UNKNOWN_ERROR"}
            assert 0 not in worker.exits

    asyncio.run(scenario())
