"""Plans that stay open: their steps wait in a queue that nobody serves."""

from __future__ import annotations

import asyncio
import time

from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.client import Client
from benchmarks.shapes import chain
from benchmarks.submissions import LIFETIME_MS, Template, Terms
from benchmarks.waiting import Stalled
from streams.config import Settings
from streams.topics import Topics

ACTION = "park"
QUEUE = "parked"
SHAPE = chain(3)
TERMS = Terms(action=ACTION, payload="{}", step_timeout_ms=None, timeout_ms=LIFETIME_MS)
BATCH = 1000
AHEAD = 20_000
"""Plans that are sent before those before them are admitted."""
POLL_S = 0.25
PATIENCE_S = 60.0


async def open_plans(
    settings: Settings, client: Client, count: int, already: int = 0
) -> float:
    """Opens plans beside those that are open, and returns how many seconds that took.

    Each of them asks for one step once it is admitted, and then waits for ever.
    """
    began = time.perf_counter()
    now_ms = time.time_ns() // 1_000_000
    template = Template.of(SHAPE, now_ms, terms=TERMS)
    asked = AIOKafkaConsumer(**settings.connection())
    async with asked:
        sent = 0
        while sent < count:
            size = min(BATCH, count - sent)
            await client.send([template.make() for _ in range(size)])
            sent += size
            await _admitted(settings, asked, already + sent - AHEAD)
        await _admitted(settings, asked, already + count)
    return time.perf_counter() - began


async def _admitted(settings: Settings, asked: AIOKafkaConsumer, count: int) -> None:
    """Waits until so many plans have asked for their steps."""
    topic = Topics.of(settings).requests[QUEUE]
    tps = [TopicPartition(topic.name, number) for number in range(topic.partitions)]
    last, since = -1, time.perf_counter()
    while count > 0:
        admitted = sum((await asked.end_offsets(tps)).values())
        if admitted >= count:
            return
        if admitted > last:
            last, since = admitted, time.perf_counter()
        elif time.perf_counter() - since > PATIENCE_S:
            raise Stalled(f"{admitted} of {count} plans were admitted, and no more")
        await asyncio.sleep(POLL_S)
