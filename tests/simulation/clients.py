"""What stands in for aiokafka's producers and consumers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aiokafka.structs import TopicPartition

from streams.runtime.producers import Entry
from tests.simulation.broker import COMMITTED, Broker
from tests.simulation.processes import OWNER

RETRY_S = 0.004


class Batch:
    """Entries that are sent together."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def append(self, *, key: Any, value: Any, timestamp: int, headers: Any) -> object:
        self.entries.append(Entry(key, value, headers))
        return self

    def record_count(self) -> int:
        return len(self.entries)

    def size(self) -> int:
        return 0


@dataclass(frozen=True)
class Manager:
    """Knows who a transactional producer is."""

    producer_id: int = -1
    producer_epoch: int = -1


class Producer:
    """Keeps the order of what it sends; transactional when it has an id."""

    def __init__(self, broker: Broker, name: str | None = None) -> None:
        self._broker = broker
        self._name = name
        self._lane = [0.0]
        self._txn_manager = Manager()

    async def start(self) -> None:
        if self._name is None:
            return
        asked = self._broker.loop.time(), OWNER.get()
        while True:
            epoch = await self._broker.post(lambda: self._broker.fence(self._id, asked))
            if epoch is not None:
                number = self._broker.identify(self._id).number
                self._txn_manager = Manager(number, epoch)
                return
            await asyncio.sleep(RETRY_S)

    async def stop(self) -> None:
        await asyncio.sleep(0)

    @property
    def identity(self) -> tuple[str, int]:
        """Its transactional id and epoch."""
        return self._id, self._txn_manager.producer_epoch

    @property
    def _id(self) -> str:
        assert self._name is not None
        return self._name

    def create_batch(self) -> Batch:
        return Batch()

    async def begin_transaction(self) -> None:
        while not self._broker.is_settled(self._id):
            await asyncio.sleep(RETRY_S)

    async def send_batch(
        self, batch: Batch, topic: str, *, partition: int
    ) -> asyncio.Future[Any]:
        place, broker = (topic, partition), self._broker
        if self._name is None:
            return broker.post(
                lambda: broker.append(place, batch.entries, None), self._lane
            )
        name, epoch = self._name, self._txn_manager.producer_epoch
        return broker.post(
            lambda: broker.produce(name, epoch, place, batch.entries),
            self._lane,
            not_before=broker.leads_at.get(place, 0.0),
        )

    async def commit_transaction(self) -> None:
        name, broker = self._id, self._broker
        epoch = self._txn_manager.producer_epoch
        await broker.post(
            lambda: broker.end_transaction(name, epoch, COMMITTED),
            self._lane,
            not_before=broker.commits_resume,
        )


class Client:
    """Connections that nobody doubts; the broker is asked past them."""

    send = _get_conn = coordinator_lookup = None

    async def force_metadata_update(self) -> None:
        await asyncio.sleep(0)


class Consumer:
    """A consumer without a group."""

    def __init__(self, broker: Broker, isolation_level: str = "", **_: Any) -> None:
        self._client = Client()
        self._broker = broker
        self._committed = isolation_level == "read_committed"
        self._at: dict[TopicPartition, int] = {}

    async def start(self) -> None:
        await asyncio.sleep(0)

    async def stop(self) -> None:
        await asyncio.sleep(0)

    async def beginning_offsets(
        self, tps: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        return dict.fromkeys(tps, 0)

    async def end_offsets(
        self, tps: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        wanted, broker = list(tps), self._broker
        found: dict[TopicPartition, int] = await broker.post(
            lambda: {tp: broker.end(tp, committed=self._committed) for tp in wanted}
        )
        return found

    def assign(self, tps: Iterable[TopicPartition]) -> None:
        self._at = dict.fromkeys(tps, 0)

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self._at[tp] = offset

    def pause(self, *tps: TopicPartition) -> None:
        for tp in tps:
            del self._at[tp]

    async def position(self, tp: TopicPartition) -> int:
        return self._at[tp]

    async def getmany(self, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        found = await self._fetch()
        if not found:
            loop = self._broker.loop
            waiters = [self._broker.changed(tp) for tp in self._at]
            timer = loop.call_later(timeout_ms / 1000, _give_up, waiters)
            await asyncio.wait(waiters, return_when=asyncio.FIRST_COMPLETED)
            timer.cancel()
            found = await self._fetch()
        return found

    async def _fetch(self) -> dict[TopicPartition, list[Any]]:
        broker, at = self._broker, dict(self._at)
        found = await broker.post(
            lambda: {
                tp: broker.fetch(tp, position, 500, committed=self._committed)
                for tp, position in at.items()
            }
        )
        for tp, (_, position) in found.items():
            self._at[tp] = position
        return {tp: records for tp, (records, _) in found.items() if records}


def _give_up(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
