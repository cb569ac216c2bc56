import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import UnknownTopicOrPartitionError

from streams.devkit.kafka import EmbeddedKafka, KafkaError
from streams.devkit.ports import free_ports

pytestmark = pytest.mark.broker

ROOT = Path(__file__).parents[3]
TOPIC = "written"


@pytest.fixture(scope="module")
def own_kafka() -> Iterator[EmbeddedKafka]:
    """Give a broker that may be killed."""
    with EmbeddedKafka(quick=True) as own:
        yield own


async def create_topic(bootstrap: str, name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 1, 1)])
    finally:
        await admin.close()


async def write(bootstrap: str, value: bytes, transactional_id: str) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        transactional_id=transactional_id,
        max_request_size=len(value) + 10_000,
    )
    await producer.start()
    try:
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
        partition = TopicPartition(TOPIC, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        async with asyncio.timeout(20):
            return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


def test_data_outlive_kills_stops_and_pauses(own_kafka: EmbeddedKafka) -> None:
    """The broker comes back on the same port, with all that it acknowledged."""
    port = own_kafka.port
    address = own_kafka.bootstrap
    asyncio.run(create_topic(address, TOPIC))
    asyncio.run(write(address, b"one", "a"))

    first = own_kafka.pid
    own_kafka.kill()
    assert not own_kafka.is_running
    began = time.monotonic()
    own_kafka.start()
    assert time.monotonic() - began < 30
    asyncio.run(write(address, b"two", "a"))

    own_kafka.stop()
    own_kafka.start()
    asyncio.run(write(address, b"three", "b"))

    own_kafka.pause()
    own_kafka.resume()
    asyncio.run(write(address, b"four", "b"))

    assert own_kafka.port == port
    assert own_kafka.pid not in {None, first}
    assert asyncio.run(read(address, 4)) == [b"one", b"two", b"three", b"four"]


def test_large_records_pass(own_kafka: EmbeddedKafka) -> None:
    """As large as a plan's result may be, in a topic that was made for them."""

    async def scenario() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=own_kafka.bootstrap)
        await admin.start()
        await admin.create_topics([NewTopic("large", 1, 1)])
        await admin.close()
        producer = AIOKafkaProducer(
            bootstrap_servers=own_kafka.bootstrap, max_request_size=9_000_000
        )
        await producer.start()
        try:
            await producer.send_and_wait("large", os.urandom(8 * 1024 * 1024))
        finally:
            await producer.stop()

    asyncio.run(scenario())


def test_topics_are_not_made_by_accident(own_kafka: EmbeddedKafka) -> None:
    """A misspelt name is an error, not a topic."""

    async def scenario() -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=own_kafka.bootstrap, request_timeout_ms=2000
        )
        await producer.start()
        try:
            with pytest.raises(UnknownTopicOrPartitionError):
                await producer.send_and_wait("no-such-topic", b"x")
        finally:
            await producer.stop()

    asyncio.run(scenario())


def test_starting_a_running_broker_changes_nothing(own_kafka: EmbeddedKafka) -> None:
    """It is the same process."""
    before = own_kafka.pid
    own_kafka.start()

    assert own_kafka.pid == before


def test_a_broker_that_cannot_start_says_why_and_keeps_its_log() -> None:
    """The end of the log is in the error; the temporary data are gone."""
    broker = EmbeddedKafka(settings={"log.cleaner.threads": "none"}, quick=True)
    with pytest.raises(
        KafkaError, match=r"Invalid value none .* log\.cleaner"
    ) as error:
        broker.start()
    log = error.value.log
    try:
        assert "Invalid value none" in log.read_text()
        assert not (log.parent / "data").exists()
    finally:
        broker.close()
    assert not log.exists()


def test_a_port_that_is_taken_is_an_error() -> None:
    """When the caller wanted that very port."""
    with closing(socket.create_server(("127.0.0.1", free_ports(1)[0]))) as taken:
        broker = EmbeddedKafka(port=taken.getsockname()[1], quick=True)
        with pytest.raises(KafkaError, match="Address already in use"), broker:
            pass
        broker.close()


def test_data_may_be_kept_in_a_directory(tmp_path: Path) -> None:
    """Another broker object goes on with them."""
    data = tmp_path / "kafka"
    with EmbeddedKafka(data=data, quick=True) as broker:
        asyncio.run(create_topic(broker.bootstrap, TOPIC))
        asyncio.run(write(broker.bootstrap, b"kept", "a"))
    with EmbeddedKafka(data=data, quick=True) as broker:
        assert asyncio.run(read(broker.bootstrap, 1)) == [b"kept"]
    assert (data / "broker.log").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_broker_started_by_hand_ends_with_its_starter(number: int) -> None:
    """Its port closes, and its temporary data go, even after kill -9."""
    command = [sys.executable, "-m", "streams.devkit.kafka"]
    starter = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True)
    with starter:
        try:
            assert starter.stdout is not None
            host, _, port = starter.stdout.readline().strip().partition(":")
            directory = _directory_of(starter.pid)
            assert host == "127.0.0.1"
            assert _is_open(int(port))
            assert directory.exists()
            starter.send_signal(number)
            code = starter.wait(30)
        finally:
            starter.kill()

    assert code == (-9 if number == signal.SIGKILL else 0)
    deadline = time.monotonic() + 10
    while directory.exists() or _is_open(int(port)):
        assert time.monotonic() < deadline, "something was left behind"
        time.sleep(0.05)


def _directory_of(starter: int) -> Path:
    """Find the temporary directory among the arguments of the starter's guard."""
    ps = ["ps", "-A", "-ww", "-o", "ppid=,args="]
    lines = subprocess.run(ps, capture_output=True, text=True, check=True).stdout
    for line in lines.splitlines():
        parent, *arguments = line.split()
        if int(parent) == starter:
            found = [each for each in arguments if "planstream-kafka-" in each]
            return Path(found[0])
    raise AssertionError("the starter has no broker")


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
