"""Transactions that end while a partition has no leader: Kafka leaves them open there.

That is a defect of Kafka, at least up to 4.3 (docs/adr/0014); the tests first make sure
that it is there still.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from streams.config import Settings
from streams.devkit.cluster import EmbeddedCluster
from streams.devkit.kafka import EmbeddedKafka
from streams.runtime import hanging
from streams.runtime.commit import CommitTerms, GroupCommit, Pending
from streams.runtime.hanging import HangingTransactions
from streams.runtime.producers import transactional_producer
from streams.runtime.transactions import hidden_logs, last_transaction
from streams.runtime.writer import Writer
from tests.chaos.broker_faults import start
from tests.chaos.whereabouts import coordinator_of
from tests.integration.system import eventually

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(180)]

WITHIN_S = 60.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[EmbeddedCluster]:
    """Give three brokers; each test leaves them whole."""
    with EmbeddedCluster(quick=True) as three:
        yield three


@dataclass
class Bench:
    """A transactional id, and two logs: one that stays, one that loses its leader."""

    cluster: EmbeddedCluster
    topic: str
    settings: Settings
    admin: AIOKafkaAdminClient
    monitor: AIOKafkaConsumer
    lost: EmbeddedKafka
    stays: TopicPartition
    loses: TopicPartition
    watched: HangingTransactions
    current: list[GroupCommit]

    def new_writer(self, changelog: TopicPartition | None = None) -> Writer:
        """Give one that has not taken the id over yet."""
        producer = transactional_producer(self.settings, self.topic)
        tp = changelog or self.stays
        return Writer(producer, self.topic, tp, self.monitor._client)

    async def writer(self, changelog: TopicPartition | None = None) -> Writer:
        """Take the id over."""
        writer = self.new_writer(changelog)
        await writer.fence()
        return writer

    async def hasty_writer(self) -> Writer:
        """Take the id over although a log has no leader: it may lose it just then."""
        writer = self.new_writer()
        writer.before = await last_transaction(self.monitor._client, self.topic)
        await writer.producer.start()
        return writer

    def commit(self, writer: Writer) -> GroupCommit:
        """Have it commit rows, and be watched."""
        commit = GroupCommit(
            writer,
            self.stays,
            CommitTerms.of(self.settings),
            lambda record: self.loses,
            lambda events: None,
        )
        commit.start()
        self.current[:] = [commit]
        return commit

    async def write(self, writer: Writer) -> None:
        """Begin a transaction with a record in each of the logs."""
        await writer.producer.begin_transaction()
        for tp in (self.stays, self.loses):
            await writer.producer.send_and_wait(
                tp.topic, b"a record", partition=tp.partition
            )

    async def commit_half(self, writer: Writer) -> None:
        """Commit a record in each of the logs, one of which gets no marker."""
        await self.write(writer)
        async with self.leaderless():
            await writer.producer.commit_transaction()
        assert await self.hidden() == [self.loses]

    @asynccontextmanager
    async def leaderless(self) -> AsyncIterator[None]:
        """Kill the one broker that has a log; it is back at the end of the block."""
        await asyncio.to_thread(self.lost.kill)
        try:
            await eventually(self._leader, lambda leader: leader == -1, WITHIN_S)
            yield
        finally:
            await asyncio.to_thread(start, self.lost)
            await asyncio.to_thread(self.cluster.wait_until_whole)
            await eventually(self._leader, lambda leader: leader > 0, WITHIN_S)

    async def _leader(self) -> int:
        try:
            (described,) = await self.admin.describe_topics([self.topic])
        except KafkaError:  # of the broker that is being killed
            return 0
        leaders = {
            each["partition"]: each["leader"] for each in described["partitions"]
        }
        return int(leaders[self.loses.partition])

    async def hidden(self) -> list[TopicPartition]:
        """The logs that cannot be read to their ends."""
        await self.monitor.end_offsets([self.stays, self.loses])
        return await hidden_logs(self.monitor._client, [self.stays, self.loses])

    async def readable(self) -> list[bytes]:
        """What can be read in the log that lost its leader."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.cluster.bootstrap,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
        )
        await consumer.start()
        try:
            consumer.assign([self.loses])
            fetched = await consumer.getmany(timeout_ms=3000)
            return [each.value for records in fetched.values() for each in records]
        finally:
            await consumer.stop()


@asynccontextmanager
async def bench(
    cluster: EmbeddedCluster, topic: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Bench]:
    monkeypatch.setattr(hanging, "LOOK_EVERY_S", 0.2)
    monkeypatch.setattr(hanging, "SURE_S", 1.0)
    settings = Settings.load(broker=cluster.bootstrap)
    keeper = await coordinator_of(cluster, topic)
    stays = cluster.nodes.index(keeper)
    loses = (stays + 1) % 3
    admin = AIOKafkaAdminClient(bootstrap_servers=cluster.bootstrap)
    monitor = AIOKafkaConsumer(bootstrap_servers=cluster.bootstrap)
    await admin.start()
    try:
        one_each = {number: [number + 1] for number in range(3)}
        new = NewTopic(
            name=topic,
            num_partitions=-1,
            replication_factor=-1,
            replica_assignments=one_each,
            topic_configs={"min.insync.replicas": "1"},
        )
        await admin.create_topics([new])
        await monitor.start()
        tps = [TopicPartition(topic, number) for number in range(3)]
        current: list[GroupCommit] = []
        yield Bench(
            cluster,
            topic,
            settings,
            admin,
            monitor,
            cluster.nodes[loses],
            tps[stays],
            tps[loses],
            HangingTransactions(monitor, tps, lambda: current),
            current,
        )
    finally:
        await monitor.stop()
        await admin.close()


def test_what_a_running_coordinator_has_committed_can_be_read(
    cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit without an end in one of its logs gets it there by the watch."""

    async def scenario() -> None:
        async with bench(cluster, "of-the-running", monkeypatch) as at:
            writer = await at.writer()
            await at.commit_half(writer)
            assert not await at.readable()

            commit = at.commit(writer)
            watching = asyncio.create_task(at.watched.run())
            await eventually(at.hidden, lambda hidden: not hidden)
            assert await at.readable() == [b"a record"]
            watching.cancel()
            commit.add(Pending(rows={b"key": b"a row"}, urgent=True))
            await commit.drain()
            assert commit.commits == 1
            await writer.producer.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize("committed", [True, False])
def test_what_a_former_coordinator_has_left_ends_as_it_did_elsewhere(
    cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch, *, committed: bool
) -> None:
    """Its successor has it committed, or aborted, as it was in the other logs."""

    async def scenario() -> None:
        topic = f"of-a-former-one-{committed}"
        async with bench(cluster, topic, monkeypatch) as at:
            former = await at.writer()
            await at.write(former)
            async with at.leaderless():
                if committed:
                    await former.producer.commit_transaction()
                successor = await at.hasty_writer()
            assert await at.hidden() == [at.loses]

            await successor.take_over()
            at.commit(successor)
            watching = asyncio.create_task(at.watched.run())
            await eventually(at.hidden, lambda hidden: not hidden)
            watching.cancel()
            assert await at.readable() == ([b"a record"] if committed else [])
            await successor.producer.stop()
            await former.producer.stop()

    asyncio.run(scenario())


def test_who_takes_over_waits_for_logs_of_what_that_aborts(
    cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until they have leaders: then they all get their markers, and nothing hangs."""

    async def scenario() -> None:
        async with bench(cluster, "of-one-in-between", monkeypatch) as at:
            former = await at.writer()
            await at.write(former)
            async with at.leaderless():
                taking_over = asyncio.create_task(at.writer())
                await asyncio.sleep(2.0)
                assert not taking_over.done()
            successor = await taking_over
            await eventually(at.hidden, lambda hidden: not hidden)
            assert not await at.readable()
            await successor.producer.stop()
            await former.producer.stop()

    asyncio.run(scenario())


def test_a_changelog_is_whole_before_it_is_replayed(
    cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A successor ends what hides its predecessor's rows before it reads any."""

    async def scenario() -> None:
        async with bench(cluster, "of-a-changelog", monkeypatch) as at:
            former = await at.writer()
            await at.write(former)
            async with at.leaderless():
                await former.producer.commit_transaction()
            successor = await at.writer(changelog=at.loses)
            assert await at.hidden() == [at.loses]

            await successor.take_over()
            assert not await at.hidden()
            assert await at.readable() == [b"a record"]
            await successor.producer.stop()
            await former.producer.stop()

    asyncio.run(scenario())


def test_what_is_committed_outlives_a_death_in_the_next_transaction(
    cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is ended before the next one writes to its log, and is aborted with."""

    async def scenario() -> None:
        async with bench(cluster, "of-the-next", monkeypatch) as at:
            former = await at.writer()
            await at.commit_half(former)
            await former.make_ready({at.stays, at.loses})
            await at.write(former)

            successor = await at.writer()
            await successor.take_over()
            await eventually(at.hidden, lambda hidden: not hidden)
            assert await at.readable() == [b"a record"]
            await successor.producer.stop()
            await former.producer.stop()

    asyncio.run(scenario())


def test_what_is_aborted_is_not_committed_by_the_next_transaction(
    cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A successor's first commit in a log must not end there what it aborted."""

    async def scenario() -> None:
        async with bench(cluster, "of-the-aborted", monkeypatch) as at:
            former = await at.writer()
            await at.write(former)
            async with at.leaderless():
                successor = await at.hasty_writer()
            assert await at.hidden() == [at.loses]
            await successor.take_over()
            await successor.make_ready({at.stays, at.loses})
            await at.write(successor)
            await successor.producer.commit_transaction()
            await eventually(at.hidden, lambda hidden: not hidden)
            assert await at.readable() == [b"a record"]
            await successor.producer.stop()
            await former.producer.stop()

    asyncio.run(scenario())


def test_a_transaction_that_is_under_way_is_left_alone(
    cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it takes: whoever looks into it finds that it has not ended."""

    async def scenario() -> None:
        async with bench(cluster, "under-way", monkeypatch) as at:
            writer = await at.writer()
            await at.write(writer)
            await writer.end_what_is_over({at.stays, at.loses})
            assert set(await at.hidden()) == {at.stays, at.loses}
            await writer.producer.commit_transaction()
            await eventually(at.readable, lambda read: read == [b"a record"])
            await writer.producer.stop()

    asyncio.run(scenario())
