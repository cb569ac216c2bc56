from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from faust.types import TP

from streams.config import Settings
from streams.runtime import worker
from streams.runtime.worker import WorkerHost
from streams.topics import Topics

QUEUE = TP("step-requests.default", 0)


class Engine:
    """Finishes one request a look."""

    def __init__(self) -> None:
        self.finished = 0

    def committable(self) -> dict[tuple[str, int], int]:
        self.finished += 1
        return {tuple(QUEUE): self.finished} if self.finished < 3 else {}


class Consumer:
    """Its second commit fails."""

    def __init__(self) -> None:
        self.asked = 0
        self.committed: list[dict[TP, int]] = []

    async def commit_offsets(self, offsets: Mapping[TP, int]) -> None:
        self.asked += 1
        given, is_second = dict(offsets), self.asked == 2
        await asyncio.sleep(0.01)
        if is_second:
            raise OSError("rebalancing")
        self.committed.append(given)


def test_an_offset_whose_commit_failed_is_committed_later() -> None:
    """Also when another commit, of a rebalance, was under way at the time."""

    async def scenario() -> None:
        consumer, settings = Consumer(), Settings()
        host = WorkerHost(
            settings,
            Topics.of(settings),
            make_engine=cast(Any, None),
            consumer=lambda: cast(Any, consumer),
            on_ready=lambda tps: None,
        )
        host._parts = cast(Any, SimpleNamespace(engine=Engine()))
        first = asyncio.create_task(host._commit())
        await asyncio.sleep(0.005)
        await host.quiesce()
        await first
        await host._commit()
        assert consumer.committed[-1] == {QUEUE: 2}

    asyncio.run(scenario())


class Hanging:
    """A client of a broker that answers nothing, and an engine that is done."""

    def __init__(self) -> None:
        self.stopped_with: list[float] = []

    async def commit_offsets(self, offsets: Mapping[TP, int]) -> None:
        await asyncio.Event().wait()

    async def stop(self, limit_s: float | None = None) -> None:
        if limit_s is None:
            await asyncio.Event().wait()
        else:
            self.stopped_with.append(limit_s)

    def committable(self) -> dict[tuple[str, int], int]:
        return {tuple(QUEUE): 1}


def test_a_stop_depends_on_no_commit_and_no_farewell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A group that has put the worker out keeps aiokafka trying for ever."""
    monkeypatch.setattr(worker, "LAST_S", 0.01)

    async def scenario() -> Hanging:
        hanging, settings = Hanging(), Settings()
        host = WorkerHost(
            settings,
            Topics.of(settings),
            make_engine=cast(Any, None),
            consumer=lambda: cast(Any, hanging),
            on_ready=lambda tps: None,
        )
        parts = SimpleNamespace(engine=hanging, stop=hanging.stop)
        host._parts = cast(Any, parts)
        async with asyncio.timeout(1.0):
            await host.close()
        return hanging

    assert asyncio.run(scenario()).stopped_with == [17.0]
