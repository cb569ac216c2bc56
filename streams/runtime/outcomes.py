"""Sends step outcomes, and child plans, to the partitions of their plans."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Any

from agents.effects import Headers
from agents.partitioner import partition_of
from schemas import codec
from schemas.record import Record
from streams.config import Settings
from streams.runtime.outbox import Outbox
from streams.runtime.producers import Entry
from streams.topics import Topics

REMEMBERED = 10_000
"""Plans whose partitions are known: each is asked for with every step of a plan."""


class OutcomeSender:
    """The step engine's sink: encodes an outcome and queues it for its partition."""

    def __init__(self, outbox: Outbox, settings: Settings, topics: Topics) -> None:
        self._outbox = outbox
        self._format = codec.Format(settings.format)
        self._topic = topics.step_outcomes
        self._plans = topics.plans
        self._partition_of = lru_cache(REMEMBERED)(partition_of)

    def send(
        self, plan_id: str, model: type[Record], fields: dict[str, Any]
    ) -> asyncio.Future[None]:
        """Queue an outcome; the future is done when the broker has it."""
        value = codec.encode_fields(model, fields, self._format)
        key = plan_id.encode()
        partition = self._partition_of(key, self._topic.partitions)
        return self._outbox.add(self._topic.name, partition, Entry(key, value))

    def submit(
        self, plan_id: str, value: bytes, headers: Headers
    ) -> asyncio.Future[None]:
        """Queue a child's submission; the future is done when the broker has it."""
        key = plan_id.encode()
        partition = self._partition_of(key, self._plans.partitions)
        return self._outbox.add(self._plans.name, partition, Entry(key, value, headers))
