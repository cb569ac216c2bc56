"""Finds transactions of ours that logs hold open although they are over.

Kafka writes no end into a partition that has no leader at that moment: it takes it for
deleted, and the transaction for ended (docs/adr/0014). From then on nobody may read
further in that log, until it is written again; and that may be never.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from streams.runtime.commit import GroupCommit
from streams.runtime.transactions import TOO_OLD, OpenTransaction, hidden_logs, see

logger = logging.getLogger("planstream.coordinator")

LOOK_EVERY_S = 5.0
SURE_S = 4.0
"""How long one is seen to be open before its partition looks whether it is over."""
ASK_WITHIN_S = 20.0


class HangingTransactions:
    """Finds them, and has them ended.

    Args:
        monitor: whose client asks.
        tps: wherever transactions may write.
        commits: gives what is committed with now.
    """

    def __init__(
        self,
        monitor: AIOKafkaConsumer,
        tps: Iterable[TopicPartition],
        commits: Callable[[], Iterable[GroupCommit]],
    ) -> None:
        self._monitor = monitor
        self._tps = list(tps)
        self._commits = commits
        self._since: dict[OpenTransaction, float] = {}

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
        found, now = await self._open(), time.monotonic()
        self._since = {each: self._since.get(each, now) for each in found}
        for each, since in self._since.items():
            for commit in self._commits():
                seen_s = now - since
                is_over = seen_s >= SURE_S and commit.in_flight_s() < seen_s
                if is_over and commit.writer.owns(each):
                    commit.end_hanging(each.tp)

    async def _open(self) -> list[OpenTransaction]:
        client = self._monitor._client
        hidden = await hidden_logs(client, self._tps)
        try:
            return (await see(client, hidden)).open
        except TOO_OLD:
            return []
