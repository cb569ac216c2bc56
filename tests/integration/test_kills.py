"""Exactly one result a plan, whatever is killed (DESIGN §9)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from schemas.results import Status
from streams.devkit.kafka import EmbeddedKafka
from tests.conftest import Broker
from tests.integration.survival import (
    ENVIRONMENT,
    HANDLERS,
    ids,
    plan,
    survive,
)
from tests.integration.system import System


@asynccontextmanager
async def running(
    broker: str, prefix: str, directory: Path, **members: int
) -> AsyncIterator[System]:
    system = System(broker, prefix, directory)
    try:
        await system.start(HANDLERS, **members)
        yield system
    finally:
        await system.stop()


@pytest.mark.slow
def test_a_killed_coordinator_loses_and_repeats_nothing(
    kafka: Broker, topic_prefix: str, tmp_path: Path
) -> None:
    """Kill -9 of the only coordinator in mid-run, twice: its successor takes over."""

    async def scenario() -> None:
        async with running(kafka.bootstrap, topic_prefix, tmp_path) as system:
            (coordinator,) = system.of("coordinator")

            async def faults() -> None:
                for _ in range(2):
                    await asyncio.sleep(2)
                    await coordinator.restart()

            await survive(system, faults, count=80, seconds=6)

    asyncio.run(scenario())


@pytest.mark.slow
def test_a_killed_worker_loses_and_repeats_nothing(
    kafka: Broker, topic_prefix: str, tmp_path: Path
) -> None:
    """Kill -9 of the only step worker in mid-run: its attempts run again."""

    async def scenario() -> None:
        async with running(kafka.bootstrap, topic_prefix, tmp_path) as system:
            (worker,) = system.of("worker")

            async def faults() -> None:
                await asyncio.sleep(3)
                await worker.restart()

            await survive(system, faults, count=60, seconds=5)

    asyncio.run(scenario())


@pytest.mark.slow
def test_one_of_two_is_killed(kafka: Broker, topic_prefix: str, tmp_path: Path) -> None:
    """Kill -9 of one coordinator and one worker of two each, never restarted."""

    async def scenario() -> None:
        members = {"coordinators": 2, "workers": 2}
        async with running(
            kafka.bootstrap, topic_prefix, tmp_path, **members
        ) as system:

            async def faults() -> None:
                await asyncio.sleep(2)
                await system.of("coordinator")[0].kill()
                await system.of("worker")[0].kill()

            await survive(system, faults, count=60, seconds=4)

    asyncio.run(scenario())


@pytest.mark.broker
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_restarted_broker_loses_and_repeats_nothing(
    topic_prefix: str, tmp_path: Path
) -> None:
    """Kill -9 of the broker under load, and its restart on the same data."""

    async def scenario(broker: EmbeddedKafka) -> None:
        async with running(broker.bootstrap, topic_prefix, tmp_path) as system:

            async def faults() -> None:
                await asyncio.sleep(2)
                await asyncio.to_thread(broker.kill)
                await asyncio.sleep(1)
                await asyncio.to_thread(broker.start)

            await survive(system, faults, count=40, seconds=4)

    with EmbeddedKafka(data=tmp_path / "kafka", quick=True) as broker:
        asyncio.run(scenario(broker))


@pytest.mark.slow
def test_a_rolling_restart_repeats_nothing(
    kafka: Broker, topic_prefix: str, tmp_path: Path
) -> None:
    """SIGTERM of everything, one after the other: exit code 0, nothing lost."""

    async def scenario() -> None:
        async with running(kafka.bootstrap, topic_prefix, tmp_path) as system:

            async def faults() -> None:
                for member in system.members:
                    await asyncio.sleep(1.5)
                    assert await member.stop() == 0
                    await member.start()

            await survive(system, faults, count=40, seconds=5)

    asyncio.run(scenario())


@pytest.mark.slow
def test_a_step_that_kills_its_worker_ends_its_plan(
    kafka: Broker, topic_prefix: str, tmp_path: Path
) -> None:
    """R29: after max_deliveries starts the attempt fails with UNKNOWN_ERROR."""

    async def scenario() -> None:
        async with running(kafka.bootstrap, topic_prefix, tmp_path) as system:
            (worker,) = system.of("worker")
            step = ids(1)[0]
            async with system.client() as client:
                deadly = plan([(step, "die", {}, [])])
                submitted = await client.submit(deadly, ENVIRONMENT)
                waiting = asyncio.create_task(
                    client.result(submitted.plan_id, timeout=60)
                )
                while not waiting.done():
                    await worker.exit_code(timeout=30)
                    if not waiting.done():
                        await worker.start()
                        await asyncio.wait({waiting}, timeout=1)
                result = await waiting
            assert result.status is Status.FAILURE
            assert result.error is not None
            assert result.error.error_code == "UNKNOWN_ERROR"
            assert result.error.step_id == step

    asyncio.run(scenario())
