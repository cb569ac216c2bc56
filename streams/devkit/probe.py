"""Asks a broker, in Kafka's own protocol, whether it is at work."""

import socket
import struct
from collections.abc import Iterator

_METADATA, _VERSION = 3, 1
_CLIENT = b"planstream-probe"
_MAX_ANSWER = 1_000_000


def is_at_work(port: int, timeout_s: float = 1.0) -> bool:
    """Tell whether the broker on 127.0.0.1:port answers that it is in the cluster.

    An open port is not enough: a broker listens before it may serve, and lists itself
    only once the controller has let it in.
    """
    return port in brokers_known(port, timeout_s)


def brokers_known(port: int, timeout_s: float = 1.0) -> frozenset[int]:
    """Ask the broker on 127.0.0.1:port for the ports of its cluster's live brokers."""
    try:
        address = ("127.0.0.1", port)
        with socket.create_connection(address, timeout=timeout_s) as connection:
            connection.sendall(_request())
            (size,) = struct.unpack(">i", _read(connection, 4))
            if not 0 < size <= _MAX_ANSWER:
                return frozenset()
            return frozenset(_ports_of_brokers(_read(connection, size)))
    except (OSError, EOFError, struct.error):
        return frozenset()


def _request() -> bytes:
    """Build a metadata request about no topic at all."""
    header = struct.pack(">hhih", _METADATA, _VERSION, 1, len(_CLIENT)) + _CLIENT
    body = header + struct.pack(">i", 0)
    return struct.pack(">i", len(body)) + body


def _ports_of_brokers(answer: bytes) -> Iterator[int]:
    """Read the answer's brokers: id, host, port, and a rack that may be null each."""
    _correlation, count = struct.unpack_from(">ii", answer)
    at = 8
    for _ in range(count):
        _node, length = struct.unpack_from(">ih", answer, at)
        port, rack_length = struct.unpack_from(">ih", answer, at + 6 + length)
        at += 12 + length + max(rack_length, 0)
        yield int(port)


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data
