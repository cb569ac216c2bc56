"""Sends step outcomes in whole batches, each with its acknowledgement."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

from aiokafka import AIOKafkaProducer

from schemas import codec
from schemas.record import Record
from streams.config import Settings
from streams.runtime.producers import Entry, send_entries
from streams.topics import Topics, partition_of

Acknowledged = asyncio.Future[None]


class OutcomeSender:
    """Gathers what handlers report in one turn of the loop and sends it together.

    Outcomes of one plan leave in the order in which they were given: one batch
    after the other, from one idempotent producer.
    """

    def __init__(
        self, producer: AIOKafkaProducer, settings: Settings, topics: Topics
    ) -> None:
        self._producer = producer
        self._format = codec.Format(settings.format)
        self._topic = topics.step_outcomes
        self._waiting: list[tuple[str, bytes, Acknowledged]] = []
        self._wake = asyncio.Event()

    def send(
        self, plan_id: str, model: type[Record], fields: dict[str, Any]
    ) -> Acknowledged:
        """Queue an outcome; the future is done when the broker has it."""
        value = codec.encode_fields(model, fields, self._format)
        future: Acknowledged = asyncio.get_running_loop().create_future()
        self._waiting.append((plan_id, value, future))
        self._wake.set()
        return future

    async def run(self) -> None:
        """Send what gathers, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            waiting, self._waiting = self._waiting, []
            await self._send(waiting)

    async def _send(self, waiting: list[tuple[str, bytes, Acknowledged]]) -> None:
        entries: dict[int, list[Entry]] = defaultdict(list)
        futures: dict[int, list[Acknowledged]] = defaultdict(list)
        for plan_id, value, future in waiting:
            key = plan_id.encode()
            partition = partition_of(key, self._topic.partitions)
            entries[partition].append(Entry(key, value))
            futures[partition].append(future)
        for partition, batch in entries.items():
            sent = await send_entries(
                self._producer, self._topic.name, partition, batch
            )
            _settle_together(sent, futures[partition])


def _settle_together(
    sent: list[asyncio.Future[object]], waiting: list[Acknowledged]
) -> None:
    """Settle all of `waiting` when the last of `sent` is done."""
    left = len(sent)

    def done(batch: asyncio.Future[object]) -> None:
        nonlocal left
        left -= 1
        error = batch.exception()
        for future in waiting:
            if future.done():
                continue
            if error is not None:
                future.set_exception(error)
            elif left == 0:
                future.set_result(None)

    for batch in sent:
        batch.add_done_callback(done)
