"""Reads results back, as they are committed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from agents.effects import Headers
from schemas.codec import decode
from schemas.results import PlanResult
from streams.broker import CONNECTION_ERRORS, connect, reason_of
from streams.config import Settings
from streams.exceptions import ResultsLost
from streams.runtime.fetching import hand_over_first
from streams.topics import Topic, Topics

POLL_MS = 1_000
CHUNK = 500
"""Records taken at once: more would let other tasks of the loop wait for long."""


@dataclass(frozen=True, slots=True)
class Received:
    """A result, and where it lay (R41)."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    headers: Headers
    result: PlanResult


@dataclass(frozen=True, slots=True)
class Rejected:
    """A dead letter (R38)."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    headers: Headers
    key: bytes | None
    value: bytes | None

    @property
    def plan_id(self) -> str:
        """The plan's id, if the letter was keyed by one."""
        return as_text(self.key)

    @property
    def reason(self) -> str:
        """Why it was refused, such as `DUPLICATE_EXECUTION`."""
        return self.header("reason")

    @property
    def detail(self) -> str:
        """The reason in words."""
        return self.header("reason-detail")

    def header(self, name: str) -> str:
        """Read a header; ours come last, a submitter's own of that name before."""
        values = [value for header, value in self.headers if header == name]
        return as_text(values[-1]) if values else ""


def received(record: ConsumerRecord) -> Received:
    """Read a record of a results topic.

    Raises:
        DecodeError: The record holds no result.
    """
    return Received(*_place(record), result=decode(record.value, PlanResult))


def rejected(record: ConsumerRecord) -> Rejected:
    """Read a record of the topic of dead letters, which may hold anything."""
    return Rejected(*_place(record), key=record.key, value=record.value)


def _place(record: ConsumerRecord) -> tuple[str, int, int, int, Headers]:
    where = (record.topic, record.partition, record.offset, record.timestamp)
    return (*where, tuple(record.headers))


def as_text(value: bytes | None) -> str:
    """Turn a key, or a header's value, into text; what is missing is empty."""
    return (value or b"").decode("utf-8", "replace")


def new_consumer(settings: Settings, **options: Any) -> AIOKafkaConsumer:
    """Make a consumer that sees nothing but what was committed, without a group."""
    return AIOKafkaConsumer(
        **settings.connection(),
        isolation_level="read_committed",
        enable_auto_commit=False,
        # Retention may run over a reader that was away for long.
        auto_offset_reset="earliest",
        fetch_max_wait_ms=settings.fetch_max_wait_ms,
        **options,
    )


def partitions_of(topics: Iterable[Topic]) -> list[TopicPartition]:
    """List the partitions of topics."""
    return [
        TopicPartition(topic.name, number)
        for topic in topics
        for number in range(topic.partitions)
    ]


async def assign(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], since: int | None
) -> None:
    """Assign partitions, and go to the first records at or after `since`.

    By hand, and not by subscription: aiokafka forgets all positions of a subscription
    when a topic is missing from the metadata for a moment.

    Args:
        consumer: A started consumer.
        partitions: What it is to read.
        since: Unix ms; None is the end, as it is now.
    """
    offsets = await consumer.end_offsets(partitions)
    if since is not None:
        times = dict.fromkeys(partitions, max(0, since))
        for partition, found in (await consumer.offsets_for_times(times)).items():
            if found is not None:
                offsets[partition] = found.offset
    consumer.assign(partitions)
    for partition, offset in offsets.items():
        consumer.seek(partition, offset)


class ResultStream:
    """All results from some time on, one by one; with `rejected`, dead letters too.

    ```python
    async with client.results(since=0) as results:
        async for each in results:
            print(each.topic, each.result.status)
    ```

    The order is that of each partition. Streams share nothing: each reads on its own.
    """

    def __init__(
        self, settings: Settings, *, since: int | None = None, rejected: bool = False
    ) -> None:
        self._settings = settings
        self._topics = Topics.of(settings)
        self._since = since
        self._with_rejected = rejected
        self._consumer: AIOKafkaConsumer | None = None
        self._pending: list[ConsumerRecord] = []

    async def start(self) -> None:
        """Take the position from which results are read.

        Raises:
            BrokerUnreachable: The broker does not answer.
        """
        consumer = new_consumer(self._settings)
        await connect(consumer, self._settings)
        hand_over_first(consumer)
        self._consumer = consumer
        topics = list(self._topics.results)
        if self._with_rejected:
            topics.append(self._topics.rejected)
        try:
            await assign(consumer, partitions_of(topics), self._since)
        except CONNECTION_ERRORS as error:
            await self.stop()
            raise ResultsLost(reason_of(error)) from error

    async def stop(self) -> None:
        """Leave; the iteration ends."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Received | Rejected:
        while not self._pending:
            if self._consumer is None:
                raise StopAsyncIteration
            await self._poll(self._consumer)
        record = self._pending.pop()
        if record.topic == self._topics.rejected.name:
            return rejected(record)
        return received(record)

    async def _poll(self, consumer: AIOKafkaConsumer) -> None:
        try:
            batches = await consumer.getmany(timeout_ms=POLL_MS, max_records=CHUNK)
        except CONNECTION_ERRORS as error:
            if self._consumer is None:  # stopped while waiting
                return
            raise ResultsLost(reason_of(error)) from error
        records = [record for batch in batches.values() for record in batch]
        self._pending = records[::-1]
