"""Submits dead letters again, each at most once unless that is asked for.

The record for `plans` and the mark on `rejected` are one transaction, and all replays
of an installation share one transactional id: who begins a replay fences whoever is at
one, and then reads the marks. So two operators at the same moment cannot both submit a
letter. A mark lies behind its letter in the same partition: retention cannot remove it
before the letter.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    IllegalOperation,
    InvalidProducerEpoch,
    ProducerFenced,
)

from agents.core.admission import RejectReason
from agents.dead_letters import reason_headers
from agents.partitioner import partition_of
from schemas.codec import DecodeError, decode_fields
from schemas.context import PlanSubmission
from schemas.identity import peek_ids
from streams.broker import CONNECTION_ERRORS, connect, reason_of
from streams.config import Settings
from streams.exceptions import ReplayEnded
from streams.letters import REPLAYED, Letter
from streams.results import Rejected
from streams.runtime.producers import Entry, send_entries, transactional_producer
from streams.topics import Topics

ADDED = 6
"""The headers that a dead letter has besides the record's own: the last (R38)."""
REPLAY_OF = "replay-of"
_CUT = "cut to its beginning"
_FENCED = (ProducerFenced, InvalidProducerEpoch, IllegalOperation)
"""The last is what a producer says that has been told so between two records."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a letter is not replayed, and the option that does it all the same."""

    why: str
    option: str | None = None


def obstacle(letter: Letter, settings: Settings) -> Obstacle | None:
    """Look for what can be told without the value."""
    topics = Topics.of(settings)
    if letter.place.topic != topics.rejected.name:
        return Obstacle("a result is published once: hand it to the handler yourself")
    if letter.source.topic != topics.plans.name:
        return Obstacle("it is no submission: it lay on another topic than plans")
    if letter.facts.detail.startswith(_CUT):
        return Obstacle("it is not whole: submit the record of the source topic")
    if letter.replays:
        return Obstacle("it was replayed", "--again")
    return None


def futile(letter: Rejected, settings: Settings) -> Obstacle | None:
    """Look for what would make a dead letter of it again."""
    if letter.reason == RejectReason.DUPLICATE_EXECUTION:
        return Obstacle("its plan id is used: it has a result already", "--force")
    value = letter.value or b""
    if peek_ids(value) is None:
        return Obstacle("it has no valid plan id and execution id", "--force")
    if letter.reason == RejectReason.TOO_LARGE:
        return None if len(value) <= settings.max_submission_bytes else _large(settings)
    try:
        decode_fields(value, PlanSubmission)
    except DecodeError as error:
        return Obstacle(f"it cannot be read today either: {error}", "--force")
    return None


def _large(settings: Settings) -> Obstacle:
    limit = settings.max_submission_bytes
    return Obstacle(f"it is still larger than {limit} bytes", "--force")


class Replayer:
    """Submits letters again; made by `replaying`."""

    def __init__(self, producer: AIOKafkaProducer, settings: Settings) -> None:
        self._producer = producer
        self._prefix = settings.prefix
        self._plans = Topics.of(settings).plans

    async def replay(self, letter: Rejected, source_partition: int) -> int:
        """Submit key and value untouched, and mark the letter; give the partition.

        Raises:
            ReplayEnded: It was not submitted.
        """
        ids = peek_ids(letter.value)
        count = self._plans.partitions
        partition = source_partition % count
        if ids is not None:
            partition = partition_of(ids.plan_id.encode(), count)
        try:
            async with self._producer.transaction():
                await self._send(letter, partition)
        except _FENCED as error:
            raise ReplayEnded("another replay has begun") from error
        except CONNECTION_ERRORS as error:
            raise ReplayEnded(reason_of(error)) from error
        return partition

    async def _send(self, letter: Rejected, partition: int) -> None:
        name = letter.topic.removeprefix(self._prefix)
        place = f"{name}-{letter.partition}@{letter.offset}"
        own = letter.headers[:-ADDED]
        again = Entry(letter.key, letter.value, [*own, (REPLAY_OF, place.encode())])
        # Without a key: readers look dead letters up by the ids of plans.
        detail = f"{place} was submitted to {self._plans.name}/{partition}"
        mark = Entry(None, None, reason_headers(letter, REPLAYED, detail))
        sent = await send_entries(self._producer, self._plans.name, partition, [again])
        sent += await send_entries(
            self._producer, letter.topic, letter.partition, [mark]
        )
        # aiokafka commits a transaction also when a batch of it has failed. All are
        # looked at, or Python complains of those that are not.
        outcomes = await asyncio.gather(*sent, return_exceptions=True)
        for failed in filter(None, map(_error, outcomes)):
            raise failed


def _error(outcome: object) -> BaseException | None:
    return outcome if isinstance(outcome, BaseException) else None


@asynccontextmanager
async def replaying(settings: Settings) -> AsyncIterator[Replayer]:
    """Fence other replays; look for marks after that, not before.

    Raises:
        BrokerUnreachable: The broker does not answer.
    """
    producer = transactional_producer(settings, f"{settings.prefix}replay")
    await connect(producer, settings)
    try:
        yield Replayer(producer, settings)
    finally:
        with suppress(*CONNECTION_ERRORS):
            await producer.stop()
