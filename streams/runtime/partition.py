"""One owned partition: folds its inputs in order, ahead of its commits."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

from agents.coordinator import PartitionState
from agents.effects import Effects
from agents.status import View, ended_keys, open_keys, view
from agents.tables import Poison, plan_key
from streams.runtime.commit import GroupCommit, Pending, Send
from streams.runtime.counts import count_fold
from streams.runtime.exits import die, spawn
from streams.runtime.outbox import Acknowledgement

INBOX_HIGH, INBOX_LOW = 4000, 1000
"""Queued records at which fetching of a partition pauses, and goes on."""
BACKLOG_ROWS = 8000
"""Rows folded ahead of the transaction in flight, at most."""
STALL_S = 1.0
"""Age of the transaction in flight at which folding ahead stops.

Whatever is folded ahead of a transaction that never ends sends its step requests
twice: 11,000 repeats were seen in one broker outage without this bound.
"""


class Inbox:
    """Chunks that wait to be folded: what is started goes before what is new."""

    def __init__(self, plans_topic: str) -> None:
        self._plans_topic = plans_topic
        self._plans: deque[list[Any]] = deque()
        self._others: deque[list[Any]] = deque()
        self.plans_queued = 0
        self.others_queued = 0

    def put(self, records: list[Any]) -> None:
        """Queue a chunk of one topic."""
        if records[0].topic == self._plans_topic:
            self._plans.append(records)
            self.plans_queued += len(records)
        else:
            self._others.append(records)
            self.others_queued += len(records)

    def take(self, room: int) -> list[Any] | None:
        """The next chunk; of new plans no more than there is room for."""
        if self._others:
            records = self._others.popleft()
            self.others_queued -= len(records)
            return records
        if room and self._plans:
            records = self._plans.popleft()
            if len(records) > room:
                self._plans.appendleft(records[room:])
                records = records[:room]
            self.plans_queued -= len(records)
            return records
        return None

    def clear(self) -> None:
        """Forget everything: it will be read again."""
        self.__init__(self._plans_topic)  # type: ignore[misc]


class PartitionTask:
    """Folds chunks into the partition's state and hands the rest to the committer.

    Args:
        state: the partition's tables and open plans.
        commit: its group commit.
        send: sends step requests at once; gives their acknowledgements.
        clock: Unix milliseconds.
        throttle: called with (plans, others): whether to pause fetching either.
    """

    def __init__(
        self,
        state: PartitionState,
        commit: GroupCommit,
        send: Send,
        clock: Callable[[], int],
        throttle: Callable[[bool, bool], None],
    ) -> None:
        self.state = state
        self.commit = commit
        self.next: dict[str, int] = {}
        self._queued_to: dict[str, int] = {}
        self._send = send
        self._clock = clock
        self._throttle = throttle
        self._throttled = (False, False)
        self._inbox = Inbox(state.terms.plans_topic)
        self._wake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._housekeeping = False
        self._read_to: Mapping[str, int] = {}

    def start(self, offsets: dict[str, int]) -> None:
        """Begin to fold, from these offsets by source topic."""
        if self.next and self.next != offsets:
            die(f"a kept partition stands at {self.next}, its log at {offsets}")
        self.next, self._queued_to = dict(offsets), dict(offsets)
        self._stopping, self._throttled = False, (False, False)
        self._housekeeping, self._read_to = False, {}
        self.state.deadlines.rebuild()
        self.commit.start()
        if self.state.tables.changes:  # where a partition begins that had no position
            self._hand_over(self.state.take_effects(), [], dict(offsets))
        name = f"the fold of partition {self.state.partition}"
        self._task = spawn(name, self._run())

    async def quiesce(self) -> None:
        """Stop folding and commit what is folded: state is then what is committed."""
        self._stopping = True
        self._inbox.clear()
        self._wake.set()
        if self._task is not None:
            await self._task
            self._task = None
            await self.commit.drain()

    def offer(self, records: list[Any]) -> None:
        """Queue a chunk of consecutive records of one source topic."""
        topic = records[0].topic
        expected = self._queued_to[topic]
        if records[0].offset < expected:  # fetched twice around a rebalance
            records = [record for record in records if record.offset >= expected]
        if not records:
            return
        self._queued_to[topic] = records[-1].offset + 1
        self._inbox.put(records)
        self._adjust_throttle()
        self._wake.set()

    def housekeep(self, read_to: Mapping[str, int]) -> None:
        """Have the partition drop what its retention is over for.

        Args:
            read_to: offsets by source topic below which every record is folded.
        """
        self._housekeeping, self._read_to = True, read_to
        self._wake.set()

    async def view(self, asked_for: str) -> View:
        """What is known of a plan, by its or its execution's id, once it is committed.

        Raises:
            ValueError: it is no id.
        """
        key = await self._find(asked_for)
        known = view(self.state, key or plan_key(asked_for))
        await self.commit.reach()
        return known

    async def _find(self, asked_for: str) -> bytes | None:
        tables = self.state.tables
        for key in chain(open_keys(tables, asked_for), ended_keys(tables, asked_for)):
            if key is not None:
                return key
            await asyncio.sleep(0)
        return None

    def excuse(self, topic: str) -> str | None:
        """Why records of a topic may wait, if they may."""
        if self.commit.in_flight_s() > STALL_S:
            return "a transaction is in flight"
        if topic != self.state.terms.plans_topic:
            return None
        if not self.state.room:
            return "max_plans_in_flight plans are open"
        return "outcomes go first" if self._inbox.others_queued else None

    async def _run(self) -> None:
        while not self._stopping:
            if self._housekeeping:
                self._housekeeping = self.state.expire(self._now())
                self._hand_over(self.state.take_effects(), [], self._pass_markers())
            if chunk := self._inbox.take(self.state.room):
                await self._fold_up_to_poison(chunk)
                self._adjust_throttle()
            elif not self._housekeeping:
                self._wake.clear()
                await self._wake.wait()
                continue
            await self._keep_distance()
            await asyncio.sleep(0)

    def _pass_markers(self) -> dict[str, int]:
        """Move the positions past what is no record: the markers of transactions.

        Else retention removes them from a topic that has gone quiet, and the log then
        starts behind a position at which nothing is missing.
        """
        moved = {
            topic: offset
            for topic, offset in self._read_to.items()
            if offset > self.next[topic]
        }
        for topic, offset in moved.items():
            self.next[topic] = offset
            self._queued_to[topic] = max(offset, self._queued_to[topic])
            self.state.tables.put_position(topic, offset)
        return moved

    async def _fold_up_to_poison(self, chunk: list[Any]) -> None:
        """Fold a chunk; what has crashed us is committed before what follows it.

        Else the next record that raises would take back that this one was dealt with,
        and the two would crash us in turns, for ever.
        """
        poison = self.state.tables.poison.get(chunk[0].topic)
        if poison and chunk[0].offset <= poison.offset <= chunk[-1].offset:
            count = sum(record.offset <= poison.offset for record in chunk)
            await self._fold(chunk[:count])
            await self.commit.drain()
            self.commit.start()
            chunk = chunk[count:]
        if chunk:
            await self._fold(chunk)

    async def _fold(self, chunk: list[Any]) -> None:
        state, now = self.state, self._now()
        await self._fold_each(chunk, now)
        effects = state.take_effects()
        requests = self._send(effects.requests) if effects.requests else []
        topic, offset = chunk[-1].topic, chunk[-1].offset + 1
        count_fold(topic, len(chunk), effects)
        # No await from here on: rows, offset and requests go together.
        self.next[topic] = offset
        state.tables.put_position(topic, offset)
        self._hand_over(effects, requests, {topic: offset})

    async def _fold_each(self, chunk: list[Any], now: int) -> None:
        state = self.state
        for record in chunk:
            try:
                state.fold(record, now)
            except Exception as exc:  # noqa: BLE001 - a bug, whatever it is
                await self._remember_poison(record, exc)

    async def _remember_poison(self, record: Any, exc: Exception) -> None:
        """Note in the changelog that this record's fold raised, then die.

        The next owner folds it again; after the second crash it is dead-lettered.
        What this process folded before is dropped: it is not trustworthy.
        """
        known = self.state.tables.poison.get(record.topic)
        again = known is not None and known.offset == record.offset
        crashes = 1 + (known.crashes if known and again else 0)
        await self.commit.abandon()
        self.state.tables.take_changes()
        self.state.tables.put_poison(record.topic, Poison(record.offset, crashes))
        rows = self.state.tables.take_changes()
        self.commit.start()
        self.commit.add(Pending(rows=rows, urgent=True))
        await self.commit.drain()
        die(
            f"folding {record.topic}/{record.partition} at {record.offset} raised, "
            f"for the {crashes}. time",
            exc,
        )

    def _hand_over(
        self,
        effects: Effects,
        requests: list[Acknowledgement],
        positions: dict[str, int],
    ) -> None:
        part = Pending(
            rows=self.state.tables.take_changes(),
            records=effects.records,
            events=effects.events,
            requests=requests,
            positions=positions,
            ended=effects.ended,
            urgent=effects.ended > 0 or bool(effects.records),
        )
        if part.rows or part.records:
            self.commit.add(part)

    def _now(self) -> int:
        """The clock, never running backwards within the partition."""
        return self.state.advance(self._clock())

    async def _keep_distance(self) -> None:
        while self._is_far_ahead() and not self._stopping:
            await self.commit.wait_for_room()

    def _is_far_ahead(self) -> bool:
        commit = self.commit
        in_flight = commit.in_flight_s()
        return in_flight > STALL_S or (in_flight > 0 and commit.backlog > BACKLOG_ROWS)

    def _adjust_throttle(self) -> None:
        inbox, (plans, others) = self._inbox, self._throttled
        throttled = (
            inbox.plans_queued > (INBOX_LOW if plans else INBOX_HIGH),
            inbox.others_queued > (INBOX_LOW if others else INBOX_HIGH),
        )
        if throttled != self._throttled:
            self._throttled = throttled
            self._throttle(*throttled)
