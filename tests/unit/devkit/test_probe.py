import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from streams.devkit.probe import is_at_work


@contextmanager
def server(answer: bytes) -> Iterator[int]:
    """Answer one connection's request with some bytes, and hang up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


def metadata(brokers: int) -> bytes:
    body = struct.pack(">ii", 1, brokers)
    return struct.pack(">i", len(body)) + body


def test_a_broker_that_lists_a_broker_is_at_work() -> None:
    """It lists itself as soon as the controller has let it in."""
    with server(metadata(1)) as port:
        assert is_at_work(port)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0\0",
        metadata(0),
        metadata(1)[:-3],
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
