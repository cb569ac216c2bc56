from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from streams.runtime.outbox import Outbox
from streams.runtime.producers import BATCH_BYTES, Entry
from tests.unit.runtime.test_commit import SlowProducer, settle


def test_what_gathers_during_a_round_makes_the_next() -> None:
    """A slow broker makes batches larger, not longer queues."""

    async def scenario() -> None:
        producer = SlowProducer()
        outbox = Outbox(producer)
        running = asyncio.create_task(outbox.run())
        producer.acknowledged.clear()
        first = outbox.add("t", 0, Entry(b"k", b"v"))
        await settle()
        later = [outbox.add("t", 0, Entry(b"k", b"v")) for _ in range(40)]
        assert not first.done()
        producer.acknowledged.set()
        await asyncio.gather(first, *later)
        assert producer.batches["t"] == [1, 40]
        running.cancel()

    asyncio.run(scenario())


def test_a_round_has_one_batch_for_each_partition() -> None:
    """Records are told apart by topic and partition, and keep their order."""

    async def scenario() -> None:
        producer = SlowProducer()
        outbox = Outbox(producer)
        running = asyncio.create_task(outbox.run())
        done = [outbox.add("t", number % 2, Entry(b"k", b"v")) for number in range(6)]
        await asyncio.gather(*done)
        assert producer.calls == ["send t/0", "send t/1"]
        assert producer.batches["t"] == [3, 3]
        running.cancel()

    asyncio.run(scenario())


def test_a_failed_round_fails_its_own_records_alone() -> None:
    """Whoever waits for a record learns that it was not sent; the next round goes."""

    async def scenario() -> None:
        producer = SlowProducer()
        outbox = Outbox(producer)
        running = asyncio.create_task(outbox.run())
        producer.failure = OSError("gone")
        lost = outbox.add("t", 0, Entry(b"k", b"v"))
        with pytest.raises(OSError, match="gone"):
            await lost
        producer.failure = None
        await outbox.add("t", 0, Entry(b"k", b"v"))
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    asyncio.run(scenario())


def test_large_records_get_batches_of_their_own() -> None:
    """A batch stays small unless a single record is larger."""

    async def scenario() -> None:
        producer = SlowProducer()
        outbox = Outbox(producer)
        running = asyncio.create_task(outbox.run())
        large = b"x" * (BATCH_BYTES - 50)
        sizes = [b"s", large, b"s", b"s", large]
        await asyncio.gather(*[outbox.add("t", 0, Entry(b"k", v)) for v in sizes])
        assert producer.batches["t"] == [1, 1, 2, 1]
        running.cancel()

    asyncio.run(scenario())


def test_a_record_larger_than_any_batch_is_left_to_the_broker() -> None:
    """Nothing is lost silently, however large: the broker takes or refuses it."""

    async def scenario() -> None:
        producer = SlowProducer()
        outbox = Outbox(producer)
        running = asyncio.create_task(outbox.run())
        sizes = [b"s", b"x" * 2**21, b"s"]
        await asyncio.gather(*[outbox.add("t", 0, Entry(b"k", v)) for v in sizes])
        assert producer.batches["t"] == [1, 1, 1]
        running.cancel()

    asyncio.run(scenario())
