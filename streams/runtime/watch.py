"""Turns due deadlines into commands, once all that arrived before is folded (R33)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from aiokafka.errors import KafkaError
from faust.types import TP

from agents.deadlines import DeadlineKind, command_of
from agents.effects import Outgoing
from agents.tables import Deadline
from streams.runtime.partition import PartitionTask

logger = logging.getLogger("planstream.coordinator")

TICK_S = 0.02
"""How often the heaps are looked at: the firing error without lag."""

Due = tuple[bytes, Deadline]
Found = tuple[PartitionTask, list[Due]]
"""What is due of a partition."""


class Ends(Protocol):
    """Asks the broker where source partitions end now."""

    async def __call__(self, tps: list[TP]) -> Mapping[TP, int]:
        """Return the end of each partition's log, uncommitted records included."""


@dataclass(frozen=True, slots=True)
class Barrier:
    """Limits that were due when the partition's inputs ended at `ends`."""

    task: PartitionTask
    due: list[Due]
    ends: Mapping[TP, int]


class DeadlineWatch:
    """Watches the deadline heaps of all owned partitions.

    Args:
        tasks: the partitions that are being folded now.
        inputs: topics whose records can decide before a limit does.
        ends: asks for the end offsets of partitions.
        folded: whether a partition is folded up to an offset.
        send: sends commands to a partition of the commands topic, durably.
        clock: Unix milliseconds.
    """

    def __init__(
        self,
        tasks: Callable[[], list[PartitionTask]],
        inputs: tuple[str, ...],
        ends: Ends,
        folded: Callable[[PartitionTask, TP, int], bool],
        send: Callable[[int, list[Outgoing]], Any],
        clock: Callable[[], int],
    ) -> None:
        self._tasks = tasks
        self._inputs = inputs
        self._ends = ends
        self._folded = folded
        self._send = send
        self._clock = clock
        self._barriers: list[Barrier] = []
        self.turns = 0
        """How often it has looked at the heaps."""

    def reset(self) -> None:
        """Forget what waits: the heaps are rebuilt when partitions are taken over."""
        self._barriers = []

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            self.turns += 1
            await self._raise_barriers()
            await self._pass_barriers()

    async def _raise_barriers(self) -> None:
        now = self._clock()
        limits: list[Found] = []
        retries: list[Found] = []
        for task in self._tasks():
            due = task.state.deadlines.take_due(now)
            if again := [each for each in due if each[1].kind == DeadlineKind.RETRY]:
                retries.append((task, again))
            if over := [each for each in due if each[1].kind != DeadlineKind.RETRY]:
                limits.append((task, over))
        await self._announce(retries)
        if limits:
            await self._raise_barrier(limits)

    async def _raise_barrier(self, limits: list[Found]) -> None:
        """Ask once for all partitions: a question takes as long as a commit does."""
        tps = [tp for task, _ in limits for tp in self._inputs_of(task)]
        try:
            ends = await self._ends(tps)
        except KafkaError as exc:  # a broker that is away: the limits wait for it
            logger.warning("limits wait, as no broker tells the log's end: %s", exc)
            for task, due in limits:
                task.state.deadlines.put_back(due)
        else:
            self._barriers += [
                Barrier(task, due, {tp: ends[tp] for tp in self._inputs_of(task)})
                for task, due in limits
            ]

    def _inputs_of(self, task: PartitionTask) -> list[TP]:
        return [TP(topic, task.state.partition) for topic in self._inputs]

    async def _pass_barriers(self) -> None:
        live = set(map(id, self._tasks()))
        barriers, self._barriers = self._barriers, []
        passed: list[Found] = []
        for each in barriers:
            if id(each.task) not in live:
                continue
            if self._is_passed(each):
                passed.append((each.task, each.due))
            else:
                self._barriers.append(each)
        await self._announce(passed)

    def _is_passed(self, barrier: Barrier) -> bool:
        task = barrier.task
        return all(self._folded(task, tp, end) for tp, end in barrier.ends.items())

    async def _announce(self, found: list[Found]) -> None:
        """Send commands to all partitions at once; return when all are durable."""
        sending = []
        for task, due in found:
            commands = [command_of(task.state, key, deadline) for key, deadline in due]
            present = [command for command in commands if command is not None]
            if present:
                sending.append(self._send(task.state.partition, present))
        if sending:
            await asyncio.gather(*sending)
