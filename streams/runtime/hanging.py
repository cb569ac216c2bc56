"""Ends transactions of ours that logs hold open although they are over.

Kafka writes no end into a partition that has no leader at that moment: it takes it for
deleted, and the transaction for ended (docs/adr/0014). From then on nobody may read
further in that log. Only the user of that transaction's id can put this right, by
another transaction that touches the partition.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError
from aiokafka.structs import TopicPartition

from streams.runtime.commit import GroupCommit
from streams.runtime.transactions import (
    NOBODY,
    LastTransaction,
    OpenTransaction,
    end_open,
    hidden_logs,
    last_transaction,
    open_transactions,
)

logger = logging.getLogger("planstream.coordinator")

LOOK_EVERY_S = 5.0
SURE_S = 4.0
"""How long one must be seen to be open while none of ours is in flight for so long."""
ASK_WITHIN_S = 20.0
AGAIN_S = 0.5
TOO_OLD = (IncompatibleBrokerVersion, NotImplementedError)
"""What aiokafka raises when a broker does not know a request."""


@dataclass(slots=True)
class Writer:
    """What commits a partition: one transactional id, and its user before.

    Attributes:
        producer: the id's user, once it has fenced the one before.
        before: how the last transaction before it stood.
    """

    producer: AIOKafkaProducer
    transactional_id: str
    before: LastTransaction = NOBODY

    def owns(self, found: OpenTransaction) -> bool:
        """Whether a transaction is of its id."""
        return bool(found.producer_id == self.producer._txn_manager.producer_id)

    def was_committed(self, found: OpenTransaction) -> bool:
        """How a transaction of its id has ended; it has itself never aborted one."""
        if found.epoch == self.producer._txn_manager.producer_epoch:
            return True
        return self.before.was_committed(found.tp)


class HangingTransactions:
    """Finds and ends them, at a take-over and ever after.

    Args:
        monitor: whose client asks; it knows all topics.
        tps: wherever transactions may write.
        commits: gives what is committed with now.
    """

    def __init__(
        self,
        monitor: AIOKafkaConsumer,
        tps: Sequence[TopicPartition],
        commits: Callable[[], Iterable[tuple[Writer, GroupCommit]]],
    ) -> None:
        self._monitor = monitor
        self._tps = list(tps)
        self._commits = commits
        self._since: dict[OpenTransaction, float] = {}

    async def fence(self, writer: Writer) -> None:
        """Start a producer: whoever used its id before can commit no more."""
        try:
            writer.before = await last_transaction(
                self._monitor._client, writer.transactional_id
            )
        except TOO_OLD:
            logger.info("brokers are too old to be asked about transactions")
        await writer.producer.start()

    async def clear(self, writers: Sequence[Writer], tps: list[TopicPartition]) -> None:
        """End all of these writers' ids that is open in these logs, before they write.

        Rows that hang in a changelog would be missed by its replay.
        """
        while ours := [
            (writer, found)
            for found in await self._open_for_certain(tps)
            for writer in writers
            if writer.owns(found)
        ]:
            for writer, found in ours:
                committed = _told(writer, found)
                await end_open(writer.producer, [found.tp], committed=committed)
            await asyncio.sleep(AGAIN_S)

    async def _open_for_certain(
        self, tps: list[TopicPartition]
    ) -> list[OpenTransaction]:
        while True:
            try:
                await self._monitor.end_offsets(tps)  # returns when all have leaders
                return await self._open(tps)
            except KafkaError as error:
                if not error.retriable:
                    raise
                await asyncio.sleep(AGAIN_S)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                async with asyncio.timeout(ASK_WITHIN_S):
                    await self.look()
            except (KafkaError, TimeoutError) as error:
                logger.debug("transactions were not looked at: %r", error)

    async def look(self) -> None:
        """Look once; have those ended that have been seen for long enough."""
        found, now = await self._open(self._tps), time.monotonic()
        self._since = {each: self._since.get(each, now) for each in found}
        for each, since in self._since.items():
            for writer, commit in self._commits():
                seen_s = now - since
                is_over = seen_s >= SURE_S and commit.in_flight_s() < seen_s
                if is_over and writer.owns(each):
                    commit.end_hanging(each.tp, committed=_told(writer, each))

    async def _open(self, tps: list[TopicPartition]) -> list[OpenTransaction]:
        client = self._monitor._client
        hidden = await hidden_logs(client, tps)
        try:
            return await open_transactions(client, hidden)
        except TOO_OLD:
            return []


def _told(writer: Writer, found: OpenTransaction) -> bool:
    committed = writer.was_committed(found)
    logger.warning(
        "%s/%d is held at %d by a transaction of %s that is over: it is %s there, too",
        *(found.tp.topic, found.tp.partition, found.start, writer.transactional_id),
        "committed" if committed else "aborted",
    )
    return committed
