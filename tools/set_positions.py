"""Sets the coordinators' positions right after topics were lost or made anew.

Only while no coordinator runs: nothing fences this. docs/operations.md says when.

    python -m tools.set_positions            # say what would be done
    python -m tools.set_positions --write    # do it
"""

from __future__ import annotations

import asyncio
import sys
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition

from agents.tables import POSITION, Tables
from streams.config import Settings
from streams.runtime.origins import Origin, Origins
from streams.runtime.replay import replay
from streams.topics import Topics


class Move(NamedTuple):
    """A position that is changed, in records of its source topic."""

    tp: TopicPartition
    was: int | None
    becomes: int
    why: str


async def moves(settings: Settings) -> list[Move]:
    """What is wrong with the positions in the changelog, and what they should be."""
    topics = Topics.of(settings)
    tables = {number: Tables() for number in range(settings.partitions)}
    await replay(settings, topics.changelog.name, tables)
    group = AIOKafkaConsumer(
        **settings.connection(),
        group_id=settings.coordinator_app_id,
        enable_auto_commit=False,
    )
    await group.start()
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


async def write(settings: Settings, wanted: list[Move]) -> None:
    """Add the new positions to the changelog."""
    changelog = Topics.of(settings).changelog.name
    producer = AIOKafkaProducer(**settings.connection(), acks="all")
    await producer.start()
    try:
        for move in wanted:
            await producer.send_and_wait(
                changelog,
                b"%d" % move.becomes,
                key=POSITION + move.tp.topic.encode(),
                partition=move.tp.partition,
            )
    finally:
        await producer.stop()


async def main(*, writing: bool) -> None:
    """Show what is to be changed, and change it if that is wanted."""
    settings = Settings.load()
    wanted = await moves(settings)
    for tp, was, becomes, why in wanted:
        print(f"{tp.topic}/{tp.partition}: {was} -> {becomes} ({why})")
    if not wanted:
        print("every position lies within its log")
    elif writing:
        await write(settings, wanted)
        print(f"{len(wanted)} positions were written")
    else:
        print("nothing was changed; --write does it")


if __name__ == "__main__":
    asyncio.run(main(writing="--write" in sys.argv[1:]))
