"""The window of requests: which is next, and what may be committed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from itertools import chain, count
from typing import Any, NamedTuple

from agents.handlers import Handler

Partition = tuple[str, int]
Step = tuple[str, str]
"""Execution id, step id."""


class Position(NamedTuple):
    """Where a request lies in the log."""

    topic: str
    partition: int
    offset: int


class Ticket:
    """A request's place in the window, from its offer until its outcome is in the log.

    Attributes:
        partition: Where the request lies.
        fields: The `StepRequest`; empty once settled, so that its memory is free.
        handler: What runs it.
        arrived: When it came, in any unit.
        redelivered: It may have been started before (R29).
        settled: Nothing is left to be done for it.
    """

    __slots__ = (
        "arrived",
        "fields",
        "handler",
        "offset",
        "partition",
        "redelivered",
        "settled",
    )

    handler: Handler

    def __init__(self, partition: Partition, offset: int) -> None:
        self.partition = partition
        self.offset = offset
        self.fields: dict[str, Any] = {}
        self.arrived = 0.0
        self.redelivered = False
        self.settled = False

    @property
    def step(self) -> Step:
        """Which step of which execution."""
        return self.fields["execution_id"], self.fields["step_id"]

    @property
    def number(self) -> int:
        """Which attempt of its step it asks for."""
        number: int = self.fields["attempt"]
        return number


class Ledger:
    """A partition's requests in the order of their offsets.

    A partition that comes back after a rebalance gets a new ledger: requests that
    outlived the rebalance settle in the old one, which commits nothing any more.
    """

    __slots__ = ("_next", "_open", "_partition", "_told")

    def __init__(self, partition: Partition, first: int) -> None:
        self._partition = partition
        self._open: deque[Ticket] = deque()
        self._next = self._told = first

    def enter(self, offset: int) -> Ticket:
        """A place for the next request."""
        ticket = Ticket(self._partition, offset)
        self._open.append(ticket)
        self._next = max(self._next, offset + 1)
        return ticket

    def tickets(self) -> Iterator[Ticket]:
        """The places that are kept, in order."""
        return iter(self._open)

    def advance(self) -> int | None:
        """The offset to commit, if it has moved: the first that is not settled."""
        while self._open and self._open[0].settled:
            self._open.popleft()
        mark = self._open[0].offset if self._open else self._next
        if mark <= self._told:
            return None
        self._told = mark
        return mark


class Window:
    """The open requests of all partitions.

    Attributes:
        open: How many requests are not settled.
        was_full: It was full, and `on_room` has not been called since.
    """

    def __init__(self, size: int, on_room: Callable[[], None]) -> None:
        self._size = size
        self._low = size * 3 // 4  # resumed a little late, not once for every request
        self._on_room = on_room
        self.was_full = False
        self._ledgers: dict[Partition, Ledger] = {}
        self.open = 0

    def room(self) -> int:
        """How many more requests are welcome."""
        return max(0, self._size - self.open)

    def enter(self, position: Position) -> Ticket:
        """A place for a request; beyond the size too, for what was fetched already."""
        partition = (position.topic, position.partition)
        ledger = self._ledgers.get(partition)
        if ledger is None:
            ledger = self._ledgers[partition] = Ledger(partition, position.offset)
        self.open += 1
        if self.open >= self._size:
            self.was_full = True
        return ledger.enter(position.offset)

    def settle(self, ticket: Ticket) -> None:
        """Marks a request as finished; a second time changes nothing."""
        if ticket.settled:
            return
        ticket.settled = True
        ticket.fields = {}
        self.leave()

    def leave(self) -> None:
        """Counts a request out, settled or not."""
        self.open -= 1
        if self.was_full and self.open <= self._low:
            self.was_full = False
            self._on_room()

    def committable(self) -> dict[Partition, int]:
        """The next offset to commit for each partition where it has moved."""
        marks = {each: ledger.advance() for each, ledger in self._ledgers.items()}
        return {each: mark for each, mark in marks.items() if mark is not None}

    def tickets(self) -> Iterator[Ticket]:
        """The places of all partitions, settled ones before open ones included."""
        return chain.from_iterable(each.tickets() for each in self._ledgers.values())

    def forget(self, partitions: set[Partition]) -> None:
        """Drops the ledgers of partitions that are ours no longer."""
        for partition in partitions:
            self._ledgers.pop(partition, None)


_Entry = tuple[int, float, int, int, Ticket]


class Lane:
    """Waiting requests for one kind of handler, and how many of it may run (R40).

    A higher priority goes first, ties by arrival, then by the plan's list order.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.running = 0
        self._heap: list[_Entry] = []
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def is_ready(self) -> bool:
        """Whether a request waits and may run."""
        return bool(self._heap) and self.running < self.capacity

    def push(self, ticket: Ticket) -> None:
        """Lets a request wait for its turn."""
        fields = ticket.fields
        entry = (
            -fields["priority"],
            ticket.arrived,
            fields["step_number"],
            next(self._numbers),
            ticket,
        )
        heappush(self._heap, entry)

    def pop(self) -> Ticket:
        """The request whose turn it is."""
        return heappop(self._heap)[-1]

    def remove(self, unwanted: Callable[[Ticket], bool]) -> list[Ticket]:
        """Takes requests out of turn."""
        removed = [entry[-1] for entry in self._heap if unwanted(entry[-1])]
        if removed:
            self._heap = [each for each in self._heap if not unwanted(each[-1])]
            heapify(self._heap)
        return removed
