"""Positions belong to logs: which ones is kept with them, and watched.

An offset says nothing when its topic was deleted and made anew, or when the rows are
gone that were written before it. So each position in the changelog names its topic, the
changelog's, and where that began; and while a process runs, all three must stay.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple, Self

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from streams.runtime.exits import EXIT_MISFIT, die
from streams.runtime.identity import topic_ids
from streams.topics import Topics

logger = logging.getLogger("planstream.runtime")

LOOK_S = 1.0
LOOKS = 2
"""So often in a row a topic must be missing: one broker may know less than others."""
PATIENCE_S = 5.0
REMEDY = "docs/operations.md says how to go on."


class Origin(NamedTuple):
    """The logs that a position is one of.

    Attributes:
        source: Id of the source topic.
        changelog: Id of the changelog topic.
        start: Where the changelog's partition begins: compaction leaves it there.
    """

    source: str
    changelog: str
    start: int

    def __str__(self) -> str:
        return f"{self.source} {self.changelog} {self.start}"

    @classmethod
    def read(cls, text: str) -> Self | None:
        """What `str` gave; None of nothing, as a position that was set by hand has."""
        if not text:
            return None
        source, changelog, start = text.split()
        return cls(source, changelog, int(start))

    def difference(self, present: Origin | None) -> str | None:
        """What happened if these logs are there now; None if nothing did."""
        if present is None:
            return None
        if self.changelog != present.changelog:
            return "the changelog was made anew since then"
        if self.start != present.start:
            return f"the changelog starts at {present.start} now: its rows are gone"
        if self.source != present.source:
            return "the topic was made anew since then"
        return None


class TopicWatch:
    """Ends a process whose topics go, or are others of the same names.

    Args:
        monitor: a consumer to ask through.
        names: the topics that must stay.
        code: the exit code.
        remedy: what to do about it, for the last line.
    """

    def __init__(
        self, monitor: AIOKafkaConsumer, names: Iterable[str], code: int, remedy: str
    ) -> None:
        self._monitor = monitor
        self._names = list(names)
        self._code = code
        self._remedy = remedy
        self._missed = 0
        self.ids: dict[str, str] = {}
        """As they were when the process began."""

    async def begin(self) -> None:
        """Learn which topics these are."""
        found = await topic_ids(self._monitor, self._names)
        for name in self._names:
            if (topic_id := found[name]) is None:
                self._stop(f"there is no topic {name}")
            else:
                self.ids[name] = topic_id

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def confirm(self) -> None:
        """Go on only if no topic is missing, as far as anybody can say."""
        while not await self.look():  # noqa: ASYNC110 (a broker tells nobody)
            await asyncio.sleep(LOOK_S)

    async def look(self) -> bool:
        """End the process if the topics are no longer the same.

        Returns:
            Whether no topic is missing; it may be back at the next look.
        """
        try:
            found = await topic_ids(self._monitor, self._names)
        except KafkaError as exc:  # a broker that is away deletes nothing
            logger.info("the topics could not be looked at: %s", exc)
            return True
        missing = [name for name in self._names if found[name] is None]
        self._missed = self._missed + 1 if missing else 0
        if self._missed >= LOOKS:
            self._stop(f"{', '.join(missing)} was deleted")
        for name, topic_id in self.ids.items():
            if found[name] not in {None, topic_id}:
                self._stop(f"{name} was made anew")
        return not missing

    def _stop(self, what: str) -> None:
        die(f"{what} while this process used it. {self._remedy}", code=self._code)


class Origins:
    """The logs that a coordinator's positions are ones of.

    Args:
        monitor: a consumer without a group, to ask for offsets.
    """

    def __init__(self, monitor: AIOKafkaConsumer, topics: Topics) -> None:
        self._monitor = monitor
        self._sources = topics.sources
        self._changelog = topics.changelog.name
        names = (*self._sources, self._changelog)
        self._watch = TopicWatch(monitor, names, EXIT_MISFIT, REMEDY)
        self._starts: dict[int, int] = {}

    @classmethod
    async def begin(cls, monitor: AIOKafkaConsumer, topics: Topics) -> Self:
        """Learn which topics there are."""
        origins = cls(monitor, topics)
        await origins._watch.begin()
        return origins

    async def confirm(self) -> None:
        """Go on only if they are all there."""
        await self._watch.confirm()

    async def open(self, partitions: Iterable[int]) -> None:
        """Learn where the changelog's partitions begin, before they are replayed."""
        self._starts |= await self._ask_starts(partitions)

    def stamps(self, partition: int) -> dict[str, str]:
        """The origins of positions of a partition, which was opened, by topic."""
        ids, start = self._watch.ids, self._starts[partition]
        changelog = ids[self._changelog]
        return {
            topic: str(Origin(ids[topic], changelog, start)) for topic in self._sources
        }

    async def run(self) -> None:
        """End the process when they change, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            if not await self._watch.look():
                continue
            with suppress(KafkaError, TimeoutError):
                await asyncio.wait_for(self._look_at_starts(), PATIENCE_S)

    async def _look_at_starts(self) -> None:
        for number, start in (await self._ask_starts(self._starts)).items():
            if start != self._starts[number]:
                what = f"{self._changelog}/{number} starts at {start} now"
                die(f"{what}: its rows are gone. {REMEDY}", code=EXIT_MISFIT)

    async def _ask_starts(self, partitions: Iterable[int]) -> dict[int, int]:
        tps = [TopicPartition(self._changelog, number) for number in partitions]
        begins = await self._monitor.beginning_offsets(tps) if tps else {}
        return {tp.partition: begin for tp, begin in begins.items()}
