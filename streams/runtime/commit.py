"""Group commit: one Kafka transaction at a time for each partition.

Folding runs ahead in memory. What it leaves behind (changelog rows, results, source
offsets as rows of the same changelog) gathers in a pending commit; while one
transaction is in flight the next gathers. Offsets and state are rows of one batch,
so neither is ever without the other.

Transactions that follow each other without a pause take more from the broker and from
this process than the plans in them. So under load a pause follows each of them.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

from aiokafka.structs import TopicPartition

from agents.effects import Content, Outgoing
from streams.config import Settings
from streams.runtime.exits import die, spawn
from streams.runtime.outbox import Acknowledgement
from streams.runtime.producers import Entry, send_entries
from streams.runtime.writer import Writer

PAUSE = 2.0
"""How long a pause is: so many times as long as the transaction before it took. That
grows with the load, and is nothing to speak of without."""
LONGEST_PAUSE_S = 0.05
GLANCE_AFTER_S = 0.008
"""When a transaction mostly has its markers: a look at them before is a look twice."""

Locate = Callable[[Outgoing], tuple[str, int]]
"""Gives an outgoing record's full topic name and its partition."""

Emit = Callable[[list[Outgoing]], None]
"""Sends events after their transaction, without waiting."""
Send = Callable[[list[Outgoing]], list[Acknowledgement]]
"""Sends records at once; gives their acknowledgements."""


@dataclass(slots=True)
class Pending:
    """What the next transaction will hold, and what it must wait for."""

    rows: dict[bytes, bytes | None] = field(default_factory=dict)
    records: list[Outgoing] = field(default_factory=list)
    events: list[Outgoing] = field(default_factory=list)
    requests: list[Acknowledgement] = field(default_factory=list)
    positions: dict[str, int] = field(default_factory=dict)
    ended: int = 0
    """How many plans end in it."""
    urgent: bool = False
    """Whether somebody waits for it, as for the result of a plan."""


@dataclass(frozen=True, slots=True)
class CommitTerms:
    """When to commit, and for how long at most."""

    interval_s: float
    rows: int
    timeout_s: float

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """What the settings say."""
        return cls(
            interval_s=settings.commit_interval_ms / 1000,
            rows=settings.commit_rows,
            timeout_s=settings.commit_timeout_ms / 1000,
        )


class GroupCommit:
    """Commits what gathers: if it is urgent after a pause at most, else after a while.

    Args:
        writer: the partition's, whose producer is started before anything is added.
        changelog: where the state's rows go.
        locate: where an outgoing record goes.
        emit: sends events after their transaction, without waiting.
    """

    def __init__(
        self,
        writer: Writer,
        changelog: TopicPartition,
        terms: CommitTerms,
        locate: Locate,
        emit: Emit,
    ) -> None:
        self.writer = writer
        self._changelog = changelog
        self._terms = terms
        self._locate = locate
        self._emit = emit
        self._pending = Pending()
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._ended = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._in_flight_since: float | None = None
        self._closing = False
        self._began_at = self._ended_at = 0.0
        self._hanging: set[TopicPartition] = set()
        self._unseen: Set[TopicPartition] = frozenset()
        self._task: asyncio.Task[None] | None = None
        self.commits = 0
        """How many transactions there have been."""
        self.committed: dict[str, int] = {}
        """Source offsets by topic, as of the last transaction."""

    def start(self) -> None:
        """Begin to commit what is added."""
        self._closing = False
        tp = self._changelog
        name = f"the committer of {tp.topic}/{tp.partition}"
        self._task = spawn(name, self._run())

    async def drain(self) -> None:
        """Commit all that was added, then stop."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task
            self._task = None

    def add(self, part: Pending) -> None:
        """Add a fold's results, whole: the committer never sees half of them.

        An offset must not get into a transaction without the requests of its fold,
        so there is no await in here.
        """
        pending = self._pending
        pending.rows.update(part.rows)
        pending.records += part.records
        pending.events += part.events
        pending.requests += part.requests
        pending.positions.update(part.positions)
        pending.ended += part.ended
        pending.urgent = pending.urgent or part.urgent
        if pending.urgent or len(pending.rows) >= self._terms.rows:
            self._wake.set()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._terms.interval_s, self._ring)

    async def abandon(self) -> None:
        """Let the transaction in flight end, and forget all that waits after it."""
        self._pending = Pending()
        await self.drain()

    @property
    def backlog(self) -> int:
        """Rows that wait for the transaction after the one in flight."""
        return len(self._pending.rows)

    def in_flight_s(self) -> float:
        """How long the transaction in flight, or what is looked into, takes; else 0."""
        since = self._in_flight_since
        return 0.0 if since is None else time.monotonic() - since

    async def wait_for_room(self) -> None:
        """Wait until the transaction in flight has ended."""
        self._room.clear()
        if self._in_flight_since is not None:
            await self._room.wait()

    async def reach(self) -> None:
        """Wait until all that was added by now is committed; for ever if it is not."""
        target = self.commits + (self._began_at > self._ended_at)
        target += bool(self._pending.rows)
        while self.commits < target:
            await self._ended.wait()

    def end_hanging(self, tp: TopicPartition) -> None:
        """End a former transaction in a log, between two others (docs/adr/0014)."""
        self._hanging.add(tp)
        self._wake.set()

    def _ring(self) -> None:
        self._timer = None
        self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._rest()
            self._wake.clear()
            await self._pause()
            if self._hanging and not self._closing:
                await self._end_hanging()
            if self._pending.rows:
                await self._commit_pending()
            if self._closing and not self._pending.rows:
                return
            if self._closing:
                self._wake.set()

    async def _rest(self) -> None:
        """Wait for something to do."""
        if self._unseen:
            try:
                await asyncio.wait_for(self._wake.wait(), GLANCE_AFTER_S)
            except TimeoutError:
                await self._glance()
        await self._wake.wait()

    async def _glance(self) -> None:
        """See whether the last transaction has all its markers, to spare the next."""
        unseen, self._unseen = self._unseen, frozenset()
        await self.writer.glance(unseen)

    async def _pause(self) -> None:
        """Let more gather for a while after a transaction, if nothing is in a hurry."""
        now = asyncio.get_running_loop().time()
        took_s = self._ended_at - self._began_at
        until = self._ended_at + min(PAUSE * took_s, LONGEST_PAUSE_S)
        if self._unseen and until - now > 2 * GLANCE_AFTER_S:
            await self._gather(now + GLANCE_AFTER_S)
            if self._may_wait():
                await self._glance()
        if until > now:
            await self._gather(until)

    async def _gather(self, until: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                while self._may_wait():
                    await self._wake.wait()
                    self._wake.clear()

    def _may_wait(self) -> bool:
        """Whether what is pending gains by company.

        A plan that ends alone would only be late, and so would whoever waits for a
        record that is no result.
        """
        pending = self._pending
        if self._closing or not 0 < len(pending.rows) < self._terms.rows:
            return False
        return pending.ended > 1 or not pending.urgent

    async def _commit_pending(self) -> None:
        loop = asyncio.get_running_loop()
        pending, self._pending = self._pending, Pending()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._in_flight_since, self._began_at = time.monotonic(), loop.time()
        batches = self._batches(pending)
        await self._in_time(self._commit(pending, batches))
        self._in_flight_since, self._ended_at = None, loop.time()
        self.commits += 1
        self._room.set()
        self._ended.set()
        self._ended = asyncio.Event()
        self.committed.update(pending.positions)
        self._emit(pending.events)
        self._unseen = frozenset(batches)

    async def _end_hanging(self) -> None:
        hanging, self._hanging = self._hanging, set()
        self._in_flight_since = time.monotonic()
        await self._in_time(self.writer.end_what_is_over(hanging))
        self._in_flight_since = None
        self._room.set()

    async def _in_time(self, transaction: Awaitable[None]) -> None:
        try:
            await asyncio.wait_for(transaction, self._terms.timeout_s)
        except TimeoutError as exc:
            die(f"a commit took longer than {self._terms.timeout_s:.0f} s", exc)

    async def _commit(
        self, pending: Pending, batches: Mapping[TopicPartition, list[Content]]
    ) -> None:
        producer = self.writer.producer
        await self.writer.make_ready(batches.keys())
        await producer.begin_transaction()
        produced: list[asyncio.Future[object]] = []
        for tp, batch in batches.items():
            produced += await send_entries(producer, tp.topic, tp.partition, batch)
        # aiokafka commits also when a batch of the transaction has failed.
        await _all(produced)
        # A request must be durable before the offset of its cause is.
        await _all(pending.requests)
        await producer.commit_transaction()

    def _batches(self, pending: Pending) -> dict[TopicPartition, list[Content]]:
        """What goes where; the changelog first."""
        batches: dict[TopicPartition, list[Content]] = defaultdict(list)
        batches[self._changelog] = [Entry(k, v) for k, v in pending.rows.items()]
        for record in pending.records:
            batches[TopicPartition(*self._locate(record))].append(record)
        return batches


async def _all(awaitables: Iterable[asyncio.Future[Any]]) -> None:
    for awaitable in awaitables:
        await awaitable
