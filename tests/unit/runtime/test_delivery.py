from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from streams.runtime import delivery
from streams.runtime.delivery import CHUNK, ChunkConsumer, hand_over


async def stopped_while_it_waits(*, told: bool) -> None:
    """Cancel the loop that fetches, within a fetch, as Faust does to stop it."""
    consumer: Any = ChunkConsumer.__new__(ChunkConsumer)
    consumer._stopped = asyncio.Event()
    consumer.flow_active = True
    fetching, fetcher = asyncio.Event(), SimpleNamespace(_stopped=asyncio.Event())

    async def fetch() -> None:
        fetching.set()
        await asyncio.Event().wait()

    consumer._fetch_and_hand_out = fetch
    task = asyncio.create_task(consumer._drain_messages(fetcher))
    await fetching.wait()
    if told:
        fetcher._stopped.set()
    task.cancel()
    await task


def test_a_fetch_that_is_told_to_stop_is_no_crash() -> None:
    """A SIGTERM while the group rebalances ends the process with 0, not with 1."""
    asyncio.run(stopped_while_it_waits(told=True))


def test_a_fetch_that_is_cancelled_otherwise_says_so() -> None:
    """Nobody's cancellation is swallowed."""
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(stopped_while_it_waits(told=False))


def handed_out(fetched: dict[TP, list[Any]]) -> tuple[list[Any], dict[TP, int]]:
    """What events carry of a fetch, and how far it is handed out."""
    queue: asyncio.Queue[Any] = asyncio.Queue()
    index = {tp: [SimpleNamespace(queue=queue)] for tp in fetched}
    consumer: Any = ChunkConsumer.__new__(ChunkConsumer)
    consumer.app = SimpleNamespace(topics=SimpleNamespace(_tp_index=index))
    consumer._to_message = lambda tp, record: SimpleNamespace(tp=tp, record=record)
    consumer.handed = {}
    consumer._hand_out(fetched, 7)
    events = [queue.get_nowait() for _ in range(queue.qsize())]
    assert {event.message.generation_id for event in events} == {7}
    return [event.value for event in events], consumer.handed


def records(count: int, first: int = 0) -> list[Any]:
    return [SimpleNamespace(offset=first + number) for number in range(count)]


def test_what_a_fetch_brings_of_a_topic_is_one_event() -> None:
    """Faust takes one in each turn of the loop, however many partitions there are."""
    plans = {TP("plans", number): records(2, first=number) for number in range(32)}
    outcomes = {TP("outcomes", number): records(3) for number in range(4)}
    loads, handed = handed_out(plans | outcomes)
    assert [dict(load) for load in loads] == [plans, outcomes]
    assert handed[TP("plans", 31)] == 33
    assert handed[TP("outcomes", 0)] == 3


def test_no_event_has_more_records_than_may_hold_the_loop() -> None:
    """Large chunks are divided, small ones put together; each keeps its order."""
    counts = [CHUNK + 1, CHUNK - 1, 10, CHUNK]
    fetched = {TP("plans", n): records(count) for n, count in enumerate(counts)}
    loads, _ = handed_out(fetched)
    sizes = [sum(len(chunk) for _, chunk in load) for load in loads]
    assert sizes == [CHUNK, CHUNK, 10, CHUNK]
    for tp, expected in fetched.items():
        found = [
            each for load in loads for at, chunk in load if at == tp for each in chunk
        ]
        assert found == expected


class Stream:
    """One event, of the seventh generation."""

    def __init__(self, load: list[Any]) -> None:
        self._event = SimpleNamespace(
            value=load, message=SimpleNamespace(generation_id=7)
        )

    def noack(self) -> Stream:
        return self

    async def events(self) -> AsyncIterator[Any]:
        yield self._event


LOAD = [(TP("plans", number), records(number + 1)) for number in range(3)]


def test_every_chunk_of_an_event_is_handed_over() -> None:
    """In order: a chunk that is left out would be committed past."""
    taken: list[Any] = []
    asyncio.run(hand_over(Stream(LOAD), lambda *chunk: taken.append(chunk)))
    assert taken == [(7, tp, chunk) for tp, chunk in LOAD]


def test_a_chunk_that_cannot_be_taken_ends_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Faust would go on with the next event."""

    class Died(Exception):
        pass

    def die(why: str, error: BaseException) -> None:
        raise Died(why) from error

    def deliver(_generation: int, tp: TP, _records: list[Any]) -> None:
        if tp.partition == 1:
            raise ValueError

    monkeypatch.setattr(delivery, "die", die)
    with pytest.raises(Died, match="partition=1"):
        asyncio.run(hand_over(Stream(LOAD), deliver))
