"""A log in memory: partitions, transactions with markers, fencing by epochs."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from aiokafka.errors import ProducerFenced
from aiokafka.structs import TopicPartition

from streams.runtime.producers import Entry
from streams.runtime.transactions import (
    NOBODY,
    LastTransaction,
    OpenTransaction,
    Seen,
)
from tests.simulation.processes import OWNER, Process, SimLoop

Place = tuple[str, int]
"""Topic and partition."""
OPEN, COMMITTED, ABORTED = "open", "committed", "aborted"


@dataclass(eq=False, slots=True)
class Transaction:
    """Its state is decided at once; partitions learn of it by markers, later."""

    name: str
    epoch: int
    state: str = OPEN
    places: dict[Place, int] = field(default_factory=dict)
    """Where its first record lies; emptied when the markers are written."""
    ends: dict[Place, str] = field(default_factory=dict)
    """How it ended in each partition."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A record in the log; markers of transactions have no topic."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    transaction: Transaction | None = None
    is_marker: bool = False


@dataclass(slots=True)
class Identity:
    """A transactional id."""

    number: int
    epoch: int = 0
    current: Transaction | None = None
    begun: dict[int, tuple[float, Process | None]] = field(default_factory=dict)
    """By epoch: when it was asked for, and by whom."""


class Broker:
    """Everything is applied at one instant; what comes and goes takes time."""

    def __init__(self, loop: SimLoop, dice: random.Random) -> None:
        self.loop = loop
        self.dice = dice
        self.logs: dict[Place, list[Stored]] = defaultdict(list)
        self.open: dict[Place, dict[Transaction, int]] = defaultdict(dict)
        self.identities: dict[str, Identity] = {}
        self.groups: dict[tuple[str, Place], int] = {}
        self.fenced_late = False
        """Whether an old request had fenced the last producer that was refused."""
        self.commits_resume = 0.0
        """Until then no transaction ends."""
        self.loses_leaders = False
        self.leads_at: dict[Place, float] = {}
        """Until then a partition has no leader, and gets no markers (docs/adr/0014)."""
        self.trace: list[tuple[float, str, int, int]] = []
        self._waiters: dict[Place, list[asyncio.Future[None]]] = defaultdict(list)

    # -- the network

    def latency(self) -> float:
        """Mostly a moment, sometimes long."""
        luck = self.dice.random()
        if luck < 0.9:
            return self.dice.uniform(0.0005, 0.006)
        return (
            self.dice.uniform(0.01, 0.3) if luck < 0.99 else self.dice.uniform(0.5, 3)
        )

    def post(
        self,
        apply: Callable[[], Any],
        lane: list[float] | None = None,
        *,
        not_before: float = 0.0,
    ) -> asyncio.Future[Any]:
        """Have something done over there; the answer takes its time to come back.

        Args:
            apply: what is done at one instant.
            lane: when the last request of this sender arrives: they keep their order.
            not_before: when it arrives at the earliest.
        """
        answer: asyncio.Future[Any] = self.loop.create_future()
        process = OWNER.get()
        when = max(self.loop.time() + self.latency(), not_before)
        if lane is not None:
            when = lane[0] = max(when, lane[0] + 1e-5)
        ends = _burn(process)

        def arrive() -> None:
            if process is not None and self._is_lost(process, ends=ends):
                return
            try:
                result = apply()
            except Exception as error:  # noqa: BLE001 - the sender gets it
                self.later(self.latency(), _settle, answer, None, error)
            else:
                self.later(self.latency(), _settle, answer, result, None)
            if ends and process is not None:
                process.crash()

        self.later(when - self.loop.time(), arrive)
        return answer

    def _is_lost(self, process: Process, *, ends: bool) -> bool:
        """Whether a request never left, as its process was at its end."""
        if not (ends or process.is_dead) or self.dice.random() < 0.5:
            return False
        process.crash()
        return True

    def later(self, delay: float, callback: Callable[..., None], *args: Any) -> None:
        """Do something of nobody's process."""
        token = OWNER.set(None)
        self.loop.call_later(max(delay, 0), callback, *args)
        OWNER.reset(token)

    # -- logs

    def append(
        self, place: Place, entries: Iterable[Entry], transaction: Transaction | None
    ) -> None:
        log = self.logs[place]
        if transaction is not None:
            first = transaction.places.setdefault(place, len(log))
            self.open[place].setdefault(transaction, first)
        for entry in entries:
            self._add(place, entry, transaction)
        self._wake(place)

    def _add(
        self,
        place: Place,
        entry: Entry,
        transaction: Transaction | None,
        *,
        is_marker: bool = False,
    ) -> None:
        log, size = self.logs[place], len(entry.value or b"")
        self.trace.append((self.loop.time(), *place, size))
        log.append(
            Stored(
                *place,
                len(log),
                self.loop.now_ms(),
                entry.key,
                entry.value,
                tuple(entry.headers),
                transaction,
                is_marker,
            )
        )

    def end(self, place: Place, *, committed: bool) -> int:
        """The log's end, or the last stable offset."""
        open_here = self.open[place]
        if committed and open_here:
            return min(open_here.values())
        return len(self.logs[place])

    def fetch(
        self, place: Place, position: int, most: int, *, committed: bool
    ) -> tuple[list[Stored], int]:
        """Records from a position, and where to read on."""
        found: list[Stored] = []
        log, end = self.logs[place], self.end(place, committed=committed)
        while position < end and len(found) < most:
            record = log[position]
            position += 1
            is_gone = _ended(record, ABORTED)
            if not record.is_marker and not (committed and is_gone):
                found.append(record)
        return found, position

    def changed(self, place: Place) -> asyncio.Future[None]:
        """Done when there may be more to read."""
        waiter: asyncio.Future[None] = self.loop.create_future()
        self._waiters[place].append(waiter)
        return waiter

    def _wake(self, place: Place) -> None:
        for waiter in self._waiters.pop(place, ()):
            if not waiter.done():
                waiter.set_result(None)

    # -- transactions

    def fence(self, name: str, asked: tuple[float, Process | None]) -> int | None:
        """Begin a new epoch; None while the former transaction is being ended."""
        identity = self.identify(name)
        current = identity.current
        if current is not None and current.state == OPEN:
            identity.epoch += 1
            identity.begun[identity.epoch] = asked
            self._decide(current, ABORTED)
            return None
        if current is not None and current.places:
            return None
        identity.epoch += 1
        identity.begun[identity.epoch] = asked
        identity.current = None
        return identity.epoch

    def identify(self, name: str) -> Identity:
        """What is known of a transactional id."""
        return self.identities.setdefault(name, Identity(len(self.identities)))

    def _join(self, name: str, epoch: int, place: Place) -> Transaction:
        """Have a transaction write a marker in a partition."""
        identity = self._checked(name, epoch)
        if identity.current is None or identity.current.state != OPEN:
            identity.current = Transaction(name, epoch)
        identity.current.places.setdefault(place, len(self.logs[place]))
        return identity.current

    def produce(
        self, name: str, epoch: int, place: Place, entries: Iterable[Entry]
    ) -> None:
        self.append(place, entries, self._join(name, epoch, place))

    def end_transaction(self, name: str, epoch: int, state: str) -> None:
        identity = self._checked(name, epoch)
        if identity.current is not None and identity.current.state == OPEN:
            self._decide(identity.current, state)

    def is_settled(self, name: str) -> bool:
        """Whether the former transaction has all its markers."""
        current = self.identify(name).current
        return current is None or current.state == OPEN or not current.places

    def _checked(self, name: str, epoch: int) -> Identity:
        identity = self.identify(name)
        if identity.epoch != epoch:
            (before, who), (at, by) = identity.begun[epoch], identity.begun[epoch + 1]
            self.fenced_late = (
                at <= before
                or (by is not None and by.ever_paused)
                # It may have taken over again; this is from before it stood still.
                or (who is not None and who.paused_at >= before)
            )
            raise ProducerFenced
        return identity

    def _decide(self, transaction: Transaction, state: str) -> None:
        transaction.state = state
        for place in transaction.places:
            delay = self.latency() if self.dice.random() < 0.5 else 0.0005
            if self.loses_leaders and state == ABORTED:
                # Who fences has seen that all have leaders; none may be lost before.
                delay = 0.0005
            self.later(delay, self._mark, transaction, place)

    def _mark(self, transaction: Transaction, place: Place) -> None:
        del transaction.places[place]
        if not self.has_leader(place):
            return
        self._add(place, Entry(None, None), transaction, is_marker=True)
        self._end(place, transaction.name, transaction.state)

    def _end(self, place: Place, name: str, state: str) -> None:
        for each in list(self.open[place]):
            if each.name == name:
                each.ends[place] = state
                del self.open[place][each]
        self._wake(place)

    # -- what can be asked about transactions

    def has_leader(self, place: Place) -> bool:
        return self.loop.time() >= self.leads_at.get(place, 0.0)

    def last(self, name: str) -> LastTransaction:
        """How an id's last transaction stands."""
        current = self.identify(name).current
        if current is None:
            return NOBODY
        if current.state == OPEN:
            state = "Ongoing"
        else:
            stage = "Prepare" if current.places else "Complete"
            state = stage + {COMMITTED: "Commit", ABORTED: "Abort"}[current.state]
        places = frozenset(TopicPartition(*place) for place in current.places)
        return LastTransaction(state, places)

    def see(self, tps: Iterable[TopicPartition]) -> Seen:
        """What leaders tell: of an id one transaction, from where it hides a log."""
        tps, found = list(tps), []
        led = [tp for tp in tps if self.has_leader(tp)]
        for tp in led:
            by_name: dict[str, list[Transaction]] = defaultdict(list)
            for each in self.open[tp]:
                by_name[each.name].append(each)
            for name, mine in by_name.items():
                start = min(self.open[tp][each] for each in mine)
                epoch = max(each.epoch for each in mine)
                number = self.identify(name).number
                found.append(OpenTransaction(tp, number, epoch, start))
        return Seen(found, frozenset(tps) - frozenset(led))

    def end_open(
        self, who: tuple[str, int], places: Iterable[Place], *, committed: bool
    ) -> None:
        """Run a transaction that has no records, from its begin to its end."""
        for place in places:
            self._join(*who, place)
        self.end_transaction(*who, COMMITTED if committed else ABORTED)

    def hidden(self, tps: Iterable[TopicPartition]) -> list[TopicPartition]:
        """Partitions that cannot be read to their ends."""
        return [tp for tp in tps if self.has_leader(tp) and self.open[tp]]

    # -- reading back

    def committed(self, topic: str) -> list[Stored]:
        """All records of a topic for those who read committed."""
        return [
            record
            for place, log in sorted(self.logs.items())
            if place[0] == topic
            for record in log[: self.end(place, committed=True)]
            if not record.is_marker
            and (record.transaction is None or _ended(record, COMMITTED))
        ]


def _ended(record: Stored, how: str) -> bool:
    transaction, place = record.transaction, (record.topic, record.partition)
    return transaction is not None and transaction.ends.get(place) == how


def _settle(answer: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)
        answer.exception()  # whoever waits for it sees it


def _burn(process: Process | None) -> bool:
    """Whether this is the request at which a process is to vanish."""
    if process is None or not process.fuse:
        return False
    process.fuse -= 1
    return process.fuse == 0
