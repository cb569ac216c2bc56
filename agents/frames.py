"""Messages between a step worker and its child processes: length, then JSON."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from typing import Any

_LENGTH = struct.Struct(">I")

Message = dict[str, Any]


def pack(message: Message) -> bytes:
    """A message as it goes over the wire."""
    body = json.dumps(message).encode()
    return _LENGTH.pack(len(body)) + body


async def read(reader: asyncio.StreamReader) -> Message:
    """The next message.

    Raises:
        EOFError: The other side is gone.
    """
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        return _message(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        raise EOFError from None


def receive(connection: socket.socket) -> Message:
    """The next message, by a blocking read.

    Raises:
        EOFError: The other side is gone.
    """
    (length,) = _LENGTH.unpack(_receive_exactly(connection, _LENGTH.size))
    return _message(_receive_exactly(connection, length))


def _receive_exactly(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        try:
            part = connection.recv(size - len(data))
        except ConnectionError:  # it was killed before it had read what we sent
            part = b""
        if not part:
            raise EOFError
        data += part
    return bytes(data)


def _message(body: bytes) -> Message:
    message: Message = json.loads(body)
    return message
