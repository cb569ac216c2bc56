"""The settings of development brokers: nodes that are broker and controller at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

KAFKA_VERSION = "4.3.0"

SHARED: Mapping[str, str] = {
    # Topics are made, and checked, by planstream's own bootstrap.
    "auto.create.topics.enable": "false",
    # One node holds the one copy of everything.
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # Fewer internal partitions are made, and recovered, faster than 50.
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "4",
    # A group with one member need not wait three seconds for more to come.
    "group.initial.rebalance.delay.ms": "0",
    # Tests want to see sessions expire; the default forbids less than six seconds.
    "group.min.session.timeout.ms": "1000",
    # A little over the 8 MiB of `max_record_bytes` and its overhead.
    "message.max.bytes": "9437184",
    "replica.fetch.max.bytes": "9437184",
    # A killed broker may not register again before its old session has ended: with
    # the default of 9 s a restart takes 12 s, with 2 s it takes 3.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "250",
    # The default of 128 MiB is a quarter of the heap; this cleans 1 M keys at once.
    "log.cleaner.dedupe.buffer.size": "33554432",
    "log.cleaner.threads": "1",
}
"""What the embedded broker and the one of docker-compose.kafka.yml have in common."""


REPLICATED: Mapping[str, str] = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "share.coordinator.state.topic.replication.factor": "3",
    "share.coordinator.state.topic.min.isr": "2",
    # A follower that has just come back holds reads up no longer than it must.
    "replica.fetch.wait.max.ms": "100",
    # A broker of several that is taken for dead when its machine is merely busy makes
    # all leaders move, again and again.
    "broker.session.timeout.ms": "6000",
    "controller.quorum.fetch.timeout.ms": "5000",
}
"""What differs where there are three nodes: one of them may be lost at any time."""


@dataclass(frozen=True, slots=True)
class Node:
    """One broker's number, and its ports on 127.0.0.1.

    Attributes:
        number: its id in the cluster, from 1.
        port: for clients and other brokers.
        controller_port: for the quorum of controllers.
        inner_port: for clients that come by way of a proxy; None without one.
        proxy_port: of that proxy, as those clients are told.
    """

    number: int
    port: int
    controller_port: int
    inner_port: int | None = None
    proxy_port: int | None = None

    def listeners(self) -> dict[str, int]:
        """Name the ports for clients by their listeners."""
        return _present(PLAINTEXT=self.port, PROXIED=self.inner_port)

    def advertised(self) -> dict[str, int]:
        """Name the ports that clients of these listeners are told of."""
        return _present(PLAINTEXT=self.port, PROXIED=self.proxy_port)


def embedded(node: Node, data: Path, quorum: tuple[Node, ...] = ()) -> dict[str, str]:
    """All settings of a broker that listens on 127.0.0.1 alone.

    Args:
        node: The broker.
        data: Where its data lie.
        quorum: All nodes of its cluster, itself among them; itself alone when empty.
    """
    voters = [
        f"{each.number}@{_at(each.controller_port)}" for each in quorum or (node,)
    ]
    protocols = [
        "CONTROLLER:PLAINTEXT",
        *(f"{each}:PLAINTEXT" for each in node.listeners()),
    ]
    return {
        "process.roles": "broker,controller",
        "node.id": str(node.number),
        "controller.quorum.voters": ",".join(voters),
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": ",".join(protocols),
        "inter.broker.listener.name": "PLAINTEXT",
        "listeners": _urls({**node.listeners(), "CONTROLLER": node.controller_port}),
        "advertised.listeners": _urls(node.advertised()),
        "log.dirs": _escaped(str(data)),
        **SHARED,
        **(REPLICATED if len(quorum) > 1 else {}),
    }


def render(properties: Mapping[str, str]) -> str:
    """Write settings as the text of a `server.properties` file."""
    return "".join(f"{name}={value}\n" for name, value in properties.items())


def _escaped(value: str) -> str:
    """A backslash means something in a properties file."""
    return value.replace("\\", "\\\\")


def _at(port: int) -> str:
    return f"127.0.0.1:{port}"


def _urls(listeners: Mapping[str, int]) -> str:
    return ",".join(f"{name}://{_at(port)}" for name, port in listeners.items())


def _present(**ports: int | None) -> dict[str, int]:
    return {name: port for name, port in ports.items() if port is not None}
