"""One transactional id: who used it before, and what is still open of it.

A transaction ends with a marker in each log that it wrote, and Kafka may leave one out
(docs/adr/0014). Whatever ends next in that log under the same id then ends the former
one there, too: what was committed is lost in it when the next user of the id aborts
what this one has begun; what was aborted is seen with the next user's first commit. So
no log is written before it is known to have the marker of what was written last.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Set
from contextlib import suppress

from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from streams.runtime.transactions import (
    NOBODY,
    TOO_OLD,
    LastTransaction,
    OpenTransaction,
    Seen,
    end_open,
    last_transaction,
    see,
)

logger = logging.getLogger("planstream.coordinator")

SOON_S = 0.002
"""The pause between two looks at first. Markers mostly follow within that time."""
LATER_S = 0.2
"""The pause that it doubles up to."""
DOUBT_S = 0.1
"""How long a marker may be awaited before somebody asks whether it ever comes."""
TELL_S = 1.0
"""How long anything is waited for before that is said."""
GLANCE_S = 0.02
"""How long an answer is waited for when nothing depends on it."""


class Patience:
    """Waits for logs, longer each time, and says once which they are.

    Args:
        who: a transactional id.
    """

    def __init__(self, who: str) -> None:
        self.waited_s = 0.0
        self._who = who
        self._pause_s = SOON_S
        self._has_told = False

    async def wait(self, logs: Set[TopicPartition]) -> None:
        """Wait a little."""
        if self.waited_s >= TELL_S and not self._has_told:
            self._has_told = True
            names = ", ".join(sorted(f"{tp.topic}/{tp.partition}" for tp in logs))
            logger.warning(
                "%s waits for %s: without a leader, or held by its own transaction",
                *(self._who, names),
            )
        await asyncio.sleep(self._pause_s)
        self.waited_s += self._pause_s
        self._pause_s = min(2 * self._pause_s, LATER_S)


class Writer:
    """What commits a partition: a transactional id, and its user before.

    Args:
        producer: the id's next user, not started.
        transactional_id: the id.
        changelog: what all its transactions write to.
        client: asks for it; it comes to know all logs that are written.
    """

    def __init__(
        self,
        producer: AIOKafkaProducer,
        transactional_id: str,
        changelog: TopicPartition,
        client: AIOKafkaClient,
    ) -> None:
        self.producer = producer
        self._id = transactional_id
        self.before = NOBODY
        """How the last transaction before this producer's stood."""
        self._changelog = changelog
        self._client = client
        self._clear: set[TopicPartition] = set()
        self._can_see = True

    async def fence(self) -> None:
        """Start the producer: whoever used its id before can commit no more.

        What that aborts has to be marked so in all its logs, and what was aborted has
        to be known as such until it has ended in the changelog. So it waits until they
        have leaders; or until Kafka itself has aborted what is open for too long.
        """
        patience = Patience(self._id)
        while self._can_see:
            self.before = (await self._last()).after(self.before)
            logs = {self._changelog, *self.before.aborts}
            if not (unknown := (await self._see(logs, surely=True)).unknown):
                break
            await patience.wait(unknown)
        await self.producer.start()

    async def take_over(self) -> None:
        """End what hangs in the changelog, and wherever the fencing aborted something.

        Rows that hang in the changelog would be missed by its replay. And whether what
        hangs was aborted or committed nobody can tell once this process is gone. Where
        Kafka has aborted for age it is not waited for; this writer remembers that.
        """
        await self._see_clear({self._changelog, *self.before.aborts}, surely=True)

    async def make_ready(self, logs: Set[TopicPartition]) -> None:
        """Wait until none of the id's transactions is open in logs to be written.

        Raises:
            KafkaError: One hangs there, and could not be ended.
        """
        await self._see_clear(logs - self._clear)
        self._clear -= logs

    async def glance(self, logs: Set[TopicPartition]) -> None:
        """See whether logs that were written have their markers.

        What is not found now is waited for when a log is written next.
        """
        with suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(GLANCE_S):
                await self._look(logs)

    async def end_what_is_over(self, logs: Set[TopicPartition]) -> None:
        """End what is open in logs and has ended elsewhere; not in a transaction.

        Raises:
            KafkaError: It has not ended; the producer is of no use any more.
        """
        # In this order: what is open after its transaction has ended stays so.
        if (await self._last()).is_under_way:
            return
        for found in (await self._see(logs)).open:
            if self.owns(found):
                committed = self._was_committed(found)
                await end_open(self.producer, [found.tp], committed=committed)
                logger.warning(
                    "%s/%d was held at %d by a transaction of %s that was over: "
                    "now it is %s there, too",
                    *(found.tp.topic, found.tp.partition, found.start),
                    *(self._id, "committed" if committed else "aborted"),
                )

    def owns(self, found: OpenTransaction) -> bool:
        """Whether a transaction is of its id."""
        return bool(found.producer_id == self.producer._txn_manager.producer_id)

    def _was_committed(self, found: OpenTransaction) -> bool:
        # This producer itself has never aborted one.
        is_own = found.epoch == self.producer._txn_manager.producer_epoch
        return is_own or self.before.was_committed(found.tp)

    async def _see_clear(
        self, logs: Set[TopicPartition], *, surely: bool = False
    ) -> None:
        patience = Patience(self._id)
        while rest := await self._look(logs, surely=surely):
            if patience.waited_s >= DOUBT_S:
                await self.end_what_is_over(rest)
                await self._client.force_metadata_update()
            await patience.wait(rest)

    async def _look(
        self, logs: Set[TopicPartition], *, surely: bool = False
    ) -> Set[TopicPartition]:
        """Look which logs are clear; those that are not, or have not told."""
        seen = await self._see(logs, surely=surely)
        held = {found.tp for found in seen.open if self.owns(found)}
        rest = held | seen.unknown
        self._clear |= logs - rest
        return rest

    async def _last(self) -> LastTransaction:
        if self._can_see:
            try:
                return await last_transaction(self._client, self._id)
            except TOO_OLD:
                self._give_up()
        return NOBODY

    async def _see(self, logs: Set[TopicPartition], *, surely: bool = False) -> Seen:
        if self._can_see and logs:
            try:
                return await see(self._client, logs, surely=surely)
            except TOO_OLD:
                self._give_up()
            except KafkaError as error:
                if not error.retriable:
                    raise
                await self._client.force_metadata_update()
                return Seen([], frozenset(logs))
        return Seen([], frozenset())

    def _give_up(self) -> None:
        self._can_see = False
        logger.info("brokers are too old to be asked about transactions")
