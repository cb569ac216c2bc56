"""Positions that do not fit the logs stop a coordinator, and can be set right."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from schemas.results import Status
from streams import bootstrap
from streams.exceptions import StillRunning
from streams.runtime.exits import EXIT_MISFIT
from streams.runtime.membership import leave, members
from streams.runtime.reset import reset
from tests.conftest import Broker
from tests.integration.invariants import results_of
from tests.integration.plans import ENVIRONMENT, chain, plan
from tests.integration.system import NotReady, System, eventually

HANDLERS = "tests.integration.handlers"
PLANS = 8
Damage = Callable[[System, AIOKafkaAdminClient], Awaitable[None]]


@asynccontextmanager
async def admin(system: System) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=system.settings.broker)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def remake(system: System, client: AIOKafkaAdminClient, topic: str) -> None:
    await client.delete_topics([topic])

    async def missing() -> bool:
        return any(
            each.topic == topic for each in await bootstrap.check(system.settings)
        )

    await eventually(missing, bool)
    await bootstrap.create(system.settings)


async def lose_the_changelog(system: System, client: AIOKafkaAdminClient) -> None:
    await remake(system, client, system.topics.changelog.name)


async def lose_the_plans(system: System, client: AIOKafkaAdminClient) -> None:
    await remake(system, client, system.topics.plans.name)


async def let_retention_pass(system: System, client: AIOKafkaAdminClient) -> None:
    """More plans arrive, and are gone before anybody reads them."""
    async with system.client(results=False) as submitter:
        for _ in range(4 * PLANS):
            await submitter.submit(plan(*chain(1)), ENVIRONMENT)
    tps = [TopicPartition(system.topics.plans.name, n) for n in range(4)]
    await client.delete_records({tp: RecordsToDelete(-1) for tp in tps})


async def run_plans(system: System) -> set[str]:
    """Run plans on every partition; their ids."""
    async with system.client() as client:
        done = [await client.submit(plan(*chain(2)), ENVIRONMENT) for _ in range(PLANS)]
        for each in done:
            result = await client.result(each.plan_id, 30)
            assert result.status is Status.SUCCESS
    return {each.plan_id for each in done}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lose_the_changelog, "the changelog has no position"),
        (lose_the_plans, "the log ends at"),
        (let_retention_pass, "records are gone"),
    ],
)
def test_misfits_stop_a_coordinator_until_positions_are_set(
    damage: Damage, says: str, kafka: Broker, topic_prefix: str, tmp_path: Path
) -> None:
    """It exits with 78, saying why; then it goes on, and no old plan runs again.

    Positions are not touched as long as its membership has not ended.
    """

    async def scenario() -> None:
        system = System(kafka.bootstrap, topic_prefix, tmp_path)
        group = system.settings.coordinator_app_id
        try:
            await system.start(HANDLERS)
            before = await run_plans(system)
            coordinator = system.of("coordinator")[0]
            await coordinator.stop()
            async with admin(system) as client:
                await damage(system, client)
            with pytest.raises(NotReady, match=says):
                await coordinator.start()
            assert await coordinator.exit_code(5) == EXIT_MISFIT

            assert "`planstream reset --write`" in coordinator.log.read_text()

            (member,) = await members(system.settings, group)
            with pytest.raises(StillRunning, match=member.name):
                await reset(system.settings, writing=True)
            await leave(system.settings, group, member.name)
            wanted = await reset(system.settings, writing=False)
            assert wanted
            assert await reset(system.settings, writing=True) == wanted
            assert not await reset(system.settings, writing=False)
            await coordinator.start()
            after = await run_plans(system)
            seen = await results_of(system)
            assert seen.results.keys() == before | after
            assert not seen.repeats
        finally:
            await system.stop()

    asyncio.run(scenario())
