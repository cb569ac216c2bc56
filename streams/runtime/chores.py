"""What a coordinator does now and then: tidy up, and tell the group how far it is."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from faust.types import TP

from streams.runtime.delivery import ChunkConsumer
from streams.runtime.partition import PartitionTask

logger = logging.getLogger("planstream.coordinator")

HOUSEKEEPING_S = 10.0
GROUP_COMMIT_S = 1.0
"""How old the group's offsets are at most: all there is if the changelog is lost."""


class Chores:
    """Does them for the partitions that are owned.

    Args:
        consumer: gives the app's consumer.
        owned: gives the tasks of all partitions that are owned.
        live: gives those of them that are folded now.
    """

    def __init__(
        self,
        consumer: Callable[[], ChunkConsumer],
        owned: Callable[[], Sequence[PartitionTask]],
        live: Callable[[], Sequence[PartitionTask]],
    ) -> None:
        self._consumer = consumer
        self._owned = owned
        self._live = live
        self.turns = 0
        """How often they have come round."""

    async def run(self) -> None:
        """Do them until cancelled."""
        last = time.monotonic()
        while True:
            await asyncio.sleep(GROUP_COMMIT_S)
            self.turns += 1
            if not self._live():
                continue
            await self.commit_to_group()
            if time.monotonic() - last >= HOUSEKEEPING_S:
                last = time.monotonic()
                for task in self._live():
                    task.housekeep(self.read_by(task))

    def read_by(self, task: PartitionTask) -> dict[str, int]:
        """How far topics are read of which every record is folded."""
        consumer = self._consumer()
        tps = [TP(topic, task.state.partition) for topic in task.next]
        return {
            tp.topic: consumer.read_to(tp)
            for tp in tps
            if task.next[tp.topic] >= consumer.handed.get(tp, 0)
        }

    async def commit_to_group(self) -> None:
        """Commit the positions to the group as well: only lag monitors read them."""
        offsets = {
            TP(topic, task.state.partition): offset
            for task in self._owned()
            for topic, offset in task.commit.committed.items()
        }
        try:
            await self._consumer().commit_offsets(offsets)
        except Exception as exc:  # noqa: BLE001 - only lag monitors miss them
            logger.info("group offsets were not committed: %s", exc)
