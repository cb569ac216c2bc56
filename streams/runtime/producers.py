"""Producers and whole batches: five to ten times cheaper than a send a record."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import aiokafka.producer.sender
from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    NodeNotReadyError,
    RequestTimedOutError,
)
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.protocol.produce import ProduceRequest

from agents.effects import Content, Headers
from streams.config import Settings

BATCH_BYTES = 512 * 1024
REQUEST_BYTES = 16 * 1024 * 1024
AWAY_S, LONG_AWAY_S = 0.1, 0.5
"""The pause before a broker that could not be reached is tried again: at first, and
when that has doubled a few times."""
UNANSWERED_MS = 15_000
"""How long a request waits on a connection that says nothing, before it makes another.

When the other end has gone without a word (a host without power, a firewall that has
forgotten us) a connection is found to be dead only so. aiokafka's 40 s for each of
several would be longer than a commit may take.
"""

# Kafka answers the first produce of a transaction with CONCURRENT_TRANSACTIONS while
# the previous one of the same id is still being completed: a few milliseconds. aiokafka
# then waits 20 ms, which shows as p90 of every second transaction.
aiokafka.producer.sender.BACKOFF_OVERRIDE = 0.002


def quieten_client_logs() -> None:
    """Hide what aiokafka repeats at every retry; errors stay visible."""
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    for name in (
        # A line for each retried produce of a new transaction, several a second.
        "aiokafka.producer.sender",
        # A line for each look at a broker that has no group coordinator yet.
        "aiokafka.consumer.group_coordinator",
    ):
        logging.getLogger(name).setLevel(logging.CRITICAL)


class Entry(NamedTuple):
    """One record to be sent to a partition."""

    key: bytes | None
    value: bytes | None
    headers: Headers = ()


def transactional_producer(
    settings: Settings, transactional_id: str
) -> AIOKafkaProducer:
    """A producer whose start fences whoever used this id before."""
    producer = AIOKafkaProducer(
        **settings.connection(),
        **_sizes(settings),
        transactional_id=transactional_id,
        transaction_timeout_ms=settings.commit_timeout_ms,
        retry_backoff_ms=5,
        linger_ms=0,
    )
    doubt_silence(producer.client)
    be_patient(producer.client)
    return producer


def idempotent_producer(settings: Settings) -> AIOKafkaProducer:
    """A producer that neither loses, repeats nor reorders what it has taken."""
    producer = AIOKafkaProducer(
        **settings.connection(),
        **_sizes(settings),
        enable_idempotence=True,
        acks="all",
        retry_backoff_ms=20,
        linger_ms=0,
    )
    doubt_silence(producer.client)
    be_patient(producer.client)
    return producer


def best_effort_producer(settings: Settings) -> AIOKafkaProducer:
    """A producer that drops what the broker does not take, and goes on.

    An idempotent one retries for ever, and after a refusal, which leaves a gap in the
    sequence of a partition, nothing more is taken from it there. What this one sends
    arrives once at most: it is not tried again when it may have arrived.
    """
    producer = AIOKafkaProducer(
        **settings.connection(),
        **_sizes(settings),
        enable_idempotence=False,
        # With more, a broker may have taken what it says that it has not.
        acks=1,
        retry_backoff_ms=20,
        linger_ms=0,
    )
    _send_once(producer.client)
    be_patient(producer.client)
    return producer


def _send_once(client: AIOKafkaClient) -> None:
    """Have a batch dropped whose answer is lost: it may lie there already."""
    send = client.send

    async def send_once(node_id: Any, request: Any, **options: Any) -> Any:
        try:
            return await send(node_id, request, **options)
        except (KafkaConnectionError, RequestTimedOutError) as exc:
            if isinstance(request, ProduceRequest):
                raise KafkaError(f"its answer was lost: {exc}") from exc
            raise

    client.send = send_once


def _sizes(settings: Settings) -> dict[str, int]:
    largest = settings.max_request_bytes
    return {
        "max_batch_size": max(BATCH_BYTES, largest),
        "max_request_size": max(REQUEST_BYTES, 2 * largest),
    }


def doubt_silence(client: AIOKafkaClient) -> None:
    """Have connections that do not answer replaced: sooner, and all at once.

    A client has several to each broker, which it would try one after the other, each
    for the whole time. Not by `request_timeout_ms`: after that time aiokafka also fails
    what waits for a partition to have a leader again, which may take as long as a
    commit may.
    """
    client._request_timeout_ms = UNANSWERED_MS
    send = client.send

    async def send_doubtfully(node_id: Any, *args: Any, **options: Any) -> Any:
        try:
            return await send(node_id, *args, **options)
        except RequestTimedOutError:
            for (node, _), connection in list(client._conns.items()):
                if node == node_id:
                    connection.close()
            raise

    client.send = send_doubtfully


def be_patient(client: AIOKafkaClient) -> None:
    """Make attempts to reach a broker that is away rarer than its quick retries.

    A producer has one back-off for all that it tries again. What suits transactions
    that follow one another, 5 ms, would be thousands of attempts to connect a second,
    each with a log line, from all producers of a process together: enough to keep a
    broker on the same machine from starting. So would be the monitor's, which all
    partitions ask again and again.
    """
    _ask_again(client)
    connect = client._get_conn
    pauses_s: dict[int, float] = {}

    async def connect_patiently(node_id: int, **options: Any) -> Any:
        connection = await connect(node_id, **options)
        if connection is None:
            pause_s = pauses_s.get(node_id, AWAY_S)
            pauses_s[node_id] = min(2 * pause_s, LONG_AWAY_S)
            await asyncio.sleep(pause_s)
        else:
            pauses_s.pop(node_id, None)
        return connection

    client._get_conn = connect_patiently


def _ask_again(client: AIOKafkaClient) -> None:
    """Have a producer outlast a connection that breaks at one certain question.

    aiokafka tries every request again, but for the one that asks which broker keeps
    its transactions: a connection that breaks then, as when a broker restarts, would
    end the producer, and the process with it.
    """
    look_up = client.coordinator_lookup

    async def look_up_patiently(*what: Any) -> Any:
        try:
            return await look_up(*what)
        except KafkaConnectionError as exc:
            raise NodeNotReadyError(str(exc)) from exc

    client.coordinator_lookup = look_up_patiently


async def send_entries(
    producer: AIOKafkaProducer, topic: str, partition: int, entries: Iterable[Content]
) -> list[asyncio.Future[object]]:
    """Hand entries to the producer as whole batches; a future for each batch.

    The futures must be awaited: aiokafka commits a transaction also when a batch
    of it has failed.
    """
    now_ms = int(time.time() * 1000)
    futures: list[asyncio.Future[object]] = []
    batch = producer.create_batch()
    for entry in entries:
        room = BATCH_BYTES - batch.size() - len(entry.value or b"")
        if room >= 0 and _append(batch, entry, now_ms):
            continue
        if batch.record_count():
            futures.append(await producer.send_batch(batch, topic, partition=partition))
            batch = producer.create_batch()
        # The first record of a batch fits, however large: the broker may refuse it.
        _append(batch, entry, now_ms)
    if batch.record_count():
        futures.append(await producer.send_batch(batch, topic, partition=partition))
    return futures


def _append(batch: BatchBuilder, entry: Content, now_ms: int) -> bool:
    appended = batch.append(
        key=entry.key, value=entry.value, timestamp=now_ms, headers=list(entry.headers)
    )
    return appended is not None
