"""What the worker's tests share: an engine with a sink in memory."""

from __future__ import annotations

import asyncio
import json
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any, ParamSpec

import uvloop

from agents.effects import Headers
from agents.engine import EngineSettings, StepEngine
from agents.handlers import Registry
from agents.scheduling import Position
from schemas import codec
from schemas.record import Record
from schemas.steps import (
    StepFailed,
    StepRequest,
    StepStarted,
    StepSucceeded,
    StepWarned,
)

TOPIC = "step-requests.default"
P = ParamSpec("P")
LOOP = {"": None, "uvloop": uvloop.new_event_loop}[os.environ.get("TEST_LOOP", "")]
"""`TEST_LOOP=uvloop pytest …` runs all of the worker's tests on uvloop."""


Test = Callable[P, Coroutine[Any, Any, None]]


def in_loop(test: Test[P]) -> Callable[P, None]:
    """Runs an async test on an event loop of its own."""
    return _run_by(test, None)


def in_uvloop(test: Test[P]) -> Callable[P, None]:
    """Runs an async test on the loop that workers use."""
    return _run_by(test, uvloop.new_event_loop)


def _run_by(
    test: Test[P], make: Callable[[], asyncio.AbstractEventLoop] | None
) -> Callable[P, None]:
    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=make or LOOP) as runner:
            runner.run(test(*args, **kwargs))

    return run


class MemorySink:
    """Keeps outcomes, as they come back from their encoding; acknowledges at will."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.pending: list[asyncio.Future[None]] = []
        self.submitted: list[tuple[str, bytes, Headers]] = []
        self.is_holding = False

    def send(
        self, plan_id: str, model: type[Record], fields: dict[str, Any]
    ) -> asyncio.Future[None]:
        record = codec.decode(codec.encode_fields(model, fields), model)
        assert getattr(record, "plan_id", None) == plan_id
        self.records.append(record)
        return self._acknowledgement()

    def submit(
        self, plan_id: str, value: bytes, headers: Headers
    ) -> asyncio.Future[None]:
        self.submitted.append((plan_id, value, headers))
        return self._acknowledgement()

    def _acknowledgement(self) -> asyncio.Future[None]:
        future = asyncio.get_running_loop().create_future()
        if self.is_holding:
            self.pending.append(future)
        else:
            future.set_result(None)
        return future

    def release(self) -> None:
        """Acknowledges what was held back, and holds back no more."""
        self.is_holding = False
        for future in self.pending:
            if not future.done():
                future.set_result(None)
        self.pending.clear()

    def of(self, model: type[Record]) -> list[Any]:
        """The records of one kind."""
        return [each for each in self.records if type(each) is model]

    @property
    def started(self) -> list[StepStarted]:
        return self.of(StepStarted)

    @property
    def succeeded(self) -> list[StepSucceeded]:
        return self.of(StepSucceeded)

    @property
    def failed(self) -> list[StepFailed]:
        return self.of(StepFailed)

    @property
    def warned(self) -> list[StepWarned]:
        return self.of(StepWarned)

    @property
    def results(self) -> list[Any]:
        return [json.loads(each.result) for each in self.succeeded]


class Bench:
    """An engine at work, and what happened to it."""

    def __init__(self, registry: Registry, settings: EngineSettings) -> None:
        self.sink = MemorySink()
        self.fatal: list[str] = []
        self.rooms: list[int] = []
        self.offset = 0
        self.submissions: dict[tuple[int, int], bytes] = {}
        self.reads: list[tuple[int, int]] = []
        self.is_away = False
        self.engine = StepEngine(
            registry,
            self.sink,
            settings,
            "worker-1",
            read=self.read,
            submit=self.sink.submit,
            fatal=self.fatal.append,
            on_room=lambda: self.rooms.append(self.engine.room()),
        )

    async def read(self, partition: int, offset: int) -> bytes | None:
        """Gives a submission from memory, unless the broker is away."""
        self.reads.append((partition, offset))
        await asyncio.sleep(0.01)
        while self.is_away:
            await asyncio.sleep(0.01)
        return self.submissions.get((partition, offset))

    def offer(
        self,
        action: str,
        payload: object = None,
        *,
        partition: int = 0,
        arrived: float = 0.0,
        redelivered: bool = False,
        **fields: Any,
    ) -> dict[str, Any]:
        """Offers a request at the next offset; returns its fields."""
        given = request(action, payload, **fields)
        position = Position(TOPIC, partition, self.offset)
        self.offset += 1
        self.engine.offer(position, dict(given), arrived, redelivered=redelivered)
        return given

    async def answered(self, count: int = 1, timeout: float = 10.0) -> None:
        """Waits for final outcomes."""
        sink = self.sink
        await eventually(
            lambda: len(sink.succeeded) + len(sink.failed) >= count, timeout
        )

    async def run(self, action: str, payload: object = None, **fields: Any) -> Any:
        """Makes one attempt; returns its outcome."""
        before = len(self.sink.succeeded) + len(self.sink.failed)
        self.offer(action, payload, **fields)
        await self.answered(before + 1)
        finals = (StepSucceeded, StepFailed)
        return [each for each in self.sink.records if type(each) in finals][-1]


@asynccontextmanager
async def bench(registry: Registry, **settings: Any) -> AsyncIterator[Bench]:
    """An engine that is started, and stopped at the end."""
    made = Bench(registry, EngineSettings(**settings))
    await made.engine.start()
    try:
        yield made
    finally:
        made.sink.release()
        await made.engine.stop(0)


def request(action: str, payload: object = None, **fields: Any) -> dict[str, Any]:
    """The fields of a request, as they come out of the codec."""
    given: dict[str, Any] = {
        "plan_id": str(uuid.uuid4()),
        "execution_id": str(uuid.uuid4()),
        "step_id": str(uuid.uuid4()),
        "step_number": 0,
        "attempt": 1,
        "action": action,
        "payload": payload if isinstance(payload, str) else json.dumps(payload or {}),
        "environment": {"region": '"eu"'},
        "timeout_ms": None,
        "deadline_ms": int(time.time() * 1000) + 60_000,
        "priority": 0,
        "requested_at": int(time.time() * 1000),
        "user_id": None,
        "request_id": None,
        "correlation_context": None,
        "environment_at": None,
    }
    given.update(fields)
    _, decoded = codec.decode_fields(
        codec.encode_fields(StepRequest, given), StepRequest
    )
    return decoded


async def eventually(condition: Callable[[], object], timeout: float = 10.0) -> None:
    """Waits until a condition holds, looking at it often."""
    until = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < until, "it did not come to pass"
        await asyncio.sleep(0.005)
