from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from streams.runtime.delivery import ChunkConsumer


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
