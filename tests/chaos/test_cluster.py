"""Three brokers, of which one at a time is lost, frozen or replaced."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from streams.devkit.cluster import EmbeddedCluster
from streams.devkit.kafka import EmbeddedKafka
from tests.chaos.siege import kept, survives
from tests.chaos.whereabouts import coordinator_of, in_sync, leaders
from tests.integration.system import System

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(400)]

PARTITIONS = 6
STEADY_S = 2.0
"""Load before and after what happens."""
AWAY_S = 3.0
FROZEN_S = 30.0
STUCK_S = 1.0
"""How long a broker is frozen so that transactions stay open: not yet lost for that."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[EmbeddedCluster]:
    """Give three brokers; each test leaves them whole."""
    with EmbeddedCluster(quick=True) as three:
        yield three


def under_fault(
    cluster: EmbeddedCluster,
    prefix: str,
    directory: Path,
    fault: Callable[[System], Awaitable[None]],
) -> list[int]:
    """Run an installation through a fault; the exit codes of members meanwhile."""

    async def scenario() -> list[int]:
        await in_sync(cluster)
        system = System(cluster.bootstrap, prefix, directory, partitions=PARTITIONS)

        async def steady_then_fault() -> None:
            await asyncio.sleep(STEADY_S)
            await fault(system)
            await asyncio.sleep(STEADY_S)

        async with kept(system) as keepers:
            await survives(system, steady_then_fault())
            return [code for keeper in keepers for code in keeper.exits]

    return asyncio.run(scenario())


async def lose(broker: EmbeddedKafka) -> None:
    """Kill -9, and a restart on the same data a while later."""
    broker.kill()
    await asyncio.sleep(AWAY_S)
    await asyncio.to_thread(broker.start)


def test_the_leader_of_partitions_is_killed(
    cluster: EmbeddedCluster, topic_prefix: str, tmp_path: Path
) -> None:
    """Others lead in its place; coordinators and workers go on with those."""

    async def fault(system: System) -> None:
        await lose((await leaders(cluster, system.topics.changelog))[0])

    under_fault(cluster, topic_prefix, tmp_path, fault)


def test_the_coordinator_of_open_transactions_is_killed(
    cluster: EmbeddedCluster, topic_prefix: str, tmp_path: Path
) -> None:
    """Another finishes them, in whichever way they were to end."""

    async def fault(system: System) -> None:
        leader_of = await leaders(cluster, system.topics.changelog)
        app_id = system.settings.coordinator_app_id
        for number, leader in leader_of.items():
            doomed = await coordinator_of(cluster, f"{app_id}-{number}")
            if doomed is not leader:
                break
        else:
            pytest.fail("every partition is led by the coordinator of its transactions")
        # Transactions begin, and wait for the leader to take what is in them.
        leader.pause()
        await asyncio.sleep(STUCK_S)
        doomed.kill()
        leader.resume()
        await asyncio.sleep(AWAY_S)
        await asyncio.to_thread(doomed.start)

    under_fault(cluster, topic_prefix, tmp_path, fault)


def test_all_brokers_are_restarted_in_turn(
    cluster: EmbeddedCluster, topic_prefix: str, tmp_path: Path
) -> None:
    """In good order, each when the one before is whole again: nobody must exit."""

    async def fault(system: System) -> None:
        for broker in cluster.nodes:
            await asyncio.to_thread(broker.stop)
            await asyncio.to_thread(broker.start)
            await in_sync(cluster)

    assert not under_fault(cluster, topic_prefix, tmp_path, fault)


def test_a_broker_is_frozen_and_comes_back(
    cluster: EmbeddedCluster, topic_prefix: str, tmp_path: Path
) -> None:
    """Its connections stay open, and nobody answers: others take its place."""

    async def fault(system: System) -> None:
        frozen = (await leaders(cluster, system.topics.changelog))[0]
        frozen.pause()
        await asyncio.sleep(FROZEN_S)
        frozen.resume()

    under_fault(cluster, topic_prefix, tmp_path, fault)
