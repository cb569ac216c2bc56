"""Reads topics from end to end, chunk by chunk: they are too large to be kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from streams.runtime.replay import read_from_start
from streams.topics import Topic
from tests.integration.system import System, partitions_of

CHUNK = 5000


async def read(
    system: System, *topics: Topic, committed: bool = True
) -> AsyncIterator[Any]:
    """Every record that lies on topics now; those of one partition in their order."""
    async with system.consumer(committed=committed) as consumer:
        ends = await read_from_start(consumer, partitions_of(*topics))
        left = {tp for tp, end in ends.items() if end > 0}
        while left:
            fetched = await consumer.getmany(timeout_ms=200, max_records=CHUNK)
            for records in fetched.values():
                for record in records:
                    yield record
            # By position: a log may end with the marker of a transaction.
            left = {tp for tp in left if await consumer.position(tp) < ends[tp]}


async def count(system: System, *topics: Topic) -> int:
    """How many records lie on topics, those of aborted transactions included."""
    counted = 0
    async for _ in read(system, *topics, committed=False):
        counted += 1
    return counted
