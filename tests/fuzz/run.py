"""Throws records at a running coordinator, and watches what becomes of all of it."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from http.client import HTTPConnection
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from streams import bootstrap
from streams.devkit.ports import free_ports
from tests.fuzz.account import Account
from tests.fuzz.shots import Shooter
from tests.integration.system import Member, System, eventually

HANDLERS = "tests.integration.handlers"
BATCH = 500
AHEAD = 2_000
"""Records that have not ended at which no more are thrown."""
ENDED_S = 90.0
SAMPLES = 10
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')

Figures = dict[tuple[str, str, str], float]
"""By name, topic and reason."""


class Seen(NamedTuple):
    """What a run came to."""

    account: Account
    figures: Figures
    memory: list[int]
    """The coordinator's resident bytes, taken at equal distances."""
    seconds: float
    pid: int


class Fuzz:
    """A system with one coordinator, one worker, and somebody who throws things."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.account = Account()
        (self._port,) = free_ports(1)
        environment = {"PLANSTREAM_HEALTH_PORT": str(self._port)}
        self.coordinator: Member = system.coordinator(environment=environment)
        self._worker = system.worker(HANDLERS)

    async def start(self) -> None:
        """Create the topics, start the processes."""
        await bootstrap.create(self.system.settings)
        await asyncio.gather(self.coordinator.start(), self._worker.start())

    async def run(self, records: int, seed: int) -> Seen:
        """Throw so many records, wait until all have ended."""
        process = self.coordinator.process
        assert process is not None
        shooter = Shooter(seed, self.system.settings.partitions)
        began, memory = time.monotonic(), []
        topics = self.system.topics
        followed = (*topics.results, topics.rejected)
        async with (
            self.system.following(self._follow, *followed),
            self.system.producer(linger_ms=5) as producer,
        ):
            for portion in _portions(records, SAMPLES):
                await self._throw(producer, shooter, portion)
                memory.append(self._memory())
            await self._settled(0)
        seconds = time.monotonic() - began
        return Seen(self.account, self.figures(), memory, seconds, process.pid)

    def figures(self) -> Figures:
        """What the coordinator counts."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        finally:
            connection.close()
        figures: Figures = {}
        for name, labels, value in _SAMPLE.findall(text):
            found = dict(_LABEL.findall(labels))
            topic = found.get("topic", "").removeprefix(self.system.settings.prefix)
            figures[name, topic, found.get("reason", "")] = float(value)
        return figures

    def _memory(self) -> int:
        return int(self.figures()["process_resident_memory_bytes", "", ""])

    async def _throw(
        self, producer: AIOKafkaProducer, shooter: Shooter, records: int
    ) -> None:
        for size in _portions(records, max(records // BATCH, 1)):
            sent = []
            for _ in range(size):
                shot = shooter.shoot()
                self.account.throw(shot)
                sent.append(
                    await producer.send(
                        self.system.settings.prefix + shot.topic,
                        shot.value,
                        key=shot.key,
                        partition=shot.partition,
                        headers=shot.headers,
                    )
                )
            await asyncio.gather(*sent)
            await self._settled(AHEAD)

    async def _settled(self, most: int) -> None:
        async def pending() -> int:
            return self.account.pending

        await eventually(pending, lambda count: count <= most, ENDED_S)

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        rejected = self.system.topics.rejected.name
        while True:
            found: dict[Any, list[Any]] = await consumer.getmany(timeout_ms=200)
            for tp, records in found.items():
                take = self.account.letter if tp.topic == rejected else None
                for record in records:
                    (take or self.account.result)(record)


def counted(figures: Figures, name: str, topic: str) -> Counter[str]:
    """A counter of a topic, by reason."""
    return Counter(
        {
            reason: int(value)
            for (found, of, reason), value in figures.items()
            if (found, of) == (f"{name}_total", topic)
        }
    )


def _portions(whole: int, count: int) -> list[int]:
    """Split a number into nearly equal ones."""
    return [whole * (n + 1) // count - whole * n // count for n in range(count)]
