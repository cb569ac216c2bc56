import socket

from streams.devkit.ports import free_ports, is_free


def test_ports_are_different_and_free() -> None:
    """A broker needs two."""
    ports = free_ports(5)

    assert len(set(ports)) == 5
    assert all(is_free(port) for port in ports)


def test_ports_are_not_among_those_of_outgoing_connections() -> None:
    """A client would connect to itself while the broker is down."""
    assert all(1024 < port < 32_768 for port in free_ports(20))


def test_a_port_with_a_server_is_not_free() -> None:
    """Even if that server listens on 127.0.0.1 alone."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not is_free(server.getsockname()[1])
