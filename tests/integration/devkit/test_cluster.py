from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError

from streams.devkit.cluster import EmbeddedCluster
from streams.devkit.kafka import EmbeddedKafka, KafkaError
from streams.devkit.ports import free_ports
from tests.chaos.proxy import Proxy

pytestmark = [pytest.mark.broker, pytest.mark.slow]

TOPIC = "written"
AT = TopicPartition(TOPIC, 0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the brokers a directory."""
    return tmp_path_factory.mktemp("kafka")


@pytest.fixture(scope="module")
def cluster(data: Path) -> Iterator[EmbeddedCluster]:
    """Give three brokers that may be killed, one at a time."""
    with EmbeddedCluster(data=data, quick=True) as three:
        yield three


async def create_topic(bootstrap: str, replicas: int) -> list[dict[str, Any]]:
    """Create the topic; its partitions as a broker describes them."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(TOPIC, 1, replicas)])
        described: list[dict[str, Any]] = []
        while not described or described[0]["leader"] < 1:
            topics = await admin.describe_topics([TOPIC])
            described = topics[0]["partitions"]
        return described
    finally:
        await admin.close()


async def write(bootstrap: str, value: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id="a")
    try:
        await producer.start()
        async with producer.transaction():
            await producer.send_and_wait(TOPIC, value)
    finally:
        await producer.stop()


async def read(bootstrap: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level="read_committed"
    )
    await consumer.start()
    try:
        consumer.assign([AT])
        await consumer.seek_to_beginning(AT)
        async with asyncio.timeout(20):
            return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


def test_a_cluster_outlives_the_loss_of_one(cluster: EmbeddedCluster) -> None:
    """What it acknowledged is on two others; transactions go on without it."""
    (described,) = asyncio.run(create_topic(cluster.bootstrap, 3))
    assert sorted(described["replicas"]) == [1, 2, 3]
    asyncio.run(write(cluster.bootstrap, b"with all"))
    leader = cluster.nodes[described["leader"] - 1]
    leader.kill()
    assert not leader.is_running
    asyncio.run(write(cluster.bootstrap, b"without one"))
    leader.start()
    cluster.wait_until_whole()
    assert asyncio.run(read(leader.bootstrap, 2)) == [b"with all", b"without one"]


def test_a_cluster_that_is_not_whole_says_so(cluster: EmbeddedCluster) -> None:
    """With the log of the one that is missing."""
    first, *_ = cluster.nodes
    first.stop()
    try:
        with pytest.raises(KafkaError, match="not whole") as error:
            cluster.wait_until_whole()
        assert error.value.log == first.log
    finally:
        cluster.start()


def test_a_cluster_goes_on_with_its_data(data: Path, cluster: EmbeddedCluster) -> None:
    """Another cluster object too, on other ports."""
    asyncio.run(write(cluster.bootstrap, b"kept"))
    cluster.stop()
    assert not any(node.is_running for node in cluster.nodes)
    with EmbeddedCluster(data=data, quick=True) as other:
        assert asyncio.run(read(other.bootstrap, 3))[-1] == b"kept"


def test_clients_that_come_through_a_proxy_stay_behind_it() -> None:
    """The broker sends them back to it, and all others past it."""

    async def scenario(kafka: EmbeddedKafka, proxy_port: int) -> None:
        await create_topic(kafka.bootstrap, 1)
        async with Proxy(proxy_port, kafka.inner_port) as proxy:
            await write(kafka.bootstrap, b"past it")
            assert not proxy.accepted
            through = f"127.0.0.1:{proxy_port}"
            await write(through, b"through it")
            assert proxy.accepted > 1
            await proxy.refuse()
            proxy.reset()
            with pytest.raises(KafkaConnectionError):
                await write(through, b"lost")
            assert await read(kafka.bootstrap, 2) == [b"past it", b"through it"]

    (port,) = free_ports(1)
    with EmbeddedKafka(proxy_port=port, quick=True) as broker:
        asyncio.run(scenario(broker, port))
