"""A coordinator and a step worker in one process promise what two processes do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from http.client import HTTPConnection
from pathlib import Path

import pytest

from schemas.results import Status
from streams.devkit.kafka import EmbeddedKafka
from streams.devkit.ports import free_ports
from tests.integration.survival import (
    HANDLERS,
    ended,
    said,
    single,
    stopped_in_s,
    submitted,
    survive,
)
from tests.integration.system import READY_S, System, eventually

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(180)]

LIMIT_MS = 8000
MARGIN_S = 4.0
"""What Python and a busy machine may add to a limit."""


@pytest.fixture
def system(broker: EmbeddedKafka, topic_prefix: str, tmp_path: Path) -> System:
    """Give a system of combined processes; it is not started."""
    (port,) = free_ports(1)
    options = {"shutdown_timeout_ms": LIMIT_MS, "partitions": 2, "health_port": port}
    return System(broker.bootstrap, topic_prefix, tmp_path, **options)


def ask(system: System, path: str) -> tuple[int, str]:
    """Ask the one process that listens."""
    settings = system.settings
    connection = HTTPConnection("127.0.0.1", settings.health_port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def without_port(system: System) -> System:
    """Several processes on one host cannot have the same one."""
    system.environment["PLANSTREAM_HEALTH_PORT"] = "0"
    return system


def under_fire(
    system: System, processes: int, faults: Callable[[], Awaitable[None]]
) -> None:
    async def scenario() -> None:
        await system.start_combined(HANDLERS, processes)
        try:
            await survive(system, faults, count=80, seconds=6)
        finally:
            await system.stop()

    asyncio.run(scenario())


def test_a_combined_process_that_is_killed_loses_and_repeats_nothing(
    system: System,
) -> None:
    """Kill -9 in mid-run, twice: half a transaction and the attempts go with it."""

    async def faults() -> None:
        for _ in range(2):
            await asyncio.sleep(2)
            await system.members[0].restart()

    under_fire(system, 1, faults)


def test_one_of_two_combined_processes_takes_over(system: System) -> None:
    """Partitions and requests of the one that is killed go to the other."""

    async def faults() -> None:
        await asyncio.sleep(3)
        await system.members[0].kill()

    under_fire(without_port(system), 2, faults)


async def succeeded(system: System, plan_id: str) -> None:
    assert await ended(system, plan_id) is Status.SUCCESS


@pytest.mark.parametrize(
    ("ms", "runs"),
    [
        pytest.param([1500, 0], ["began", "ended"], id="in time"),
        pytest.param([60_000, 0], ["began", "began", "ended"], id="not in time"),
    ],
)
def test_a_combined_process_finishes_what_ends_in_time(
    system: System, ms: list[int], runs: list[str]
) -> None:
    """As a worker alone does; the next process goes on with what was not in time."""
    told = system.directory / "told"

    async def scenario() -> None:
        await system.start_combined(HANDLERS)
        try:
            plan_id = await submitted(
                system, single("tally", {"told": str(told), "ms": ms})
            )
            await eventually(lambda: asyncio.to_thread(said, told), bool)
            (member,) = system.members
            assert await stopped_in_s(member, 0) < LIMIT_MS / 1000 + MARGIN_S
            await member.start()
            await succeeded(system, plan_id)
        finally:
            assert not any(await system.stop())

    asyncio.run(scenario())
    assert told.read_text().split() == runs


def test_a_combined_process_stops_while_a_part_has_not_begun(system: System) -> None:
    """Told so when the coordinator takes over, before the worker is started."""

    async def scenario() -> None:
        await system.start_combined(HANDLERS, 0)
        member = system.combined(HANDLERS)
        member.launch()
        async with asyncio.timeout(READY_S):
            while "generation 1: taking over" not in member.log.read_text():
                await asyncio.sleep(0.005)
        assert await stopped_in_s(member, 0) < LIMIT_MS / 1000 + MARGIN_S
        assert not member.is_ready

    asyncio.run(scenario())


def test_a_combined_process_reports_as_one(system: System) -> None:
    """One port: ready when both parts are, with the sources and counts of both."""

    async def scenario() -> None:
        await system.start_combined(HANDLERS)
        try:
            await succeeded(system, await submitted(system, single("echo", {})))
            _, told = await eventually(
                lambda: asyncio.to_thread(ask, system, "/ready"),
                lambda answer: answer[0] == 200,
            )
            report = json.loads(told)
            assert (report["live"], report["reasons"]) == (True, [])
            coordinator, worker = sorted(report["who"].split(", "))
            assert "coordinator" in coordinator
            assert "worker" in worker
            told_of = {source["name"] for source in report["sources"]}
            topics = system.topics
            for topic in (topics.plans, topics.requests["default"]):
                assert f"{topic.name}/0" in told_of
            _, counts = await asyncio.to_thread(ask, system, "/metrics")
            assert "planstream_plans_ended_total 1.0" in counts
        finally:
            assert not any(await system.stop())
        log = system.members[0].log.read_text()
        assert log.count("planstream combined ready: partitions 0, 1 of 2; ") == 1

    asyncio.run(scenario())


def test_a_handler_that_blocks_the_loop_is_named_once(system: System) -> None:
    """There is one watch over the loop, which knows whose fault it is."""

    async def scenario() -> None:
        await system.start_combined(HANDLERS)
        try:
            await succeeded(
                system, await submitted(system, single("freeze", {"ms": 2500}))
            )
        finally:
            assert not any(await system.stop())

    asyncio.run(scenario())
    log = system.members[0].log.read_text()
    assert log.count("handler freeze ") == 1
    assert " has blocked the event loop for 1" in log
