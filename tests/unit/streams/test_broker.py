"""How clients of the broker are closed."""

from __future__ import annotations

import asyncio

import pytest

from streams.broker import disconnect


class Slow:
    """A client that takes a while to close."""

    def __init__(self) -> None:
        self.closing = asyncio.Event()
        self.is_closed = False

    async def start(self) -> None:
        """It is never asked to."""

    async def stop(self) -> None:
        """Close what is open, one after the other."""
        self.closing.set()
        await asyncio.sleep(0.05)
        self.is_closed = True


def test_whoever_is_cancelled_closes_its_client_all_the_same() -> None:
    """A scan that is broken off at its end would leave an open socket behind."""

    async def scenario() -> None:
        client = Slow()
        leaving = asyncio.create_task(disconnect(client))
        await client.closing.wait()
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert client.is_closed

    asyncio.run(scenario())
