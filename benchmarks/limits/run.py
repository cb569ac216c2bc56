"""Sends, receives and commits, without any of planstream's folds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks import machine
from benchmarks.presenting import Say
from benchmarks.system import installed
from streams.config import Settings
from streams.runtime.producers import (
    Entry,
    idempotent_producer,
    send_entries,
    transactional_producer,
)
from streams.topics import Topics

PARTITIONS = 4
RECORD = Entry(b"k" * 36, b"v" * 300)
"""About what a step request, an outcome or a row takes."""
BATCH = 100
ROUND = BATCH * PARTITIONS
ROWS, RESULTS = 100, 10
"""Of a transaction: what ten chains of 3 that end together leave behind."""


@dataclass(frozen=True)
class Options:
    """How much is moved."""

    records: int = 200_000
    transactions: int = 500
    broker: str | None = None


@dataclass(frozen=True)
class Cost:
    """What moving one of something took."""

    what: str
    cpu_us: float
    per_s: float


@dataclass(frozen=True)
class Report:
    """A whole run."""

    machine: Mapping[str, Any]
    costs: list[Cost]


Work = Callable[[], Awaitable[None]]
Prepare = Callable[[Settings, int], AbstractAsyncContextManager[Work]]


async def run(options: Options, say: Say) -> Report:
    """Measures one after the other, on topics that nobody serves."""
    facts = machine.facts()
    costs: list[Cost] = []
    records = options.records // ROUND * ROUND
    kinds: tuple[tuple[str, int, Prepare], ...] = (
        ("record sent", records, _sending),
        ("record received", records, _receiving),
        ("transaction", options.transactions, _committing),
    )
    async with installed(options.broker, partitions=PARTITIONS) as installation:
        for what, count, prepare in kinds:
            async with prepare(installation.settings, count) as work:
                costs.append(await _cost(what, count, work))
            say(f"{what}: {costs[-1].cpu_us:,.1f} µs of CPU")
    return Report(facts, costs)


async def _cost(what: str, count: int, work: Work) -> Cost:
    cpu, began = time.process_time(), time.perf_counter()
    await work()
    cpu_s, took_s = time.process_time() - cpu, time.perf_counter() - began
    return Cost(what, round(cpu_s / count * 1e6, 2), round(count / took_s, 1))


@asynccontextmanager
async def _sending(settings: Settings, count: int) -> AsyncIterator[Work]:
    topic = Topics.of(settings).step_outcomes.name
    entries = [RECORD] * BATCH

    async with idempotent_producer(settings) as producer:

        async def work() -> None:
            for _ in range(count // ROUND):
                sent: list[asyncio.Future[object]] = []
                for number in range(PARTITIONS):
                    sent += await send_entries(producer, topic, number, entries)
                await asyncio.gather(*sent)

        yield work


@asynccontextmanager
async def _receiving(settings: Settings, count: int) -> AsyncIterator[Work]:
    topic = Topics.of(settings).step_outcomes.name
    tps = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    consumer = AIOKafkaConsumer(
        **settings.connection(),
        isolation_level="read_committed",
        enable_auto_commit=False,
        fetch_max_wait_ms=settings.fetch_max_wait_ms,
    )
    async with consumer:
        consumer.assign(tps)
        for tp in tps:
            consumer.seek(tp, 0)

        async def work() -> None:
            left = count
            while left > 0:
                chunks = await consumer.getmany(timeout_ms=1000)
                left -= sum(map(len, chunks.values()))

        yield work


@asynccontextmanager
async def _committing(settings: Settings, count: int) -> AsyncIterator[Work]:
    topics = Topics.of(settings)
    rows, results = [RECORD] * ROWS, [RECORD] * RESULTS
    changelog, returned = topics.changelog.name, topics.results[0].name

    async with transactional_producer(settings, "limits") as producer:

        async def work() -> None:
            for _ in range(count):
                await producer.begin_transaction()
                sent = await send_entries(producer, changelog, 0, rows)
                sent += await send_entries(producer, returned, 0, results)
                await asyncio.gather(*sent)
                await producer.commit_transaction()

        yield work
