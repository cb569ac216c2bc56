"""Exactly one result a plan, whatever is killed (DESIGN §9)."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from schemas.results import Status
from streams.client import PlanClient
from streams.devkit.kafka import EmbeddedKafka
from tests.conftest import Broker
from tests.integration.invariants import lag, order_broken, results_of, rows_left
from tests.integration.system import System, eventually

HANDLERS = "tests.integration.handlers"
ENVIRONMENT = {"where": "here"}


def plan(steps: list[tuple[str, str, dict[str, Any], list[str]]]) -> dict[str, Any]:
    """A plan of (id, action, payload, dependencies)."""
    return {
        "name": "under fire",
        "context_requirements": ["where"],
        "timeout_ms": 120_000,
        "steps": [
            {"id": each, "action": action, "payload": payload, "depends_on": needed}
            for each, action, payload, needed in steps
        ],
    }


def ids(count: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(count)]


def chain(length: int, ms: int) -> dict[str, Any]:
    """Steps one after the other, each of `ms` milliseconds."""
    names = ids(length)
    return plan(
        [
            (name, "sleep", {"ms": ms}, [names[place - 1]] if place else [])
            for place, name in enumerate(names)
        ]
    )


def fan(width: int, ms: int) -> dict[str, Any]:
    """One step, then `width` at once, then a join."""
    first, last, *middle = ids(width + 2)
    return plan(
        [
            (first, "echo", {}, []),
            *((each, "sleep", {"ms": ms}, [first]) for each in middle),
            (last, "echo", {}, middle),
        ]
    )


def mixed(count: int) -> list[dict[str, Any]]:
    """Chains, fans and plans that fail, in turn."""
    makers: list[Callable[[], dict[str, Any]]] = [
        lambda: chain(5, 120),
        lambda: fan(6, 150),
        lambda: plan([(ids(1)[0], "fail", {}, [])]),
        lambda: plan([(ids(1)[0], "block", {"ms": 60}, [])]),
    ]
    return [makers[number % len(makers)]() for number in range(count)]


def expected_status(submitted: dict[str, Any]) -> Status:
    fails = any(step["action"] == "fail" for step in submitted["steps"])
    return Status.FAILURE if fails else Status.SUCCESS


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


async def submit_slowly(
    client: PlanClient, plans: list[dict[str, Any]], seconds: float
) -> dict[str, dict[str, Any]]:
    """Submit over some seconds; the plans by id."""
    submitted = {}
    for each in plans:
        done = await client.submit(each, ENVIRONMENT)
        submitted[done.plan_id] = each
        await asyncio.sleep(seconds / len(plans))
    return submitted


async def survive(
    system: System, faults: Callable[[], Awaitable[None]], count: int, seconds: float
) -> None:
    """Submit under faults, then check that each plan ended once, and rightly."""
    async with system.client(results=False) as client:
        load = asyncio.create_task(submit_slowly(client, mixed(count), seconds))
        await faults()
        submitted = await load
    await eventually(
        lambda: results_of(system),
        lambda seen: seen.results.keys() >= submitted.keys(),
        timeout=60,
    )
    await check(system, submitted)


async def check(system: System, submitted: dict[str, dict[str, Any]]) -> None:
    """The invariants, on what lies on the topics."""
    assert not await eventually(lambda: lag(system), lambda behind: not behind)
    seen = await results_of(system)
    assert seen.results.keys() == submitted.keys()
    assert not seen.repeats
    for plan_id, result in seen.results.items():
        steps = submitted[plan_id]["steps"]
        assert result.status == expected_status(submitted[plan_id]), result
        if result.status is Status.SUCCESS:
            assert result.result_payload.keys() == {step["id"] for step in steps}
    assert not await rows_left(system)
    needed = {
        step["id"]: step["depends_on"]
        for each in submitted.values()
        for step in each["steps"]
    }
    assert not await order_broken(system, needed)


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
