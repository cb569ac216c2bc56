"""Reads the halts topic: which executions want no attempts any longer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from schemas import codec
from schemas.steps import ExecutionHalted
from streams.config import Settings
from streams.runtime.producers import doubt_silence
from streams.runtime.replay import read_from_start

logger = logging.getLogger("planstream.worker")


class HaltReader:
    """Follows the whole topic without a group, as every step worker must see it all."""

    def __init__(
        self, settings: Settings, topic: str, halt: Callable[..., None]
    ) -> None:
        self._consumer = AIOKafkaConsumer(
            **settings.connection(),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=500,
        )
        doubt_silence(self._consumer._client)
        self._tp = TopicPartition(topic, 0)
        self._halt = halt
        self.turns = 0
        """How often it has asked for halts."""

    async def start(self) -> None:
        """Read what lies there: what killed a worker must not run again (R29)."""
        await self._consumer.start()
        end = (await read_from_start(self._consumer, [self._tp]))[self._tp]
        while await self._consumer.position(self._tp) < end:
            await self._read(timeout_ms=200)

    async def run(self) -> None:
        """Follow the topic until cancelled."""
        while True:
            await self._read(timeout_ms=1000)

    @property
    def consumer(self) -> AIOKafkaConsumer:
        """What reads them."""
        return self._consumer

    async def stop(self) -> None:
        """Leave the broker."""
        await self._consumer.stop()

    async def _read(self, timeout_ms: int) -> None:
        self.turns += 1
        for records in (await self._consumer.getmany(timeout_ms=timeout_ms)).values():
            # At once: each time all requests that wait are looked through.
            self._halt(*self._executions(records))

    def _executions(self, records: Iterable[Any]) -> Iterator[str]:
        for record in records:
            try:
                yield codec.decode(record.value, ExecutionHalted).execution_id
            except codec.DecodeError as error:
                logger.warning("halts at %d is unreadable: %s", record.offset, error)
