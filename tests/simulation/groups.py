"""A consumer group: who reads which partitions, generation by generation."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from faust.types import TP

from streams.runtime.exits import watched
from tests.simulation.broker import Broker, Place
from tests.simulation.processes import Process

SESSION_S = 6.0


class GroupConsumer:
    """Stands in for the chunk consumer of a process, and for Faust around it."""

    def __init__(self, group: Group, process: Process) -> None:
        self.group = group
        self.process = process
        self.broker = group.broker
        self.host: Any = None
        self.handed: dict[TP, int] = {}
        self.kafka = self
        self.generation = -1
        self._position: dict[TP, int] = {}
        self._paused: set[TP] = set()
        self._flows = False
        self._tasks: list[asyncio.Task[Any]] = []
        self._turned = asyncio.Event()

    # -- what hosts see

    def read_to(self, tp: TP) -> int:
        return self._position.get(tp, -1) if self._flows else -1

    def on_buffer_full(self, tp: TP) -> None:
        self._paused.add(tp)

    def on_buffer_drop(self, tp: TP) -> None:
        self._paused.discard(tp)
        self._turned.set()

    def rejoin(self) -> None:
        """All topics are there: another assignment would be no other."""

    def assignment(self) -> set[TP]:
        return set(self._position)

    async def committed(self, tp: Place) -> int | None:
        key = (self.group.name, (tp[0], tp[1]))
        found: int | None = await self.broker.post(lambda: self.broker.groups.get(key))
        return found

    async def commit_offsets(self, offsets: Mapping[TP, int]) -> None:
        group, generation = self.group, self.generation
        wanted = {tp: at for tp, at in offsets.items() if tp in self._position}

        def apply() -> None:
            if group.members.get(self.process.name) is not self:
                return  # an unknown member
            if generation == group.generation:
                for tp, at in wanted.items():
                    self.broker.groups[group.name, (tp.topic, tp.partition)] = at

        if wanted:
            await self.broker.post(apply)

    # -- rebalances

    async def revoke(self) -> None:
        """Stop the flow, and have the host give everything back."""
        self._flows = False
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tasks = []
        await self.host.quiesce()

    async def recover(self, assigned: list[TP], generation: int) -> None:
        """As the recovery does: take over, seek, resume, start."""
        self.generation = generation
        self._position = dict.fromkeys(assigned, -1)
        offsets = await self.host.assign(frozenset(assigned), generation)
        if generation != self.generation:
            return
        self._position, self.handed = dict(offsets), dict(offsets)
        self._paused.clear()
        self._flows = True
        self.host.start(generation, offsets)
        self._tasks += [
            asyncio.create_task(self._read(tp, generation)) for tp in sorted(offsets)
        ]

    def begin(self, assigned: list[TP], generation: int) -> None:
        # From here on only what stops it later is a reason to be fenced.
        self.process.paused_since_ready = self.process.is_paused
        self._tasks.append(
            self.process.spawn(
                watched("taking over", self.recover(assigned, generation))
            )
        )

    async def _read(self, tp: TP, generation: int) -> None:
        broker, dice = self.broker, self.broker.dice
        place = (tp.topic, tp.partition)
        while True:
            while tp in self._paused:
                self._turned.clear()
                await self._turned.wait()
            position, most = self._position[tp], dice.choice((1, 3, 500))
            if broker.end(place, committed=True) <= position:
                await broker.changed(place)
                continue
            await asyncio.sleep(broker.latency())
            records, position = broker.fetch(place, position, most, committed=True)
            self._position[tp] = position
            if records:
                self.handed[tp] = records[-1].offset + 1
                await asyncio.sleep(0)
                self.host.deliver(generation, tp, records)


class Group:
    """The group's coordinator at the broker."""

    def __init__(self, broker: Broker, name: str, places: list[TP]) -> None:
        self.broker = broker
        self.name = name
        self.places = places
        self.members: dict[str, GroupConsumer] = {}
        self.assigned: dict[str, list[TP]] = {}
        self.generation = 0
        self._wanted = asyncio.Event()
        self.rebalances = 0
        self.patience_s = SESSION_S
        """How long a rebalance waits for members that live."""
        self._is_busy = False

    def join(self, consumer: GroupConsumer) -> None:
        """A member that comes back in time gets what it had."""
        name = consumer.process.name
        self.members[name] = consumer
        if name in self.assigned and not (self._is_busy or self._wanted.is_set()):
            consumer.begin(self.assigned[name], self.generation)
        else:
            self.trigger()

    def trigger(self) -> None:
        """Have the group rebalance."""
        self._wanted.set()

    def leave(self, consumer: GroupConsumer) -> None:
        """Its session is over."""
        name = consumer.process.name
        if self.members.get(name) is consumer:
            del self.members[name]
            self.assigned.pop(name, None)
            self.trigger()

    def notice(self, consumer: GroupConsumer) -> None:
        """A member that was paused hears what happened meanwhile."""
        current = self.members.get(consumer.process.name)
        if current is consumer or consumer.process.is_dead:
            return
        if current is not None:  # replaced under its name: its instance is fenced
            consumer.process.crash()
        else:
            self.members[consumer.process.name] = consumer
            self.trigger()

    async def run(self) -> None:
        """Rebalance whenever somebody comes or goes."""
        while True:
            await self._wanted.wait()
            await asyncio.sleep(self.broker.dice.uniform(0.05, 0.5))
            self._wanted.clear()
            self._is_busy = True
            await self._rebalance()
            self._is_busy = False

    async def _wait_for(
        self, joined: Mapping[GroupConsumer, asyncio.Task[Any]]
    ) -> None:
        """Wait for members to give back what they had, unless their session ends."""
        until = self.broker.loop.time() + self.patience_s
        while self.broker.loop.time() < until:
            waited_for = [
                task
                for member, task in joined.items()
                if not task.done() and self.members.get(member.process.name) is member
            ]
            if not waited_for:
                return
            await asyncio.wait(waited_for, timeout=0.5)

    async def _rebalance(self) -> None:
        self.rebalances += 1
        joined: dict[GroupConsumer, asyncio.Task[Any]] = {
            member: member.process.spawn(member.revoke())
            for member in self.members.values()
            if not member.process.is_dead
        }
        await self._wait_for(joined)
        for member, task in joined.items():
            if not task.done() or member.process.is_dead:
                name = member.process.name
                if self.members.get(name) is member:
                    del self.members[name]
        # Who joined meanwhile has nothing to give back, and takes part.
        self.members = {
            name: member
            for name, member in self.members.items()
            if not member.process.is_dead
        }
        self.generation += 1
        names = sorted(self.members)
        self.broker.dice.shuffle(names)
        self.assigned = {name: [] for name in names}
        numbers = sorted({tp.partition for tp in self.places})
        for index, number in enumerate(numbers if names else ()):
            mine = [tp for tp in self.places if tp.partition == number]
            self.assigned[names[index % len(names)]] += mine
        for name in names:
            self.members[name].begin(self.assigned[name], self.generation)
