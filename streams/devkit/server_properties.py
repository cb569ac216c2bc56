"""The settings of a development broker: one node, everything on it."""

from collections.abc import Mapping
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


def embedded(port: int, controller_port: int, data: Path) -> dict[str, str]:
    """All settings of a broker that listens on 127.0.0.1 alone."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "listeners": (
            f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}"
        ),
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "log.dirs": _escaped(str(data)),
        **SHARED,
    }


def render(properties: Mapping[str, str]) -> str:
    """Write settings as the text of a `server.properties` file."""
    return "".join(f"{name}={value}\n" for name, value in properties.items())


def _escaped(value: str) -> str:
    """A backslash means something in a properties file."""
    return value.replace("\\", "\\\\")
