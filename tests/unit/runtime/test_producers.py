from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from aiokafka.errors import NodeNotReadyError

from streams.config import Settings
from streams.runtime import producers
from streams.runtime.producers import idempotent_producer, transactional_producer


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
