"""Reads single submissions from the plans topic, for requests that refer to them."""

from __future__ import annotations

import asyncio
import logging

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.structs import TopicPartition

from streams.config import Settings
from streams.runtime.producers import doubt_silence
from streams.runtime.progress import Look

logger = logging.getLogger("planstream.worker")

LOOK_MS = 1_000
"""How long one submission is waited for before another has its turn: partitions of
which a broker is away must not hold up those of others."""
TURN_S = 5.0
"""How long one turn may take with all that is asked of brokers in it."""
PAUSE_S = 0.5


class SubmissionReader:
    """Goes to an offset and takes what is there; it connects when it is first asked.

    What a coordinator has admitted was committed: the isolation level plays no part.
    """

    def __init__(self, settings: Settings, topic: str) -> None:
        self._settings = settings
        self._topic = topic
        self._turn = asyncio.Lock()
        self.consumer: AIOKafkaConsumer | None = None
        """What reads; None before the first submission is asked for."""
        self.waiting = 0
        """How many submissions are asked for."""
        self.turns = 0
        """How often it has looked for one."""

    async def read(self, partition: int, offset: int) -> bytes | None:
        """The value at an offset of a partition; None when it is there no longer.

        While the broker is away it waits, until it is cancelled.
        """
        tp = TopicPartition(self._topic, partition)
        self.waiting += 1
        try:
            while True:
                async with self._turn:
                    found = await self._look(tp, offset)
                if isinstance(found, bytes):
                    return found
                if found is False:
                    return None
        finally:
            self.waiting -= 1

    def look(self, name: str) -> Look:
        """Whether it looks, while something is asked for."""
        return Look(name, todo=self.waiting, stands=self.turns)

    async def stop(self) -> None:
        """Leave the broker."""
        if self.consumer is not None:
            await self.consumer.stop()

    async def _look(self, tp: TopicPartition, offset: int) -> bytes | bool:
        """The value, or whether it may still come."""
        self.turns += 1
        try:
            async with asyncio.timeout(TURN_S):
                if self.consumer is None:
                    self.consumer = await self._connect()
                return await self._take(self.consumer, tp, offset)
        except OffsetOutOfRangeError:
            return False
        except (KafkaError, TimeoutError) as exc:
            logger.warning("the submission at %s, %d waits: %r", tp, offset, exc)
            await asyncio.sleep(PAUSE_S)
            return True

    async def _connect(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            **self._settings.connection(),
            enable_auto_commit=False,
            auto_offset_reset="none",
            # A broker gives a whole batch in any case, and no more is wanted.
            max_partition_fetch_bytes=1,
        )
        doubt_silence(consumer._client)
        try:
            await consumer.start()
        except BaseException:
            await consumer.stop()
            raise
        return consumer

    async def _take(
        self, consumer: AIOKafkaConsumer, tp: TopicPartition, offset: int
    ) -> bytes | bool:
        consumer.assign([tp])
        consumer.seek(tp, offset)
        try:
            records = (await consumer.getmany(timeout_ms=LOOK_MS)).get(tp)
        finally:
            consumer.pause(tp)
        if records:
            first = records[0]
            return first.value if first.offset == offset and first.value else False
        # Nothing comes of a log that ends before: it is another one of this name.
        return bool(offset < (await consumer.end_offsets([tp]))[tp])
