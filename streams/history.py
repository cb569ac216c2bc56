"""Looks results up in the past of their topics."""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from agents.partitioner import partition_of
from streams.broker import connect, disconnect, reason_of
from streams.config import Settings
from streams.exceptions import BrokerUnreachable, PlanstreamError, ResultsLost
from streams.results import CHUNK, POLL_MS, as_text, assign, new_consumer
from streams.topics import Topics

Deliver = Callable[[ConsumerRecord], None]
Fail = Callable[[list[str], PlanstreamError], None]


class History:
    """Scans for plans that may have ended before anybody waited for them.

    A plan's results are in one partition of each topic, so a look-up reads three
    partitions, from `since` to the end as it is then. Plans that are asked for while a
    scan runs share the next one.
    """

    def __init__(
        self, settings: Settings, lookback_ms: int, deliver: Deliver, fail: Fail
    ) -> None:
        self._settings = settings
        self._lookback_ms = lookback_ms
        self._deliver = deliver
        self._fail = fail
        self._results = Topics.of(settings).results
        self._wanted: dict[str, int] = {}
        self._scanning: asyncio.Task[None] | None = None

    def look_up(self, plan_id: str, since: int | None) -> None:
        """Ask for a plan's result; it is delivered if it is found.

        Args:
            plan_id: The plan's id.
            since: Unix ms; by default the client's look-back before now.
        """
        if since is None:
            since = int(time.time() * 1000) - self._lookback_ms
        self._wanted[plan_id] = min(since, self._wanted.get(plan_id, since))
        if self._scanning is None or self._scanning.done():
            self._scanning = asyncio.create_task(self._scan_all(), name="scan results")

    async def stop(self) -> None:
        """End a scan."""
        if self._scanning is not None:
            self._scanning.cancel()
            with suppress(asyncio.CancelledError):
                await self._scanning

    async def _scan_all(self) -> None:
        """Scan until nobody asks; a failure reaches those who asked, nobody else."""
        while self._wanted:
            wanted, self._wanted = self._wanted, {}
            try:
                await self._scan(wanted)
            except BrokerUnreachable as error:
                self._fail(list(wanted), error)
            except Exception as error:  # noqa: BLE001 whatever it is, they must know
                self._fail(list(wanted), ResultsLost(reason_of(error)))

    async def _scan(self, wanted: dict[str, int]) -> None:
        consumer = new_consumer(self._settings)
        await connect(consumer, self._settings)
        try:
            partitions = self._partitions(wanted)
            await assign(consumer, partitions, min(wanted.values()))
            await self._read_to_end(consumer, partitions, set(wanted))
        finally:
            await disconnect(consumer)

    def _partitions(self, plan_ids: Iterable[str]) -> list[TopicPartition]:
        count = self._settings.partitions
        numbers = sorted({partition_of(each.encode(), count) for each in plan_ids})
        return [
            TopicPartition(topic.name, number)
            for topic in self._results
            for number in numbers
        ]

    async def _read_to_end(
        self,
        consumer: AIOKafkaConsumer,
        partitions: list[TopicPartition],
        plan_ids: set[str],
    ) -> None:
        """Read up to the end as it is now: what comes later, the live reader sees.

        The end is a position, not a record: the last entries of a log may be the marks
        of transactions, which no reader is ever handed.
        """
        ends = await consumer.end_offsets(partitions)
        unread = set(partitions)
        while unread and plan_ids:
            batches = await consumer.getmany(timeout_ms=POLL_MS, max_records=CHUNK)
            for batch in batches.values():
                self._pick(batch, plan_ids)
            for partition in list(unread):
                if await consumer.position(partition) >= ends[partition]:
                    unread.discard(partition)
                    consumer.pause(partition)

    def _pick(self, batch: list[ConsumerRecord], plan_ids: set[str]) -> None:
        for record in batch:
            plan_id = as_text(record.key)
            if plan_id in plan_ids:
                plan_ids.discard(plan_id)
                self._deliver(record)
