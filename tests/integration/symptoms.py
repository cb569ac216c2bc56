"""What tells why a system under test does not get on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from aiokafka.structs import TopicPartition

from tests.integration.system import System, partitions_of

MOST_WORDS, CUT_WORDS = 3, 200


async def hidden(
    system: System, acknowledged: Iterable[tuple[int, int]] = ()
) -> AsyncIterator[str]:
    """A line for each log of which nobody may read all that is there.

    A transaction is open, or the broker does not show what it has acknowledged.

    Args:
        system: the one under test.
        acknowledged: partitions of the plans topic, and offsets.
    """
    tps = partitions_of(*system.topics.all())
    async with system.consumer() as consumer:
        readable = await consumer.end_offsets(tps)
    async with system.consumer(committed=False) as consumer:
        written = await consumer.end_offsets(tps)
    for partition, offset in acknowledged:
        tp = TopicPartition(system.topics.plans.name, partition)
        written[tp] = max(written[tp], offset + 1)
    for tp in tps:
        to, end = readable[tp], written[tp]
        if to < end:
            yield f"{tp.topic}/{tp.partition} can be read to {to}, reached {end}"


def last_words(logs: Iterable[Path]) -> list[str]:
    """What processes said last of themselves: a few lines of each, cut."""
    return [
        f"{log.name}: {line[:CUT_WORDS]}"
        for log in logs
        for line in _own_lines(log)[-MOST_WORDS:]
    ]


def _own_lines(log: Path) -> list[str]:
    if not log.exists():
        return []
    text = log.read_text("utf-8", errors="replace")
    return [line for line in text.splitlines() if " planstream" in line]
