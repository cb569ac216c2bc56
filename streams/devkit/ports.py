"""Finds TCP ports that are free, and that stay free while a broker is down."""

import random
import socket

_FIRST, _LAST = 20_000, 32_000
"""Below the ports that systems give to outgoing connections: among those, a client that
tries to reach a broker that is down may be given the broker's own port, connect to
itself, and keep the broker from coming back."""

_TRIES = 200


def is_free(port: int) -> bool:
    """Tell whether a server could listen on 127.0.0.1:port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> tuple[int, ...]:
    """Choose different free ports at random.

    Raises:
        OSError: There seem to be none left.
    """
    # Not from the shared generator: a seeded test would give all the same ports.
    dice = random.SystemRandom()
    found: set[int] = set()
    for _ in range(_TRIES):
        port = dice.randint(_FIRST, _LAST)
        if is_free(port):
            found.add(port)
        if len(found) == count:
            return tuple(found)
    raise OSError(f"no free ports between {_FIRST} and {_LAST}")
