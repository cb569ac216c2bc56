"""What lies on the topics about plans that ended wrongly."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Iterable
from typing import Any

from schemas import codec
from schemas.decode_error import DecodeError
from schemas.identity import peek_ids
from streams.topics import Topic
from tests.chaos.reading import read
from tests.integration.system import System

PLAN_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
MOST = 5
CUT = 600


def concerned(broken: Iterable[str]) -> list[str]:
    """The first plans, and steps, that descriptions of breaks name."""
    found = [hit[0] for text in broken if (hit := PLAN_ID.search(text))]
    return list(dict.fromkeys(found))[:MOST]


async def autopsy(system: System, ids: Collection[str]) -> AsyncIterator[str]:
    """A line for each record that names one of the ids, or a child of such a plan."""
    if not ids:
        return
    wanted = {each.encode() for each in ids}
    topics = system.topics
    async for record in read(system, topics.plans):
        if _names(record, wanted) and (found := peek_ids(record.value)):
            wanted.add(found.plan_id.encode())
    for topic in topics.all():
        if topic is not topics.changelog:
            async for line in _lines(system, topic, wanted):
                yield line


async def _lines(
    system: System, topic: Topic, wanted: Collection[bytes]
) -> AsyncIterator[str]:
    committed = set()
    async for record in read(system, topic):
        if _names(record, wanted):
            committed.add((record.partition, record.offset))
    async for record in read(system, topic, committed=False):
        if _names(record, wanted):
            is_there = (record.partition, record.offset) in committed
            yield _line(topic, record, "" if is_there else " ABORTED")


def _names(record: Any, wanted: Collection[bytes]) -> bool:
    texts = [record.value, record.key, *(value for _, value in record.headers)]
    return any(each in text for text in texts if text for each in wanted)


def _line(topic: Topic, record: Any, state: str) -> str:
    where = f"{record.timestamp} {topic.name}/{record.partition} at {record.offset}"
    headers = ", ".join(name for name, _ in record.headers)
    return f"{where}{state} [{headers}] {_text(topic, record)}"[:CUT]


def _text(topic: Topic, record: Any) -> str:
    try:
        model, fields = codec.decode_fields(record.value, *topic.values)
    except (DecodeError, ValueError, TypeError):
        return repr(record.value)
    return f"{model.__name__} {fields}"
