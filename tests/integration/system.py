"""A planstream installation under test: real processes, on a real broker."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition

from streams import bootstrap
from streams.client import PlanClient
from streams.config import Settings
from streams.devkit.lifeline import GuardedProcess
from streams.runtime.replay import read_from_start
from streams.topics import Topic, Topics

ROOT = Path(__file__).parents[2]
READY = re.compile(r"^planstream [\w-]+ ready", re.MULTILINE)
READY_S = 40.0
STOP_S = 40.0
T = TypeVar("T")


class NotReady(AssertionError):
    """A process did not say that it was ready; its log is in the message."""


@dataclass
class Member:
    """One coordinator or worker process, which can be killed and started again.

    It is tied to the process of the tests: it cannot outlive it.
    """

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    process: GuardedProcess | None = None
    module: str = "streams"
    """What is run; tests may put something around it."""
    _begin: int = 0

    async def start(self) -> None:
        """Start it and wait for its ready line."""
        self.launch()
        give_up_at = time.monotonic() + READY_S
        while not self.is_ready:
            if self.has_ended or time.monotonic() > give_up_at:
                raise NotReady(f"{self.arguments}:\n{self._said()[-4000:]}")
            await asyncio.sleep(0.05)

    def launch(self) -> None:
        """Start it; it is not ready yet."""
        self._begin = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = GuardedProcess(
                (sys.executable, "-m", self.module, *self.arguments),
                output=log,
                env={**os.environ, "PYTHONPATH": str(ROOT), **self.environment},
            )

    @property
    def is_ready(self) -> bool:
        """Whether its present process has said that it is ready."""
        return READY.search(self._said()) is not None

    @property
    def has_ended(self) -> bool:
        """Whether there is no process of it now."""
        return self.process is None or self.process.returncode is not None

    @property
    def state(self) -> str:
        """Whether it runs, or how it ended."""
        if self.process is None:
            return "not started"
        code = self.process.returncode
        return "running" if code is None else f"ended with {code}"

    def signal(self, number: int) -> None:
        """Send its process a signal, if there is one."""
        if self.process is not None and not self.has_ended:
            self.process.send_signal(number)

    async def kill(self) -> None:
        """Kill -9."""
        await self._signal(signal.SIGKILL)

    async def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        return await self._signal(signal.SIGTERM)

    async def restart(self) -> None:
        """Kill -9, then start again."""
        await self.kill()
        await self.start()

    async def exit_code(self, timeout: float) -> int:
        """Wait until it ends by itself."""
        assert self.process is not None
        return await asyncio.to_thread(self.process.wait, timeout)

    async def _signal(self, number: int) -> int:
        if self.process is None:
            return 0
        self.signal(number)
        return await self.exit_code(STOP_S)

    def _said(self) -> str:
        with self.log.open("rb") as log:
            log.seek(self._begin)
            return log.read().decode(errors="replace")


class Keeper:
    """Starts a member again whenever it ends, as a supervisor does.

    Args:
        member: Not started.
        delay: Gives the seconds to wait before it is started again.
    """

    def __init__(self, member: Member, delay: Callable[[], float]) -> None:
        self.member = member
        self.exits: list[int] = []
        self._delay = delay
        self._closing = asyncio.Event()
        self._task = asyncio.create_task(self._keep())

    async def ready(self, timeout: float) -> None:
        """Wait until its process, the present one or a later one, is ready."""
        async with asyncio.timeout(timeout):
            while self.member.has_ended or not self.member.is_ready:
                if self._task.done():
                    self._task.result()
                await asyncio.sleep(0.1)

    async def stop(self) -> int | None:
        """SIGTERM, and no further start; None if there was no process just then."""
        self._closing.set()
        running = not self.member.has_ended
        code = await self.member.stop()
        await self._task
        return code if running else None

    async def _keep(self) -> None:
        while not self._closing.is_set():
            self.member.launch()
            while not self.member.has_ended:
                await asyncio.sleep(0.1)
            self.exits.append(await self.member.exit_code(STOP_S))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), self._delay())


class System:
    """Topics under a prefix of their own, and the processes that serve them."""

    def __init__(
        self, broker: str, prefix: str, directory: Path, **options: Any
    ) -> None:
        options = {"partitions": 4, "session_timeout_ms": 6000, **options}
        self.directory = directory
        self.settings = Settings.load(
            broker=broker, prefix=prefix, data_dir=directory / "data", **options
        )
        self.topics = Topics.of(self.settings)
        self.environment = {
            "PLANSTREAM_BROKER": broker,
            "PLANSTREAM_PREFIX": prefix,
            "PLANSTREAM_DATA_DIR": str(directory / "data"),
            **{f"PLANSTREAM_{k.upper()}": str(v) for k, v in options.items()},
        }
        self.members: list[Member] = []

    async def start(
        self, handlers: str, *, coordinators: int = 1, workers: int = 1
    ) -> System:
        """Create the topics and start everything."""
        started = [self.coordinator() for _ in range(coordinators)]
        started += [self.worker(handlers) for _ in range(workers)]
        return await self._start(started)

    async def start_combined(self, handlers: str, processes: int = 1) -> System:
        """Do so with processes that are a coordinator and a worker each."""
        return await self._start([self.combined(handlers) for _ in range(processes)])

    async def _start(self, started: Sequence[Member]) -> System:
        await bootstrap.create(self.settings)
        await asyncio.gather(*[member.start() for member in started])
        return self

    def coordinator(
        self, *, environment: Mapping[str, str] | None = None, module: str = "streams"
    ) -> Member:
        """Another coordinator, not started."""
        return self._member(("coordinator",), environment, module)

    def worker(
        self,
        *modules: str,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        module: str = "streams",
    ) -> Member:
        """Another step worker, not started.

        Args:
            modules: With handlers.
            options: Of the command.
            environment: What differs from that of the installation.
            module: What Python runs.
        """
        handlers = _options(modules)
        return self._member(("worker", *handlers, *options), environment, module)

    def combined(
        self, *modules: str, environment: Mapping[str, str] | None = None
    ) -> Member:
        """Another coordinator and worker in one process, not started."""
        return self._member(("combined", *_options(modules)), environment)

    def error_handler(self, path: str) -> Member:
        """An error handler that calls this function, not started."""
        return self._member(("error-handler", "--callable", path))

    def of(self, role: str) -> list[Member]:
        """The members with this role."""
        return [member for member in self.members if member.arguments[0] == role]

    async def stop(self) -> list[int]:
        """Stop everything; the exit codes.

        A member that does not stop in time fails the test.
        """
        return await asyncio.gather(*[member.stop() for member in self.members])

    def client(self, **options: Any) -> PlanClient:
        """A client of this installation, not started."""
        return PlanClient(self.settings, **options)

    async def read(self, *topics: Topic, committed: bool = True) -> list[Any]:
        """Every record that lies on topics now, partition by partition."""
        async with self.consumer(committed=committed) as consumer:
            return await _read_to_end(consumer, topics)

    @asynccontextmanager
    async def consumer(
        self, *, committed: bool = True
    ) -> AsyncIterator[AIOKafkaConsumer]:
        """A foreign consumer; it is closed also when it cannot be started."""
        consumer = self.new_consumer(committed=committed)
        try:
            await consumer.start()
            yield consumer
        finally:
            await consumer.stop()

    @asynccontextmanager
    async def following(
        self,
        follow: Callable[[AIOKafkaConsumer], Coroutine[Any, Any, None]],
        *topics: Topic,
    ) -> AsyncIterator[None]:
        """Have topics followed, from their starts, for as long as the block lasts."""
        async with self.consumer() as consumer:
            await read_from_start(consumer, partitions_of(*topics))
            task = asyncio.create_task(follow(consumer))
            task.add_done_callback(_shout)
            try:
                yield
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    def new_consumer(self, *, committed: bool = True) -> AIOKafkaConsumer:
        """A foreign consumer, not started: knows Kafka, and nothing of planstream."""
        return AIOKafkaConsumer(
            bootstrap_servers=self.settings.broker,
            isolation_level="read_committed" if committed else "read_uncommitted",
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=16 * 1024 * 1024,
            fetch_max_wait_ms=20,
        )

    @asynccontextmanager
    async def producer(self, **options: Any) -> AsyncIterator[AIOKafkaProducer]:
        """A foreign producer: knows Kafka, and nothing of planstream."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self.settings.broker,
            max_request_size=16 * 1024 * 1024,
            **options,
        )
        try:
            await producer.start()
            yield producer
        finally:
            await producer.stop()

    def _member(
        self,
        arguments: tuple[str, ...],
        own: Mapping[str, str] | None = None,
        module: str = "streams",
    ) -> Member:
        log = self.directory / f"{arguments[0]}-{len(self.members)}.log"
        environment = {**self.environment, **(own or {})}
        member = Member(arguments, environment, log, module=module)
        self.members.append(member)
        return member


def _options(modules: Sequence[str]) -> list[str]:
    return [part for each in modules for part in ("--handlers", each)]


def partitions_of(*topics: Topic) -> list[TopicPartition]:
    """All partitions of these topics."""
    return [
        TopicPartition(topic.name, number)
        for topic in topics
        for number in range(topic.partitions)
    ]


def _shout(task: asyncio.Task[None]) -> None:
    """Say at once that nobody follows any longer: the run cannot come right."""
    if not task.cancelled() and (error := task.exception()):
        print(f"following ended: {error!r}", flush=True)


async def _read_to_end(
    consumer: AIOKafkaConsumer, topics: tuple[Topic, ...]
) -> list[Any]:
    tps = partitions_of(*topics)
    consumer.assign(tps)
    ends = await consumer.end_offsets(tps)
    await consumer.seek_to_beginning(*tps)
    records: list[Any] = []
    while any([await consumer.position(tp) < ends[tp] for tp in tps]):
        for found in (await consumer.getmany(timeout_ms=200)).values():
            records += found
    return records


async def eventually(
    probe: Callable[[], Awaitable[T]],
    accept: Callable[[T], bool],
    timeout: float = 30.0,
) -> T:
    """Ask until the answer is acceptable; fails with the last answer."""
    answer = None
    try:
        async with asyncio.timeout(timeout):
            while True:
                answer = await probe()
                if accept(answer):
                    return answer
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"still {answer!r} after {timeout} s") from None
