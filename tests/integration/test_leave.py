"""A process that was stopped for good leaves its group by a command."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from schemas.results import Status
from streams.cli import app
from streams.runtime.membership import members
from tests.conftest import Broker
from tests.integration.plans import ENVIRONMENT, chain, plan
from tests.integration.system import System

HANDLERS = "tests.integration.handlers"
SESSION_MS = 60_000
"""Longer than the test may take: nobody leaves by falling silent."""


def run(system: System, *arguments: str) -> Result:
    """Run a command against an installation."""
    return CliRunner().invoke(app, arguments, env=dict(system.environment))


async def run_plans(system: System, count: int) -> None:
    """Run plans, enough of them to reach every partition."""
    async with system.client() as client:
        sent = [await client.submit(plan(*chain(2)), ENVIRONMENT) for _ in range(count)]
        for each in sent:
            result = await client.result(each.plan_id, 30)
            assert result.status is Status.SUCCESS


@pytest.mark.slow
def test_partitions_move_at_once_when_a_stopped_process_has_left(
    kafka: Broker, topic_prefix: str, tmp_path: Path
) -> None:
    """Its session lasts for another minute; plans of all partitions go on before."""
    options = {"session_timeout_ms": SESSION_MS}

    async def scenario() -> None:
        system = System(kafka.bootstrap, topic_prefix, tmp_path, **options)
        group = system.settings.coordinator_app_id
        try:
            await system.start(HANDLERS)
            second = system.coordinator()
            await second.start()
            assert await second.stop() == 0
            assert len(await members(system.settings, group)) == 2

            began = time.monotonic()
            gone = system.settings.instance_id("coordinator", "1")
            done = await asyncio.to_thread(run, system, "leave", "coordinator", gone)
            assert done.exit_code == 0, done.output
            assert f"{gone} has left" in done.output
            await run_plans(system, 24)
            assert time.monotonic() - began < SESSION_MS / 2000
            (left,) = await members(system.settings, group)
            assert left.name != gone
            assert {number for _, number in left.partitions} == {0, 1, 2, 3}
        finally:
            await system.stop()

    asyncio.run(scenario())


def test_members_are_listed_and_others_refused(
    kafka: Broker, topic_prefix: str, tmp_path: Path
) -> None:
    """For people and for programs; a name that no member has removes nobody."""

    async def scenario() -> None:
        system = System(kafka.bootstrap, topic_prefix, tmp_path)
        try:
            await system.start(HANDLERS)
            listed = await asyncio.to_thread(run, system, "leave", "--json")
            facts = [json.loads(line) for line in listed.output.splitlines()]
            assert [each["role"] for each in facts] == ["coordinator", "worker"]
            assert all(each["static"] for each in facts)
            coordinator = facts[0]["name"]
            assert coordinator == system.settings.instance_id("coordinator", "0")
            assert len(facts[0]["partitions"]) == 16  # four of each of its topics

            table = await asyncio.to_thread(run, system, "leave", "coordinator")
            assert coordinator in table.output
            assert "worker" not in table.output
            refused = await asyncio.to_thread(run, system, "leave", "worker", "nobody")
            assert refused.exit_code == 2
            assert "has no static member 'nobody'" in refused.output
            group = system.settings.worker_app_id
            assert len(await members(system.settings, group)) == 1
        finally:
            await system.stop()

    asyncio.run(scenario())


def test_without_static_membership_a_stopped_process_leaves_by_itself(
    kafka: Broker, topic_prefix: str, tmp_path: Path
) -> None:
    """Nobody is left in the group, and its partitions are free at once."""
    options = {"static_membership": False, "session_timeout_ms": SESSION_MS}

    async def scenario() -> None:
        system = System(kafka.bootstrap, topic_prefix, tmp_path, **options)
        group = system.settings.coordinator_app_id
        try:
            await system.start(HANDLERS)
            (member,) = await members(system.settings, group)
            assert member.instance_id is None
            await system.of("coordinator")[0].stop()
            assert not await members(system.settings, group)
            listed = await asyncio.to_thread(run, system, "leave", "coordinator")
            assert "no members" in listed.output
        finally:
            await system.stop()

    asyncio.run(scenario())
