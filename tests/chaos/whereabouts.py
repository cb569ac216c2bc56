"""Finds out which broker of a cluster leads a partition, or coordinates an id."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import CoordinatorNotAvailableError

from streams.devkit.cluster import EmbeddedCluster
from streams.devkit.kafka import EmbeddedKafka
from streams.topics import Topic

IN_SYNC_S = 60.0


async def leaders(cluster: EmbeddedCluster, topic: Topic) -> dict[int, EmbeddedKafka]:
    """Find the leader of each partition of a topic."""
    async with _admin(cluster) as admin:
        (described,) = await admin.describe_topics([topic.name])
    return {
        each["partition"]: cluster.nodes[each["leader"] - 1]
        for each in described["partitions"]
    }


async def coordinator_of(
    cluster: EmbeddedCluster, transactional_id: str
) -> EmbeddedKafka:
    """Find the broker that keeps the transactions of an id."""
    client = AIOKafkaClient(bootstrap_servers=cluster.bootstrap)
    await client.bootstrap()
    try:
        while True:
            try:
                number: int = await client.coordinator_lookup(
                    CoordinationType.TRANSACTION, transactional_id
                )
            except CoordinatorNotAvailableError:  # it is just being found
                await asyncio.sleep(0.1)
            else:
                return cluster.nodes[number - 1]
    finally:
        await client.close()


async def in_sync(cluster: EmbeddedCluster) -> None:
    """Wait until every partition, Kafka's own too, is whole on all its brokers."""
    async with _admin(cluster) as admin, asyncio.timeout(IN_SYNC_S):
        while any(map(_is_behind, await _partitions(admin))):
            await asyncio.sleep(0.2)


async def _partitions(admin: AIOKafkaAdminClient) -> list[dict[str, Any]]:
    return [
        partition
        for topic in await admin.describe_topics()
        for partition in topic["partitions"]
    ]


def _is_behind(partition: dict[str, Any]) -> bool:
    return len(partition["isr"]) < len(partition["replicas"])


@asynccontextmanager
async def _admin(cluster: EmbeddedCluster) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=cluster.bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()
