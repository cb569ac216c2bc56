"""A network between a process and a broker that can be made slow, deaf or dead.

    process ── port ─▶ Proxy ── target ─▶ broker

The proxy forwards TCP connections on the loopback, within the event loop of the test.
A broker whose `proxy_port` is the proxy's sends whoever comes this way back to it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Self

CHUNK_BYTES = 64 * 1024
CHUNKS_ON_THE_WAY = 256
"""How much one direction of a connection may hold: a slow line is not a thin one."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Direction:
    """One direction of one connection: reads here, writes there, a while later."""

    def __init__(
        self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.is_lost = False
        """Whether what comes is swallowed, its end included."""
        self._proxy = proxy
        self._reader = reader
        self._writer = writer
        self._on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(
            CHUNKS_ON_THE_WAY
        )

    async def run(self) -> None:
        """Forward until the end, which is forwarded too."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._take())
            group.create_task(self._give())

    async def _take(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            data = await self._reader.read(CHUNK_BYTES)
            await self._on_the_way.put((clock() + self._proxy.latency_s, data))
            if not data:
                return

    async def _give(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            due, data = await self._on_the_way.get()
            await asyncio.sleep(max(0.0, due - clock()))
            await self._proxy.flows.wait()
            try:
                await self._pass_on(data)
            except ConnectionError:
                if not self.is_lost:
                    raise
            if not data:
                return

    async def _pass_on(self, data: bytes) -> None:
        if self.is_lost:
            return
        if data:
            self._writer.write(data)
            await self._writer.drain()
        else:
            self._writer.write_eof()


class Connection:
    """A client's connection, and the one to the broker that was made for it."""

    def __init__(
        self,
        proxy: Proxy,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        broker: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self.sent = Direction(proxy, client[0], broker[1])
        self.received = Direction(proxy, broker[0], client[1])
        self._client, self._broker = client[1], broker[1]

    async def run(self) -> None:
        """Forward both ways until both have ended, or either side is gone."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.sent.run())
                group.create_task(self.received.run())
        except* OSError:
            pass  # one side broke off, so the other is
        finally:
            self._client.transport.abort()
            self._broker.transport.abort()

    def reset(self) -> None:
        """Break it off on both sides: whoever reads or writes is told so (RST)."""
        for writer in (self._client, self._broker):
            if writer.transport.is_closing():
                continue  # that side is gone already
            raw: socket.socket = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            writer.transport.abort()

    def deafen(self) -> None:
        """Have the broker's answers lost on their way."""
        self.received.is_lost = True

    def strand(self) -> None:
        """Have the broker's side go away, while the client is told nothing."""
        self.sent.is_lost = self.received.is_lost = True
        self._broker.transport.abort()


class Proxy:
    """Forwards connections to a broker; see the module.

    Args:
        port: Where clients connect.
        target: The port of the broker behind it.
    """

    def __init__(self, port: int, target: int) -> None:
        self.port = port
        self.latency_s = 0.0
        """How much later all arrives, in each direction."""
        self.flows = asyncio.Event()
        """Whether anything arrives at all; else it is held back, and nobody told."""
        self.flows.set()
        self.connections: set[Connection] = set()
        self.accepted = 0
        """How many connections there have ever been."""
        self._target = target
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Begin to accept connections."""
        await self.accept()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Break all off."""
        await self.refuse()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await asyncio.sleep(0)  # sockets are closed in the loop's next round

    async def accept(self) -> None:
        """Accept connections, for the first time or again."""
        if self._server is None:
            self._server = await asyncio.start_server(
                self._accepted, "127.0.0.1", self.port
            )

    async def refuse(self) -> None:
        """Refuse new connections; those that there are stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def stall(self, seconds: float) -> None:
        """Hold all back for some seconds, connections that are made now included."""
        self.flows.clear()
        try:
            await asyncio.sleep(seconds)
        finally:
            self.flows.set()

    def reset(self) -> int:
        """Break all connections off; returns how many there were."""
        return self._harm(Connection.reset)

    def deafen(self) -> int:
        """Lose all answers from now on to what is connected now; how many that is.

        The broker does what it is asked, and nobody learns of it.
        """
        return self._harm(Connection.deafen)

    def strand(self) -> int:
        """Leave all clients half-open; returns how many there were.

        Their peer is gone, and they are not told. New connections work: so it is when a
        firewall has forgotten those that it let through.
        """
        return self._harm(Connection.strand)

    def _harm(self, harm: Callable[[Connection], None]) -> int:
        for connection in self.connections:
            harm(connection)
        return len(self.connections)

    def _accepted(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.accepted += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            broker = await asyncio.open_connection("127.0.0.1", self._target)
            connection = Connection(self, (reader, writer), broker)
            self.connections.add(connection)
            try:
                await connection.run()
            finally:
                self.connections.discard(connection)
        except OSError:
            return  # there is no broker
        finally:
            writer.transport.abort()
