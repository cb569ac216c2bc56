"""Starts several real brokers as one cluster, for what happens when one is lost."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from streams.devkit.distribution import find_distribution
from streams.devkit.kafka import EmbeddedKafka, KafkaError, Membership, cluster_id
from streams.devkit.ports import free_ports
from streams.devkit.probe import brokers_known
from streams.devkit.server_properties import Node

WHOLE_WITHIN_S = 60.0
HEAP_MB = 320

_POLL_S = 0.05


class EmbeddedCluster:
    """Brokers on 127.0.0.1 that are controllers too, so that most must be alive.

    A context manager, as `EmbeddedKafka`, whose methods each of `nodes` has: one is
    killed, paused or stopped by itself. All methods block.

    Args:
        brokers: How many; of three, one may be away.
        data: Where their data lie, each in a directory by its number; temporary
            directories, removed by `close`, when None.
        settings: Broker settings that differ from `server_properties`.
        quick: Start faster rather than run faster.
        heap_mb: How much memory each may use for objects, MiB.
    """

    def __init__(
        self,
        brokers: int = 3,
        *,
        data: Path | None = None,
        settings: Mapping[str, str] | None = None,
        quick: bool = False,
        heap_mb: int = HEAP_MB,
    ) -> None:
        self._temporary = data is None
        drawn, quorum = cluster_id(), _quorum(brokers)
        self.nodes = tuple(
            EmbeddedKafka(
                data=data / str(node.number) if data else None,
                settings=settings,
                quick=quick,
                heap_mb=heap_mb,
                membership=Membership(node, quorum, drawn),
            )
            for node in quorum
        )

    def __enter__(self) -> Self:
        """Start all, and leave nothing behind if that fails."""
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all."""
        self.close()

    @property
    def bootstrap(self) -> str:
        """The addresses for clients: `127.0.0.1:PORT,…`."""
        return ",".join(node.bootstrap for node in self.nodes)

    def start(self) -> None:
        """Start those that do not run; returns when each knows all of them.

        Raises:
            KafkaError: One ended, or they did not find together within 60 s.
            JarError: Kafka is not in the cache and cannot be fetched.
        """
        find_distribution()  # once, rather than by all of them at once
        self._each(EmbeddedKafka.start)
        self.wait_until_whole()

    def stop(self) -> None:
        """Stop all in good order; their data stay, and `start` goes on with them."""
        # At once: the last of them alone would be no quorum to say goodbye to.
        self._each(EmbeddedKafka.stop)

    def close(self) -> None:
        """Stop all, and remove their data if they were temporary."""
        # What nobody will read again need not be in good order.
        self._each(EmbeddedKafka.kill if self._temporary else _resume_and_stop)
        self._each(EmbeddedKafka.close)

    def wait_until_whole(self, timeout_s: float = WHOLE_WITHIN_S) -> None:
        """Wait until each broker knows all of them.

        Raises:
            KafkaError: One has ended, or they are not whole after `timeout_s`.
        """
        everybody = {node.port for node in self.nodes}
        deadline = time.monotonic() + timeout_s
        for node in self.nodes:
            while brokers_known(node.port) != everybody:
                if not node.is_running or time.monotonic() > deadline:
                    raise KafkaError("the cluster is not whole", node.log)
                time.sleep(_POLL_S)

    def _each(self, do: Callable[[EmbeddedKafka], None]) -> None:
        """Do it to all at the same time; what any of them raises is raised."""
        with ThreadPoolExecutor(len(self.nodes)) as threads:
            list(threads.map(do, self.nodes))


def _resume_and_stop(node: EmbeddedKafka) -> None:
    node.resume()
    node.stop()


def _quorum(brokers: int) -> tuple[Node, ...]:
    ports: Sequence[int] = free_ports(2 * brokers)
    return tuple(
        Node(number, *pair)
        for number, pair in enumerate(zip(ports[::2], ports[1::2], strict=True), 1)
    )
