"""Starts a real Apache Kafka broker for tests, demos and benchmarks.

`python -m streams.devkit.kafka` runs one by hand.
"""

import argparse
import base64
import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from streams.devkit.distribution import Distribution, find_distribution
from streams.devkit.lifeline import GuardedProcess
from streams.devkit.ports import free_ports
from streams.devkit.probe import is_at_work
from streams.devkit.server_properties import KAFKA_VERSION, Node, embedded, render

READY_WITHIN_S = 60.0
STOPPED_WITHIN_S = 15.0
TAIL_LINES = 30

_POLL_S = 0.02
_PORT_TRIES = 3
_TAKEN = "Address already in use"

_JVM = (
    "-XX:+UseSerialGC",
    "-Xshare:auto",
    # Kafka's own start script says the same about scripts without a screen.
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
)
_FORMAT_HEAP_MB = 128
_QUICK = ("-XX:TieredStopAtLevel=1",)
"""Only the first compiler: starts 0.4 s sooner, but a loaded broker runs slower."""


class KafkaError(Exception):
    """The embedded broker could not be started, or ended unasked."""

    def __init__(self, what: str, log: Path) -> None:
        """Take what happened, and the log that says why; its end is shown."""
        self.log = log
        super().__init__(f"{what}; its log is {log}, and ends\n{_tail(log)}")


@dataclass(frozen=True, slots=True)
class Membership:
    """A broker's place in a cluster whose nodes all know each other from the start."""

    node: Node
    quorum: tuple[Node, ...]
    cluster_id: str


class EmbeddedKafka:
    """One real Kafka broker on 127.0.0.1, with its data in a directory of its own.

    A context manager: started on entry, closed on exit. All methods block (up to 4 s
    is usual), so that an event loop calls them by `asyncio.to_thread`. The broker dies
    with this process, however that ends.

    Args:
        data: Where its data lie; a temporary directory, removed by `close`, when None.
            A directory that an earlier broker left is used again.
        port: Where it listens; a free port when None. It keeps its port when it is
            started again.
        settings: Broker settings that differ from `server_properties`.
        quick: Start faster rather than run faster.
        heap_mb: How much memory Java may use for objects, MiB.
        proxy_port: The port of a proxy on this machine. Clients that come through it
            to `inner_port` are told its address for everything else.
        membership: Its place in a cluster; it starts only once most of that starts.
    """

    def __init__(
        self,
        *,
        data: Path | None = None,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        quick: bool = False,
        heap_mb: int = 512,
        proxy_port: int | None = None,
        membership: Membership | None = None,
    ) -> None:
        self._temporary = data is None
        self._directory = data
        self._wanted_port = port
        self._proxy_port = proxy_port
        self._membership = membership
        self._placed = membership.node if membership else None
        self._settings = dict(settings or {})
        self._jvm = (*_JVM, f"-Xmx{heap_mb}m", *(_QUICK if quick else ()))
        self._process: GuardedProcess | None = None

    def __enter__(self) -> Self:
        """Start the broker, and leave nothing behind if that fails."""
        try:
            self.start()
        except BaseException:
            self._halt()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    @property
    def port(self) -> int:
        """The port it listens on; stays the same over restarts."""
        return self._node.port

    @property
    def inner_port(self) -> int:
        """The port to which its proxy forwards."""
        if self._node.inner_port is None:
            raise RuntimeError("the broker has no proxy")
        return self._node.inner_port

    @property
    def bootstrap(self) -> str:
        """The address for clients: `127.0.0.1:PORT`."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """The broker's process id while it runs."""
        return self._process.pid if self.is_running and self._process else None

    @property
    def is_running(self) -> bool:
        """Whether there is a broker process (it may be paused)."""
        return self._process is not None and self._process.returncode is None

    @property
    def log(self) -> Path:
        """Its log; kept as long as its data, and after a failed start."""
        return self._root() / "broker.log"

    def start(self) -> None:
        """Start it, anew or again on the same port and data; returns when it serves.

        Raises:
            KafkaError: It ended, or did not serve within 60 s.
            JarError: Kafka is not in the cache and cannot be fetched.
        """
        if self.is_running:
            return
        distribution = find_distribution()
        for attempt in range(1, _PORT_TRIES + 1):
            fresh = self._placed is None
            self._write_properties()
            self._format(distribution)
            try:
                self._launch(distribution)
            except KafkaError as error:
                # Somebody took the port between our look and the broker's.
                may_move = fresh and self._wanted_port is None
                if may_move and _TAKEN in str(error) and attempt < _PORT_TRIES:
                    self._placed = None
                    continue
                raise
            return

    def stop(self) -> None:
        """Stop it in good order; its data stay, and `start` goes on with them."""
        if self._process is not None:
            self._process.stop(STOPPED_WITHIN_S)
            self._process = None

    def kill(self) -> None:
        """End it by SIGKILL, as a power cut would; its data stay."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay open, nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen broker go on."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """Stop it, and remove its data if they were temporary."""
        self.resume()
        self.stop()
        if self._temporary and self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    @property
    def _node(self) -> Node:
        if self._placed is None:
            raise RuntimeError("the broker has not been started yet")
        return self._placed

    def _signal(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _root(self) -> Path:
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="planstream-kafka-"))
        return self._directory

    @property
    def _data(self) -> Path:
        return self._root() / "data"

    @property
    def _properties(self) -> Path:
        return self._root() / "server.properties"

    def _write_properties(self) -> None:
        if self._placed is None:
            self._placed = self._place()
        self._root().mkdir(parents=True, exist_ok=True)
        quorum = self._membership.quorum if self._membership else ()
        settings = embedded(self._placed, self._data, quorum) | self._settings
        self._properties.write_text(render(settings), "utf-8")

    def _place(self) -> Node:
        port, controller_port, inner_port = free_ports(3)
        if self._wanted_port is not None:
            port = self._wanted_port
        if self._proxy_port is None:
            return Node(1, port, controller_port)
        return Node(1, port, controller_port, inner_port, self._proxy_port)

    def _format(self, distribution: Distribution) -> None:
        """Give an empty data directory what KRaft wants to find in it."""
        if (self._data / "meta.properties").exists():
            return
        drawn = self._membership.cluster_id if self._membership else cluster_id()
        arguments = ("format", "-t", drawn, "-c", str(self._properties))
        command = distribution.command(
            "kafka.tools.StorageTool",
            *arguments,
            jvm=(*_JVM, f"-Xmx{_FORMAT_HEAP_MB}m", *_QUICK),
        )
        with self.log.open("ab") as log:
            code = GuardedProcess(command, output=log).wait()
        if code:
            raise KafkaError("Kafka could not format its storage", self.log)

    def _launch(self, distribution: Distribution) -> None:
        command = distribution.command(
            "kafka.Kafka", str(self._properties), jvm=self._jvm
        )
        with self.log.open("ab") as log:
            self._process = GuardedProcess(
                command, output=log, remove=self._root() if self._temporary else None
            )
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self._halt()
            raise

    def _wait_until_ready(self, process: GuardedProcess) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            if process.returncode is not None:
                raise KafkaError("Kafka ended while it started", self.log)
            if is_at_work(self.port):
                return
            time.sleep(_POLL_S)
        raise KafkaError(f"Kafka does not serve after {READY_WITHIN_S} s", self.log)

    def _halt(self) -> None:
        """Undo a failed start: no process, no data, but the log."""
        self.kill()
        if self._temporary and self._directory is not None:
            shutil.rmtree(self._data, ignore_errors=True)


def cluster_id() -> str:
    """Draw a cluster id: 16 bytes in the URL's base 64, without padding.

    It never begins with a hyphen, which Kafka's tool would take for an option.
    """
    first, *rest = uuid.uuid4().bytes
    drawn = bytes((first & 0x7F, *rest))
    return base64.urlsafe_b64encode(drawn).decode().rstrip("=")


def _tail(log: Path) -> str:
    with suppress(OSError):
        lines = log.read_text("utf-8", errors="replace").splitlines()
        return "\n".join(lines[-TAIL_LINES:])
    return "(no log)"


def main() -> int:
    """Run a broker until Ctrl-C, SIGTERM or its own end."""
    parser = argparse.ArgumentParser(
        prog="python -m streams.devkit.kafka",
        description=f"Run Apache Kafka {KAFKA_VERSION} on 127.0.0.1 until Ctrl-C.",
    )
    parser.add_argument("--port", type=int, help="default: a free one")
    parser.add_argument("--data", type=Path, help="default: temporary")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with EmbeddedKafka(data=arguments.data, port=arguments.port) as kafka:
            print(kafka.bootstrap, flush=True)  # noqa: T201 - the output
            while kafka.is_running:
                time.sleep(0.5)
            raise KafkaError("Kafka ended", kafka.log)
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
