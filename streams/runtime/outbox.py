"""Sends records in rounds: what gathers while one round is under way makes the next.

aiokafka sends one batch of a partition at a time, has one request to a broker in
flight, and `send_batch` waits until the partition's batch before it has left. A batch
for every few records therefore queues up behind itself, and whoever sends waits. Here
nobody waits to add, and a round has one batch for each partition, whatever its size.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

from aiokafka import AIOKafkaProducer

from agents.effects import Content
from streams.runtime.producers import send_entries
from streams.runtime.progress import Look

Acknowledgement = asyncio.Future[None]
"""Done when the broker has the whole round; failed when it never will have."""
Batches = dict[tuple[str, int], list[Content]]


class Outbox:
    """The records that wait for the next round of one producer.

    Records of a partition leave in the order in which they were added.
    """

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._waiting: Batches = defaultdict(list)
        self._round: Acknowledgement | None = None
        self._wake = asyncio.Event()
        self.waiting = 0
        """How many records no round has taken yet."""
        self.rounds = 0
        """How many rounds have ended, well or not."""
        self._is_sending = False

    def add(self, topic: str, partition: int, entry: Content) -> Acknowledgement:
        """Queue a record; all of a round share one acknowledgement."""
        self._waiting[topic, partition].append(entry)
        self.waiting += 1
        if self._round is None:
            self._round = asyncio.get_running_loop().create_future()
            # Whoever adds may not care: an unseen failure is no news then.
            self._round.add_done_callback(_look_at)
            self._wake.set()
        return self._round

    async def run(self) -> None:
        """Send round after round, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            waiting, self._waiting = self._waiting, defaultdict(list)
            self.waiting = 0
            current, self._round = self._round, None
            if current is not None:
                self._is_sending = True
                await self._send(waiting, current)
                self._is_sending = False
                self.rounds += 1

    def look(self, name: str) -> Look:
        """Whether rounds end, while there is something to send."""
        return Look(name, todo=self.waiting + self._is_sending, stands=self.rounds)

    async def _send(self, waiting: Batches, current: Acknowledgement) -> None:
        try:
            sent: list[asyncio.Future[object]] = []
            for (topic, partition), entries in waiting.items():
                sent += await send_entries(self._producer, topic, partition, entries)
            for batch in sent:
                await batch
        except asyncio.CancelledError:
            current.cancel()
            raise
        except Exception as exc:  # noqa: BLE001 - whoever waits for it decides
            current.set_exception(exc)
        else:
            current.set_result(None)


def _look_at(acknowledgement: Acknowledgement) -> None:
    if not acknowledgement.cancelled():
        acknowledgement.exception()
