"""Sets the coordinators' positions right after topics were lost or made anew."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition

from agents.tables import POSITION, Tables
from streams.bootstrap import require
from streams.broker import CONNECTION_ERRORS, connect, reason_of
from streams.config import Settings
from streams.exceptions import BrokerUnreachable
from streams.runtime.membership import refuse_members
from streams.runtime.origins import Origin, Origins
from streams.runtime.producers import transactional_producer
from streams.runtime.replay import replay
from streams.topics import Topics


class Move(NamedTuple):
    """A position that is changed, in records of its source topic."""

    tp: TopicPartition
    was: int | None
    becomes: int
    why: str


async def reset(settings: Settings, *, writing: bool) -> list[Move]:
    """Find the positions that do not fit their logs, and move them if that is wanted.

    Raises:
        BrokerUnreachable: The broker does not answer.
        TopicsDoNotFit: Some are missing.
        StillRunning: There are coordinators; they would not notice.
    """
    await require(settings)
    await refuse_members(settings, settings.coordinator_app_id)
    try:
        if not writing:
            return await _moves(settings)
        async with _fenced(settings) as producers:
            moves = await _moves(settings)
            await _write(settings, producers, moves)
            return moves
    except CONNECTION_ERRORS as error:
        raise BrokerUnreachable(settings.broker, reason_of(error)) from error


async def _moves(settings: Settings) -> list[Move]:
    topics = Topics.of(settings)
    tables = {number: Tables() for number in range(settings.partitions)}
    await replay(settings, topics.changelog.name, tables)
    group = AIOKafkaConsumer(
        **settings.connection(),
        group_id=settings.coordinator_app_id,
        enable_auto_commit=False,
    )
    await connect(group, settings)
    try:
        origins = await Origins.begin(group, topics)
        await origins.open(tables)
        found = [
            await _move(group, TopicPartition(topic, number), table)
            or _claim(TopicPartition(topic, number), table, origins)
            for topic in topics.sources
            for number, table in tables.items()
        ]
    finally:
        await group.stop()
    return [move for move in found if move is not None]


async def _move(
    group: AIOKafkaConsumer, tp: TopicPartition, table: Tables
) -> Move | None:
    begin = (await group.beginning_offsets([tp]))[tp]
    end = (await group.end_offsets([tp]))[tp]
    at = table.positions.get(tp.topic)
    if at is None:
        committed = await group.committed(tp)
        if committed is None:
            return None  # nobody was ever here: it begins at the log's start
        inside = committed if begin <= committed <= end else begin
        return Move(tp, None, inside, "the changelog has none, the group has")
    if begin <= at <= end:
        return None
    return Move(tp, at, begin, f"the log has {begin} to {end}")


def _claim(tp: TopicPartition, table: Tables, origins: Origins) -> Move | None:
    """A position inside its log that was taken in another."""
    at = table.positions.get(tp.topic)
    found = Origin.read(table.origins.get(tp.topic, ""))
    present = Origin.read(origins.stamps(tp.partition)[tp.topic])
    if at is None or found is None or present is None:
        return None
    if (why := found.difference(present)) is None:
        return None
    return Move(tp, at, at if found.source == present.source else 0, why)


@asynccontextmanager
async def _fenced(settings: Settings) -> AsyncIterator[list[AIOKafkaProducer]]:
    """Lend the producer of each partition: nobody else's commits count any more."""
    app_id = settings.coordinator_app_id
    producers = [
        transactional_producer(settings, f"{app_id}-{number}")
        for number in range(settings.partitions)
    ]
    try:
        await asyncio.gather(*[producer.start() for producer in producers])
        yield producers
    finally:
        await asyncio.gather(*[producer.stop() for producer in producers])


async def _write(
    settings: Settings, producers: list[AIOKafkaProducer], moves: Iterable[Move]
) -> None:
    """Add the new positions to the changelog, those of a partition together."""
    changelog = Topics.of(settings).changelog.name
    by_partition = defaultdict(list)
    for move in moves:
        by_partition[move.tp.partition].append(move)
    for number, wanted in by_partition.items():
        async with producers[number].transaction():
            for move in wanted:
                await producers[number].send_and_wait(
                    changelog,
                    b"%d" % move.becomes,
                    key=POSITION + move.tp.topic.encode(),
                    partition=number,
                )
