from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    NodeNotReadyError,
    RequestTimedOutError,
)
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.produce import ProduceRequest

from streams.config import Settings
from streams.runtime import producers
from streams.runtime.producers import (
    best_effort_producer,
    doubt_silence,
    idempotent_producer,
    transactional_producer,
)

MAKERS: list[Callable[[Settings], Any]] = [
    lambda settings: transactional_producer(settings, "some-id"),
    idempotent_producer,
    best_effort_producer,
]


@pytest.mark.parametrize("make", MAKERS)
def test_a_broker_that_is_away_is_not_tried_in_a_rush(
    make: Callable[[Settings], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Quick retries are for transactions, not for connecting: ever longer pauses."""
    monkeypatch.setattr(producers, "AWAY_S", 0.1)
    monkeypatch.setattr(producers, "LONG_AWAY_S", 0.2)

    async def scenario() -> list[float]:
        producer = make(Settings.load(broker="127.0.0.1:1"))
        producer._closed = True  # it was never started
        times = [time.monotonic()]
        for _ in range(4):
            with pytest.raises(NodeNotReadyError):
                await producer.client.send(7, None)
            times.append(time.monotonic())
        return times

    times = asyncio.run(scenario())
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert pauses[0] >= 0.1
    assert all(0.2 <= pause < 2 for pause in pauses[1:])


def test_a_connection_that_breaks_is_no_end_of_a_producer() -> None:
    """Else a broker that restarts would end what has transactions open."""

    async def scenario() -> None:
        producer = transactional_producer(Settings(), "some-id")
        producer._closed = True  # it was never started
        client = producer.client

        async def send(*_: object, **__: object) -> None:
            raise KafkaConnectionError("closed")

        client.send = send
        client.get_random_node = lambda: 1
        with pytest.raises(NodeNotReadyError):
            await client.coordinator_lookup(CoordinationType.TRANSACTION, "some-id")

    asyncio.run(scenario())


@pytest.mark.parametrize("error", [KafkaConnectionError, RequestTimedOutError])
def test_what_may_have_arrived_is_not_sent_again(error: type[KafkaError]) -> None:
    """An event comes once at most (§5.0); other requests are asked again."""

    async def scenario() -> None:
        producer = best_effort_producer(Settings())
        producer._closed = True  # it was never started
        client = producer.client

        async def lost(*_: object, **__: object) -> None:
            raise error("lost")

        client._get_conn = lost
        produce = ProduceRequest(
            transactional_id=None, required_acks=1, timeout=1, topics=[]
        )
        with pytest.raises(KafkaError) as told:
            await client.send(1, produce)
        assert not told.value.retriable
        with pytest.raises(KafkaError) as told:
            await client.send(1, MetadataRequest([]))
        assert told.value.retriable

    asyncio.run(scenario())


def test_a_silent_broker_loses_all_its_connections() -> None:
    """Else a client tries them one after the other, each for the whole time."""

    class Connection:
        closed = False

        def close(self) -> None:
            self.closed = True

    async def silent(*_: Any) -> None:
        raise RequestTimedOutError

    async def scenario() -> list[bool]:
        client = AIOKafkaClient()
        client.send = silent
        one, two, other = (Connection() for _ in range(3))
        client._conns = {(1, 0): one, (1, 1): two, (2, 0): other}
        doubt_silence(client)
        with pytest.raises(RequestTimedOutError):
            await client.send(1, None)
        client._conns = {}
        return [one.closed, two.closed, other.closed]

    assert asyncio.run(scenario()) == [True, True, False]


def test_producers_doubt_silence_sooner_than_a_commit_may_take() -> None:
    """What waits for a leader may wait longer: that is no silent connection."""

    async def scenario() -> None:
        settings = Settings.load(broker="127.0.0.1:1")
        for producer in (
            transactional_producer(settings, "some-id"),
            idempotent_producer(settings),
        ):
            assert producer.client._request_timeout_ms * 3 < settings.commit_timeout_ms
            assert producer._request_timeout_ms > producer.client._request_timeout_ms
            producer._closed = True  # it was never started

    asyncio.run(scenario())
