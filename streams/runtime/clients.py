"""The broker clients that a coordinator's partitions share."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from streams.config import Settings
from streams.runtime.outbox import Acknowledgement, Outbox
from streams.runtime.producers import (
    be_patient,
    best_effort_producer,
    doubt_silence,
    idempotent_producer,
)

logger = logging.getLogger("planstream.coordinator")

FAREWELL_S = 1.0
"""How long a shutdown waits for what is not needed: events, offsets for monitors."""


@dataclass(frozen=True, slots=True)
class Clients:
    """Producers, what they send, and a consumer to ask for offsets.

    Attributes:
        producer: idempotent; sends what is in the outbox.
        outbox: step requests and commands.
        herald: gives up on what it cannot send.
        events: sent by the herald, so that trouble with them is no trouble for what
            commits wait for (§5.0).
        monitor: asks for offsets, and about transactions. It reads uncommitted: what
            arrived counts, also when it lies behind somebody's open transaction.
    """

    producer: AIOKafkaProducer
    outbox: Outbox
    herald: AIOKafkaProducer
    events: Outbox
    monitor: AIOKafkaConsumer

    @classmethod
    async def start(cls, settings: Settings) -> Clients:
        """Connect them all."""
        producer = idempotent_producer(settings)
        herald = best_effort_producer(settings)
        monitor = AIOKafkaConsumer(**settings.connection())
        doubt_silence(monitor._client)
        be_patient(monitor._client)
        clients = cls(producer, Outbox(producer), herald, Outbox(herald), monitor)
        try:
            await producer.start()
            await herald.start()
            await monitor.start()
        except BaseException:
            await clients.stop()
            raise
        return clients

    async def stop(self) -> None:
        """Send what can be sent, and leave the broker."""
        await self.producer.stop()
        await self.monitor.stop()
        with suppress(TimeoutError):  # what cannot be sent is retried for a while
            await asyncio.wait_for(self.herald.stop(), FAREWELL_S)

    def by_name(self) -> dict[str, Any]:
        """Each of them, by what it is for."""
        return {
            "the requests' producer": self.producer,
            "the events' producer": self.herald,
            "the monitor": self.monitor,
        }


def report_unsent(acknowledgement: Acknowledgement) -> None:
    """Events are best effort: that they were not sent changes nothing (§5.0)."""
    if not acknowledgement.cancelled() and (error := acknowledgement.exception()):
        logger.warning("outcome events were not sent: %s", error)
