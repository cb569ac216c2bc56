from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

from faust.types import TP

from streams.config import Settings
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
