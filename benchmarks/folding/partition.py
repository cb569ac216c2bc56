"""One partition of a coordinator, without clients: folds, and forgets what came out."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from agents.coordinator import CoordinatorTerms, PartitionState
from agents.effects import Headers
from schemas import codec
from schemas.steps import StepRequest, StepSucceeded

PLANS, OUTCOMES = "plans", "step-outcomes"
CHUNK = 500
"""Records folded between two takings of what came out, as under load."""


class Source(NamedTuple):
    """A consumed record."""

    topic: str
    offset: int
    timestamp: int
    value: bytes
    key: bytes | None = None
    headers: Headers = ()
    partition: int = 0


class Partition:
    """Folds what it is given, in chunks, and counts the CPU of that alone."""

    def __init__(self, now_ms: int) -> None:
        terms = CoordinatorTerms(
            PLANS,
            OUTCOMES,
            "commands",
            partition_of=lambda _: 0,
            registry_retention_ms=0,
        )
        self.state = PartitionState(0, terms)
        self.now_ms = now_ms
        self.cpu_s = 0.0
        self._offset = 0

    def admit(self, values: Iterable[bytes], apart_ms: int = 0) -> list[bytes]:
        """Folds submissions that come so many ms apart; the steps asked for."""
        return self._fold(PLANS, values, apart_ms)

    def answer(self, requests: Iterable[bytes]) -> list[bytes]:
        """Folds the success of each request; the steps asked for then."""
        outcomes = [_succeeded(request, self.now_ms) for request in requests]
        return self._fold(OUTCOMES, outcomes, 0)

    def _fold(self, topic: str, values: Iterable[bytes], apart_ms: int) -> list[bytes]:
        records = [self._record(topic, value, apart_ms) for value in values]
        asked = []
        for start in range(0, len(records), CHUNK):
            asked += self._fold_chunk(records[start : start + CHUNK])
        return asked

    def _record(self, topic: str, value: bytes, apart_ms: int) -> Source:
        self.now_ms += apart_ms
        self._offset += 1
        return Source(topic, self._offset, self.now_ms, value)

    def _fold_chunk(self, chunk: list[Source]) -> list[bytes]:
        state = self.state
        began = time.thread_time()
        for record in chunk:
            state.fold(record, state.advance(record.timestamp))
        state.tables.take_changes()
        requests = state.take_effects().requests
        self.cpu_s += time.thread_time() - began
        return [request.value for request in requests if request.value is not None]


def _succeeded(request: bytes, now_ms: int) -> bytes:
    _, asked = codec.decode_fields(request, StepRequest)
    names = ("plan_id", "execution_id", "step_id", "step_number", "attempt")
    fields: dict[str, Any] = {name: asked[name] for name in names}
    fields |= {"worker": "w", "started_at": now_ms, "ended_at": now_ms}
    return codec.encode_fields(StepSucceeded, fields | {"result": "null"})
