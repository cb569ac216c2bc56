"""A consumer that hands over first: the same records, and more asked for later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.protocol.fetch import FetchRequest

from streams import bootstrap
from streams.config import Settings
from streams.results import new_consumer, partitions_of
from streams.runtime import fetching
from streams.runtime.fetching import HEAD_START, hand_over_first
from streams.topics import Topics
from tests.conftest import Broker

RECORDS = 300
SOON = HEAD_START - 4
"""Turns of the loop in which nothing may be asked for, and far more than a plain
consumer needs to ask."""


@pytest.fixture
def settings(kafka: Broker, topic_prefix: str) -> Settings:
    """Give the settings of an installation with topics of its own."""
    settings = Settings.load(broker=kafka.bootstrap, prefix=topic_prefix, partitions=2)
    asyncio.run(bootstrap.create(settings))
    return settings


@asynccontextmanager
async def reading(settings: Settings, *, prompt: bool) -> AsyncIterator[Any]:
    """Start a consumer at the beginning of the plans, and a producer."""
    consumer = new_consumer(settings, max_poll_records=7)
    producer = AIOKafkaProducer(**settings.connection())
    async with consumer, producer:
        if prompt:
            hand_over_first(consumer)
        tps = partitions_of([Topics.of(settings).plans])
        consumer.assign(tps)
        await consumer.seek_to_beginning(*tps)
        yield consumer, producer, tps


def watch_fetches(consumer: AIOKafkaConsumer) -> list[Any]:
    """Have every fetch noted that is sent from now on."""
    sent: list[Any] = []
    send: Callable[..., Awaitable[Any]] = consumer._client.send

    async def noted(node: int, request: Any, **options: Any) -> Any:
        if isinstance(request, FetchRequest):
            sent.append(request)
        return await send(node, request, **options)

    consumer._client.send = noted
    return sent


async def fetches_after_one_came(settings: Settings, *, prompt: bool) -> int:
    """Count the fetches until a few turns after a record was handed over."""
    settings = settings.model_copy(update={"fetch_max_wait_ms": 5_000})
    async with reading(settings, prompt=prompt) as (consumer, producer, tps):
        waiting = asyncio.create_task(consumer.getmany(timeout_ms=5_000))
        await asyncio.sleep(0.1)  # a fetch waits at the broker
        sent = watch_fetches(consumer)
        await producer.send(tps[0].topic, b"1", partition=tps[0].partition)
        await waiting
        for _ in range(SOON):
            await asyncio.sleep(0)
        soon = len(sent)
        async with asyncio.timeout(5):
            while not sent:
                await asyncio.sleep(0.001)
        return soon


def test_more_is_asked_for_after_a_head_start(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a record brings about goes out before the next fetch does."""
    monkeypatch.setattr(fetching, "HEAD_START_S", 60.0)
    assert asyncio.run(fetches_after_one_came(settings, prompt=True)) == 0


def test_a_head_start_is_over_when_its_time_is(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop that is busy with other things must not starve a consumer."""
    monkeypatch.setattr(fetching, "HEAD_START_S", -1.0)
    assert asyncio.run(fetches_after_one_came(settings, prompt=True)) > 0


def test_a_plain_consumer_asks_at_once(settings: Settings) -> None:
    """Else there is no reason for ours, and the test above shows nothing."""
    assert asyncio.run(fetches_after_one_came(settings, prompt=False)) > 0


def test_every_record_comes_once_and_in_order(settings: Settings) -> None:
    """Of two partitions, in small portions, while more is written."""

    async def scenario() -> dict[TopicPartition, list[int]]:
        async with reading(settings, prompt=True) as (consumer, producer, tps):
            writing = asyncio.create_task(write(producer, tps))
            got: dict[TopicPartition, list[int]] = {tp: [] for tp in tps}
            async with asyncio.timeout(30):
                while sum(map(len, got.values())) < RECORDS * len(tps):
                    for tp, records in (await consumer.getmany(timeout_ms=500)).items():
                        got[tp] += [int(record.value) for record in records]
            await writing
            return got

    async def write(producer: AIOKafkaProducer, tps: list[TopicPartition]) -> None:
        for each in range(RECORDS):
            for topic, partition in tps:
                value = str(each).encode()
                await producer.send_and_wait(topic, value, partition=partition)

    got = asyncio.run(scenario())
    assert all(values == list(range(RECORDS)) for values in got.values())


@pytest.mark.parametrize("turns", range(0, HEAD_START, 3))
def test_it_can_be_closed_and_sought_in_a_head_start(
    settings: Settings, turns: int
) -> None:
    """Wherever a fetch is: nothing is raised, and nothing is left out."""

    async def scenario() -> None:
        async with reading(settings, prompt=True) as (consumer, producer, tps):
            topic, partition = tps[0]
            await producer.send_and_wait(topic, b"1", partition=partition)
            assert (await consumer.getone()).value == b"1"
            for _ in range(turns):
                await asyncio.sleep(0)
            consumer.seek(tps[0], 0)
            async with asyncio.timeout(5):
                assert (await consumer.getone()).value == b"1"
            for _ in range(turns):
                await asyncio.sleep(0)
            await consumer.stop()

    asyncio.run(scenario())
