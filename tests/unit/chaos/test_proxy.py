from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import pytest

from streams.devkit.ports import free_ports
from tests.chaos.proxy import Proxy

SOON_S = 0.3
"""How long a test waits for what must not come."""
SURELY_S = 10.0


@dataclass
class Line:
    """A client that talks through a proxy to a server that echoes."""

    proxy: Proxy
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    heard: bytearray
    """What has reached the server."""

    async def says(self, text: bytes) -> None:
        self.writer.write(text)
        await self.writer.drain()

    async def hears(self, count: int = 100) -> bytes:
        async with asyncio.timeout(SURELY_S):
            return await self.reader.read(count)

    async def hears_nothing(self) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SOON_S):
                await self.reader.read(1)


@asynccontextmanager
async def open_line() -> AsyncIterator[Line]:
    port, target = free_ports(2)
    heard, ended = bytearray(), asyncio.Semaphore(0)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(100_000):
                heard.extend(data)
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
        ended.release()

    server = await asyncio.start_server(echo, "127.0.0.1", target)
    async with server:
        async with Proxy(port, target) as proxy:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            while not proxy.connections:
                await asyncio.sleep(0.01)
            try:
                yield Line(proxy, reader, writer, heard)
            finally:
                writer.transport.abort()
        for _ in range(proxy.accepted):
            await ended.acquire()


def with_line(scenario: Callable[[Line], Awaitable[None]]) -> None:
    async def run() -> None:
        async with open_line() as line:
            await scenario(line)

    asyncio.run(run())


def test_what_is_said_arrives_both_ways() -> None:
    """Whole, in order, however much it is."""

    async def scenario(line: Line) -> None:
        text = bytes(range(256)) * 20_000
        saying = asyncio.create_task(line.says(text))
        async with asyncio.timeout(SURELY_S):
            assert await line.reader.readexactly(len(text)) == text
        await saying
        assert line.heard == text

    with_line(scenario)


def test_a_goodbye_is_passed_on() -> None:
    """What was said before it arrives first; then the connection is forgotten."""

    async def scenario(line: Line) -> None:
        await line.says(b"bye")
        line.writer.write_eof()
        assert await line.hears() == b"bye"
        assert await line.hears() == b""
        async with asyncio.timeout(SURELY_S):
            while line.proxy.connections:
                await asyncio.sleep(0.01)

    with_line(scenario)


def test_latency_is_added_in_each_direction() -> None:
    """And to each chunk once: what follows quickly is not later for that."""

    async def scenario(line: Line) -> None:
        line.proxy.latency_s = 0.2
        clock = asyncio.get_running_loop().time
        began = clock()
        for _ in range(5):
            await line.says(b"x")
            await asyncio.sleep(0.01)
        async with asyncio.timeout(SURELY_S):
            await line.reader.readexactly(5)
        assert 0.4 <= clock() - began < 1.2

    with_line(scenario)


def test_a_stall_holds_all_back_and_loses_nothing() -> None:
    """Connections stay open; those made meanwhile are held too."""

    async def scenario(line: Line) -> None:
        stalling = asyncio.create_task(line.proxy.stall(2 * SOON_S))
        await asyncio.sleep(0)
        await line.says(b"late")
        await line.hears_nothing()
        assert not line.heard
        await stalling
        assert await line.hears() == b"late"

    with_line(scenario)


def test_a_reset_is_noticed_on_both_sides() -> None:
    """At once; and the next connection works."""

    async def scenario(line: Line) -> None:
        await line.says(b"x")
        await line.hears()
        assert line.proxy.reset() == 1
        with pytest.raises(ConnectionResetError):
            await line.hears()
        line.reader, writer = await asyncio.open_connection(
            "127.0.0.1", line.proxy.port
        )
        writer.write(b"again")
        assert await line.hears() == b"again"
        writer.transport.abort()
        assert line.proxy.accepted == 2

    with_line(scenario)


def test_a_stranded_client_can_be_reset() -> None:
    """Although the broker's side of its connection is gone."""

    async def scenario(line: Line) -> None:
        await line.says(b"x")
        await line.hears()
        line.proxy.strand()
        await asyncio.sleep(0)  # by then that side is closed
        await asyncio.sleep(0)
        assert line.proxy.reset() == 1
        with pytest.raises(ConnectionResetError):
            await line.hears()

    with_line(scenario)


def test_a_deafened_client_is_heard() -> None:
    """The broker does what it is told, and its answer is lost."""

    async def scenario(line: Line) -> None:
        assert line.proxy.deafen() == 1
        await line.says(b"x")
        await line.hears_nothing()
        assert line.heard == b"x"

    with_line(scenario)


def test_a_stranded_client_is_told_nothing() -> None:
    """It may say what it likes; nobody hears it, and nobody says goodbye."""

    async def scenario(line: Line) -> None:
        await line.says(b"x")
        await line.hears()
        assert line.proxy.strand() == 1
        await line.says(b"anybody?")
        await line.hears_nothing()
        assert line.heard == b"x"

    with_line(scenario)


def test_refused_connections_are_refused() -> None:
    """Those that there are stay; later ones are accepted when that is over."""

    async def scenario(line: Line) -> None:
        await line.proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", line.proxy.port)
        await line.says(b"x")
        assert await line.hears() == b"x"
        await line.proxy.accept()
        _, writer = await asyncio.open_connection("127.0.0.1", line.proxy.port)
        writer.transport.abort()

    with_line(scenario)


def test_a_broker_that_is_away_is_a_closed_connection() -> None:
    """The client may connect, and is left at once."""

    async def scenario() -> None:
        port, target = free_ports(2)
        async with Proxy(port, target):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            async with asyncio.timeout(SURELY_S):
                with suppress(ConnectionResetError):
                    assert await reader.read() == b""
            writer.transport.abort()

    asyncio.run(scenario())
