"""Sees coordinators at work: what they commit, what they own, what they replayed."""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.config import Settings
from streams.topics import Topics

_OWNS = re.compile(r"coordinator ready: partitions (.*) of \d+")
_TOOK_OVER = re.compile(
    r"generation \d+: \d+ partitions, (\d+) new with (\d+) rows, in ([\d.]+) s"
)


@dataclass(frozen=True)
class Replay:
    """What a coordinator said of a take-over, and when."""

    at: float
    partitions: int
    rows: int
    seconds: float


@dataclass
class Sayings:
    """What the coordinators say: who owns what, and how long a take-over lasted."""

    owned: dict[str, frozenset[int]] = field(default_factory=dict)
    replays: list[Replay] = field(default_factory=list)

    def hear(self, name: str, line: str) -> None:
        """Takes a line of a process's output."""
        if found := _OWNS.search(line):
            numbers = [] if found[1] == "none" else found[1].split(", ")
            self.owned[name] = frozenset(map(int, numbers))
        elif found := _TOOK_OVER.search(line):
            partitions, rows, seconds = int(found[1]), int(found[2]), float(found[3])
            if partitions:
                now = time.perf_counter()
                self.replays.append(Replay(now, partitions, rows, seconds))

    def is_whole(self, names: Iterable[str], partitions: int) -> bool:
        """Whether these own every partition, each of them once."""
        owners = Counter(n for name in names for n in self.owned.get(name, ()))
        return owners == Counter(range(partitions))


@dataclass
class Takeover:
    """Partitions without an owner, until another one commits something there.

    A row that the dead owner had sent may become visible after its end. So only rows
    that were made after it count; records have the time of their making.
    """

    killed_at: float
    dead_ms: int
    partitions: frozenset[int]
    seconds: dict[int, float] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Whether every partition has got on."""
        return self.seconds.keys() == self.partitions

    def see(self, partition: int, made_ms: int, at: float) -> None:
        """Takes a committed row of a partition."""
        if partition not in self.partitions or partition in self.seconds:
            return
        if made_ms > self.dead_ms:
            self.seconds[partition] = at - self.killed_at


class Progress:
    """Follows the changelog with `read_committed`, as a successor would."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self.last_at: dict[int, float] = {}
        """When a row of each partition was last seen."""
        self.takeover: Takeover | None = None

    @classmethod
    async def from_end(cls, settings: Settings) -> Progress:
        """Connects, and stands where nothing has happened yet."""
        changelog = Topics.of(settings).changelog
        consumer = AIOKafkaConsumer(
            **settings.connection(),
            isolation_level="read_committed",
            enable_auto_commit=False,
            fetch_max_wait_ms=10,
            max_partition_fetch_bytes=settings.max_request_bytes,
        )
        await consumer.start()
        tps = [TopicPartition(changelog.name, n) for n in range(changelog.partitions)]
        consumer.assign(tps)
        await consumer.seek_to_end()
        for tp in tps:
            await consumer.position(tp)
        return cls(consumer)

    async def stop(self) -> None:
        """Disconnects."""
        await self._consumer.stop()

    async def follow(self) -> None:
        """Looks on until it is cancelled."""
        while True:
            chunks = await self._consumer.getmany(timeout_ms=1000)
            now = time.perf_counter()
            for tp, records in chunks.items():
                self.last_at[tp.partition] = now
                if self.takeover is not None:
                    newest = max(record.timestamp for record in records)
                    self.takeover.see(tp.partition, newest, now)

    def is_steady(self, partitions: Collection[int], within_s: float) -> bool:
        """Whether all of these have got on in the last so many seconds."""
        since = time.perf_counter() - within_s
        return all(self.last_at.get(each, -math.inf) > since for each in partitions)
