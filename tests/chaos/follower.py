"""Follows results and state while a run lasts, as a consumer of either would."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from agents.tables import DEADLINES, ORPHANS, PLANS, POSITION, STEPS
from tests.integration.plans import now_ms
from tests.integration.system import System, partitions_of

OPEN = (PLANS, STEPS, DEADLINES, ORPHANS)
SHORTEST_MS = 250
"""A shorter silence is no consequence of anything."""


class Silence(NamedTuple):
    """A time in which a partition committed nothing, Unix ms."""

    partition: int
    began: int
    ended: int


class Follower:
    """Sees each commit when a read_committed consumer may see it."""

    def __init__(self, system: System) -> None:
        self.seen: dict[str, int] = {}
        """When each plan's result was seen, Unix ms."""
        self.repeats = 0
        self.silences: list[Silence] = []
        self.positions: dict[tuple[str, int], int] = {}
        """Up to where each partition of a source topic is folded."""
        self._rows: set[bytes] = set()
        self._latest: dict[int, int] = {}
        self._system = system
        self._changelog = system.topics.changelog.name

    def rows(self, *, orphans: bool = True) -> int:
        """How many rows there are, but for the registry's.

        Args:
            orphans: Whether to count what is remembered, for a minute or two, of
                parents that ended before their children came.
        """
        return sum(orphans or not key.startswith(ORPHANS) for key in self._rows)

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Follow until the block ends; the broker may come and go meanwhile."""
        topics = self._system.topics
        followed = (*topics.results, topics.changelog)
        async with self._system.following(self._follow, *followed):
            yield

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            try:
                fetched = await consumer.getmany(timeout_ms=500)
            except KafkaError:
                await asyncio.sleep(0.5)
                continue
            now = now_ms()
            for tp, records in fetched.items():
                if tp.topic == self._changelog:
                    self._note_commit(tp.partition, now)
                    self._take_rows(tp.partition, records)
                else:
                    self._take_results(records, now)

    def _take_results(self, records: list[Any], now: int) -> None:
        for record in records:
            plan_id = record.key.decode()
            self.repeats += plan_id in self.seen
            self.seen.setdefault(plan_id, now)

    def _note_commit(self, partition: int, now: int) -> None:
        before = self._latest.get(partition, now)
        self._latest[partition] = now
        if now - before >= SHORTEST_MS:
            self.silences.append(Silence(partition, before, now))

    def _take_rows(self, partition: int, records: list[Any]) -> None:
        for record in records:
            key = record.key
            if key.startswith(POSITION):
                topic = key[len(POSITION) :].decode()
                self.positions[topic, partition] = int(record.value.split()[0])
            elif record.value is None:
                self._rows.discard(key)
            elif key.startswith(OPEN):
                self._rows.add(key)

    async def lag(self) -> int:
        """Records of the coordinators' inputs beyond what is folded."""
        topics = self._system.topics
        tps = partitions_of(topics.plans, topics.step_outcomes, topics.commands)
        async with self._system.consumer() as consumer:
            ends = await consumer.end_offsets(tps)
            behind = [tp for tp in tps if self._position(tp) < ends[tp]]
            return await self._visible(consumer, behind, ends)

    def _position(self, tp: Any) -> int:
        return self.positions.get((tp.topic, tp.partition), 0)

    async def _visible(
        self, consumer: AIOKafkaConsumer, tps: list[Any], ends: Any
    ) -> int:
        """Count records from the positions on; markers of transactions are none."""
        consumer.assign(tps)
        for tp in tps:
            consumer.seek(tp, self._position(tp))
        found: dict[Any, int] = defaultdict(int)
        while any([await consumer.position(tp) < ends[tp] for tp in tps]):
            for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                found[tp] += len(records)
        return sum(found.values())
