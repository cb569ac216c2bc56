"""Reads dead letters, and which of them were replayed."""

import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from schemas.identity import peek_ids
from schemas.validation import is_uuid4
from streams.broker import CONNECTION_ERRORS, connect, reason_of
from streams.config import Settings
from streams.exceptions import ResultsLost, SettingsError
from streams.results import (
    CHUNK,
    POLL_MS,
    Rejected,
    assign,
    new_consumer,
    partitions_of,
    rejected,
)
from streams.topics import Topics

REPLAYED = "REPLAYED"
"""The reason of a record on `rejected` that is no letter: it marks one as replayed."""

_ADDRESS = re.compile(r"(?:([\w.-]+)-)?([0-9]{1,9})@([0-9]{1,18})")


class Place(NamedTuple):
    """Where a dead letter lies."""

    topic: str
    partition: int
    offset: int

    @classmethod
    def of(cls, text: str, settings: Settings) -> Self:
        """Read `rejected-3@17`, with or without the prefix, or `3@17`.

        Raises:
            SettingsError: It is none of these.
        """
        topics = Topics.of(settings)
        match = _ADDRESS.fullmatch(text)
        if match is not None:
            name = settings.prefix + (match[1] or "rejected").removeprefix(
                settings.prefix
            )
            if name in (topics.rejected.name, topics.failure_rejected.name):
                return cls(name, int(match[2]), int(match[3]))
        line = f"{text!r} is no dead letter's address, such as rejected-3@17"
        raise SettingsError([line])

    def short(self, prefix: str) -> str:
        """Write it as people do, without the prefix of the topics."""
        return f"{self.topic.removeprefix(prefix)}-{self.partition}@{self.offset}"


@dataclass(frozen=True, slots=True)
class Choice:
    """Which letters are wanted; all, by default."""

    places: frozenset[Place] = frozenset()
    reason: str | None = None
    source: str | None = None
    since: int | None = None

    def takes(self, letter: Rejected) -> bool:
        """Whether a letter is among them."""
        source = letter.header("source-topic")
        return (
            (not self.places or place_of(letter) in self.places)
            and self.reason in (None, letter.reason)
            and (self.source is None or source in (self.source, f".{self.source}"))
            and (self.since is None or letter.timestamp >= self.since)
        )


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter without its value, which may be large."""

    facts: Rejected
    place: Place
    plan_id: str
    """As its key or its value says; empty when neither has one."""
    source: Place
    size_bytes: int
    replays: int
    """How often it was replayed."""


def place_of(letter: Rejected) -> Place:
    """Say where a letter lies."""
    return Place(letter.topic, letter.partition, letter.offset)


def source_of(letter: Rejected) -> Place:
    """Say where the record lay that became this letter."""
    return Place(
        letter.header("source-topic"),
        _number(letter.header("source-partition")),
        _number(letter.header("source-offset")),
    )


async def scan(settings: Settings, choice: Choice) -> list[Letter]:
    """List letters, the oldest first.

    A letter's mark is behind it in its partition: who reads on to the end from a letter
    sees whether it was replayed.

    Raises:
        BrokerUnreachable: The broker does not answer.
        ResultsLost: It stops to.
    """
    topics = Topics.of(settings)
    partitions = partitions_of((topics.rejected, topics.failure_rejected))
    found: list[tuple[Rejected, str, int]] = []
    replays: Counter[Place] = Counter()
    async with _reader(settings) as consumer:
        await assign(consumer, partitions, choice.since or 0)
        async for record in _to_the_end(consumer, partitions):
            each = rejected(record)
            if each.reason == REPLAYED:
                replays[source_of(each)] += 1
            elif choice.takes(each):
                size = len(each.value or b"")
                found.append((replace(each, value=None), _plan_id(each), size))
    letters = [
        Letter(
            each, place := place_of(each), plan, source_of(each), size, replays[place]
        )
        for each, plan, size in found
    ]
    return sorted(letters, key=lambda each: (each.facts.timestamp, each.place))


async def fetch(settings: Settings, places: Iterable[Place]) -> AsyncIterator[Rejected]:
    """Read letters whole, one after the other; those that are gone are left out.

    Raises:
        BrokerUnreachable: The broker does not answer.
        ResultsLost: It stops to.
    """
    async with _reader(settings) as consumer:
        for place in places:
            letter = await _fetch(consumer, place)
            if letter is not None:
                yield letter


async def _fetch(consumer: AIOKafkaConsumer, place: Place) -> Rejected | None:
    tp = TopicPartition(place.topic, place.partition)
    if place.partition not in (consumer.partitions_for_topic(tp.topic) or ()):
        await consumer._client.force_metadata_update()  # noqa: SLF001 - once a topic
    begins = await consumer.beginning_offsets([tp])
    ends = await consumer.end_offsets([tp])
    if not begins[tp] <= place.offset < ends[tp]:
        return None
    consumer.assign([tp])
    consumer.seek(tp, place.offset)
    while await consumer.position(tp) <= place.offset:
        batches = await consumer.getmany(tp, timeout_ms=POLL_MS, max_records=1)
        for record in batches.get(tp, ()):
            return rejected(record) if record.offset == place.offset else None
    return None


@asynccontextmanager
async def _reader(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = new_consumer(settings)
    await connect(consumer, settings)
    try:
        yield consumer
    except CONNECTION_ERRORS as error:
        raise ResultsLost(reason_of(error)) from error
    finally:
        with suppress(*CONNECTION_ERRORS):
            await consumer.stop()


async def _to_the_end(
    consumer: AIOKafkaConsumer, partitions: list[TopicPartition]
) -> AsyncIterator[ConsumerRecord]:
    """Read up to the end as it is now; it is a position, and may lie behind a mark."""
    ends = await consumer.end_offsets(partitions)
    unread = set(partitions)
    while unread:
        batches: Any = await consumer.getmany(timeout_ms=POLL_MS, max_records=CHUNK)
        for batch in batches.values():
            for record in batch:
                yield record
        for partition in list(unread):
            if await consumer.position(partition) >= ends[partition]:
                unread.discard(partition)
                consumer.pause(partition)


def _plan_id(letter: Rejected) -> str:
    if is_uuid4(letter.plan_id):
        return letter.plan_id
    ids = peek_ids(letter.value)
    return ids.plan_id if ids is not None else ""


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else -1
