"""Does to topics what operators do by mistake: deletes, empties, makes them anew."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.structs import TopicPartition

from streams import bootstrap
from streams.topics import Topic
from tests.integration.system import System, eventually

ALL = -1
"""Stands for the end of a log where records are deleted up to an offset."""


@asynccontextmanager
async def admin(system: System) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client for administrators."""
    client = AIOKafkaAdminClient(bootstrap_servers=system.settings.broker)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def delete(system: System, topic: Topic) -> None:
    """Delete a topic, and wait until it is gone."""
    async with admin(system) as client:
        await client.delete_topics([topic.name])

    async def missing() -> bool:
        problems = await bootstrap.check(system.settings)
        return any(each.topic == topic.name for each in problems)

    await eventually(missing, bool)


async def make_anew(system: System, topic: Topic) -> None:
    """Delete a topic, and create one of the same name."""
    await delete(system, topic)
    await bootstrap.create(system.settings)


async def empty(system: System, topic: Topic) -> None:
    """Delete all records of a topic: its partitions begin where they end."""
    await cut(system, topic, range(topic.partitions))


async def cut(
    system: System, topic: Topic, partitions: Iterable[int], below: int = ALL
) -> None:
    """Delete the records of partitions that lie below an offset.

    Kafka refuses to while the topic's policy is to compact it.
    """
    tps = [TopicPartition(topic.name, number) for number in partitions]
    async with admin(system) as client:
        await client.alter_configs([_configured(topic, "delete")])
        await client.delete_records({tp: RecordsToDelete(below) for tp in tps})
        await client.alter_configs([_configured(topic)])


def _configured(topic: Topic, policy: str | None = None) -> ConfigResource:
    """A topic's whole configuration: what is left out falls back to the default."""
    configs = {each.name: each.value for each in topic.requirements}
    configs["cleanup.policy"] = policy or configs["cleanup.policy"]
    return ConfigResource(ConfigResourceType.TOPIC, topic.name, configs)
