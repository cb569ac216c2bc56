"""The load generator's connection to Kafka."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from agents.partitioner import partition_of
from benchmarks.submissions import Submission
from streams.config import Settings
from streams.runtime.fetching import hand_over_first
from streams.topics import Topics

BATCH_FROM = 6
"""As many records are cheaper to send in batches of ours than one by one."""
FETCH_MAX_WAIT_MS = 10


class Client:
    """Sends submissions, and receives what comes of them."""

    def __init__(
        self,
        producer: AIOKafkaProducer,
        consumer: AIOKafkaConsumer,
        topics: Topics,
    ) -> None:
        self.producer = producer
        self.consumer = consumer
        self.topics = topics
        self.failure: BaseException | None = None

    @classmethod
    @asynccontextmanager
    async def connected(cls, settings: Settings) -> AsyncIterator[Self]:
        """Connects, with the consumer at the end of what is there."""
        topics = Topics.of(settings)
        producer = AIOKafkaProducer(
            **settings.connection(),
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=1 << 18,
            max_request_size=settings.max_request_bytes,
        )
        consumer = AIOKafkaConsumer(
            **settings.connection(),
            isolation_level="read_committed",
            enable_auto_commit=False,
            fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
            max_partition_fetch_bytes=settings.max_request_bytes,
        )
        async with producer, consumer:
            await producer.partitions_for(topics.plans.name)
            hand_over_first(consumer)
            await _seek_to_end(consumer, topics)
            yield cls(producer, consumer, topics)

    async def send(self, submissions: Sequence[Submission]) -> None:
        """Hands submissions over; raises what became of earlier ones."""
        if self.failure is not None:
            raise self.failure
        if len(submissions) < BATCH_FROM:
            await self._send_singly(submissions)
        else:
            await self._send_batches(submissions)

    async def receive(self, timeout_s: float) -> list[Any]:
        """Waits for records of the results topics, and of the dead letters'."""
        chunks = await self.consumer.getmany(timeout_ms=int(timeout_s * 1000))
        return [record for records in chunks.values() for record in records]

    async def _send_singly(self, submissions: Iterable[Submission]) -> None:
        topic = self.topics.plans.name
        for each in submissions:
            self._watch(
                await self.producer.send(
                    topic,
                    each.value,
                    key=each.plan_id,
                    partition=partition_of(each.plan_id, self.topics.plans.partitions),
                )
            )

    async def _send_batches(self, submissions: Iterable[Submission]) -> None:
        by_partition = defaultdict(list)
        for each in submissions:
            place = partition_of(each.plan_id, self.topics.plans.partitions)
            by_partition[place].append(each)
        for partition, records in by_partition.items():
            await self._send_partition(partition, records)

    async def _send_partition(
        self, partition: int, submissions: Iterable[Submission]
    ) -> None:
        batch = self.producer.create_batch()
        for each in submissions:
            if _append(batch, each):
                continue
            await self._send_batch(batch, partition)
            batch = self.producer.create_batch()
            _append(batch, each)  # the first record always fits
        await self._send_batch(batch, partition)

    async def _send_batch(self, batch: Any, partition: int) -> None:
        batch.close()
        topic = self.topics.plans.name
        self._watch(await self.producer.send_batch(batch, topic, partition=partition))

    def _watch(self, sending: asyncio.Future[Any]) -> None:
        sending.add_done_callback(self._sent)

    def _sent(self, sending: asyncio.Future[Any]) -> None:
        if not sending.cancelled() and sending.exception() is not None:
            self.failure = sending.exception()


def _append(batch: Any, submission: Submission) -> bool:
    added = batch.append(key=submission.plan_id, value=submission.value, timestamp=None)
    return added is not None


async def _seek_to_end(consumer: AIOKafkaConsumer, topics: Topics) -> None:
    """Takes all partitions, without a group: nobody shares the results."""
    partitions = [
        TopicPartition(topic.name, number)
        for topic in (*topics.results, topics.rejected)
        for number in range(topic.partitions)
    ]
    consumer.assign(partitions)
    await consumer.seek_to_end()
    for partition in partitions:
        await consumer.position(partition)
