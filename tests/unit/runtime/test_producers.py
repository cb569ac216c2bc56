from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import NodeNotReadyError, RequestTimedOutError

from streams.config import Settings
from streams.runtime import producers
from streams.runtime.producers import (
    doubt_silence,
    idempotent_producer,
    transactional_producer,
)


def test_a_broker_that_is_away_is_not_tried_in_a_rush(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Quick retries are for transactions, not for connecting: one pause each."""
    monkeypatch.setattr(producers, "AWAY_S", 0.2)

    async def seconds_of(producer: Any) -> float:
        began = time.monotonic()
        with pytest.raises(NodeNotReadyError):
            await producer.client.send(7, None)
        producer._closed = True  # it was never started
        return time.monotonic() - began

    async def scenario() -> tuple[float, float]:
        settings = Settings.load(broker="127.0.0.1:1")
        transactional = transactional_producer(settings, "some-id")
        plain = idempotent_producer(settings)
        return await seconds_of(transactional), await seconds_of(plain)

    patient, plain = asyncio.run(scenario())
    assert patient >= 0.2
    assert plain < patient


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
