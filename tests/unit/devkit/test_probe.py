import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from streams.devkit.probe import brokers_known, is_at_work

PORT = b"PORT"
OTHER_PORT = 9092
OTHER = struct.pack(">i", OTHER_PORT)


@contextmanager
def server(*answers: bytes) -> Iterator[int]:
    """Answer the request of each connection with some bytes, and hang up.

    `PORT` in an answer stands for the server's own.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        def serve() -> None:
            for answer in answers:
                connection, _ = listening.accept()
                with connection:
                    connection.recv(1000)
                    connection.sendall(answer.replace(PORT, struct.pack(">i", port)))

        thread = threading.Thread(target=serve)
        thread.start()
        yield port
        thread.join()


def broker(port: bytes, rack: str | None = None) -> bytes:
    host = b"127.0.0.1"
    named = struct.pack(">h", -1)
    if rack is not None:
        named = struct.pack(">h", len(rack)) + rack.encode()
    return struct.pack(">ih", 1, len(host)) + host + port + named


def metadata(*brokers: bytes) -> bytes:
    body = struct.pack(">ii", 1, len(brokers)) + b"".join(brokers)
    return struct.pack(">i", len(body)) + body


def test_a_broker_that_lists_itself_is_at_work() -> None:
    """It lists itself as soon as the controller has let it in."""
    with server(metadata(broker(OTHER, "east"), broker(PORT))) as port:
        assert is_at_work(port)


def test_a_broker_that_lists_only_others_is_not_at_work() -> None:
    """The others of its cluster have not yet let it in again."""
    with server(metadata(broker(OTHER))) as port:
        assert not is_at_work(port)


def test_a_broker_says_whom_it_knows() -> None:
    """By their ports, whatever rack they are in."""
    with server(metadata(broker(OTHER, "east"), broker(PORT, ""))) as port:
        assert brokers_known(port) == {OTHER_PORT, port}


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0\0",
        metadata(),
        metadata(broker(PORT))[:-3],
        struct.pack(">i", -1),
        struct.pack(">i", 2**31 - 1),
        b"\0\0\0\1x",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
)
def test_any_other_answer_is_none(answer: bytes) -> None:
    """A broker that is still starting, or a server of another kind."""
    with server(answer) as port:
        assert not is_at_work(port)


def test_silence_is_no_answer() -> None:
    """A port that is open is not enough, and is not waited for long."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        began = time.monotonic()
        assert not is_at_work(listening.getsockname()[1], timeout_s=0.2)
        assert time.monotonic() - began < 1


def test_a_closed_port_is_no_answer() -> None:
    """There is nobody."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    assert not is_at_work(port)
