"""The coordinator's host: owns partitions from their fencing to their hand-over."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiokafka.structs import TopicPartition
from faust.types import TP

from agents.coordinator import CoordinatorTerms, PartitionState
from agents.effects import Outgoing
from streams.config import Settings
from streams.runtime.chores import Chores
from streams.runtime.clients import FAREWELL_S, Clients, report_unsent
from streams.runtime.commit import CommitTerms, GroupCommit
from streams.runtime.delivery import ChunkConsumer, reached
from streams.runtime.exits import die, spawn
from streams.runtime.hanging import HangingTransactions
from streams.runtime.host import LogEnds
from streams.runtime.locator import Locator
from streams.runtime.origins import Origins
from streams.runtime.outbox import Acknowledgement, Outbox
from streams.runtime.owned import Owned
from streams.runtime.partition import PartitionTask
from streams.runtime.positions import check_origin, check_positions
from streams.runtime.producers import transactional_producer
from streams.runtime.progress import Look
from streams.runtime.replay import replay
from streams.runtime.watch import DeadlineWatch
from streams.runtime.writer import Writer
from streams.submissions import now_ms
from streams.topics import Topics

logger = logging.getLogger("planstream.coordinator")

REJOIN_S = 1.0
EVENTS_KEPT = 10_000
"""Events that wait to be sent beyond which later ones are dropped (§5.0)."""


class CoordinatorHost:
    """Takes over partitions: fence, replay, check, fold; and gives them back.

    Args:
        settings: of this process.
        topics: the installation's topics.
        consumer: gives the app's consumer, once it is there.
        on_ready: called after each take-over with the partitions that are owned.
    """

    def __init__(
        self,
        settings: Settings,
        topics: Topics,
        terms: CoordinatorTerms,
        consumer: Callable[[], ChunkConsumer],
        on_ready: Callable[[Iterable[int]], None],
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._terms = terms
        self._consumer = consumer
        self._on_ready = on_ready
        self._owned: dict[int, Owned] = {}
        self._generation = -1
        self._live: int | None = None
        self._clients: Clients | None = None
        self._origins: Origins | None = None
        self._background: list[asyncio.Task[None]] = []
        self._chores = Chores(
            consumer, lambda: [x.task for x in self._owned.values()], self.live_tasks
        )
        self._locate = Locator(settings)
        inputs = (topics.plans, topics.step_outcomes, topics.commands)
        self._inputs = [topic.name for topic in inputs]
        self._watch = DeadlineWatch(
            tasks=self.live_tasks,
            inputs=(topics.step_outcomes.name, topics.commands.name),
            ends=self._ends,
            folded=self._is_folded,
            send=self._send_commands,
            clock=now_ms,
        )

    # -- Host

    async def assign(self, assigned: frozenset[TP], generation: int) -> dict[TP, int]:
        """Fence and replay what is new, keep what stayed; see `Host`."""
        began = time.monotonic()
        is_first = self._clients is None
        logger.info("generation %d: taking over %d", generation, len(assigned))
        await self._start_clients()
        await self._known.confirm()
        wanted = await self._whole(assigned)
        if is_first and not assigned:
            self._consumer().rejoin()
        assigned = frozenset(tp for tp in assigned if tp.partition in wanted)
        await self._drop(self._lost(wanted, generation))
        new = wanted - self._owned.keys()
        rows = await self._open(new)
        self._generation = generation
        offsets = await self._offsets(assigned)
        logger.info(
            "generation %d: %d partitions, %d new with %d rows, in %.2f s",
            *(generation, len(wanted), len(new), rows, time.monotonic() - began),
        )
        return offsets

    def start(self, generation: int, offsets: Mapping[TP, int]) -> None:
        """Begin to fold; see `Host`."""
        by_partition: dict[int, dict[str, int]] = defaultdict(dict)
        for tp, offset in offsets.items():
            by_partition[tp.partition][tp.topic] = offset
        self._watch.reset()
        for number, owned in self._owned.items():
            owned.task.start(by_partition[number])
        self._live = generation
        self._on_ready(self._owned)

    def deliver(self, generation: int, tp: TP, records: list[Any]) -> None:
        """Queue a chunk; see `Host`."""
        owned = self._owned.get(tp.partition)
        if generation == self._live and owned is not None:
            owned.task.offer(records)

    async def quiesce(self) -> None:
        """Stop folding, commit what is folded; see `Host`."""
        self._live = None
        tasks = [owned.task.quiesce() for owned in self._owned.values()]
        await asyncio.gather(*tasks)

    async def close(self) -> None:
        """Commit, close every producer; see `Host`."""
        self._live = None
        # Not cut off: a commit that is under way would end with nobody to hear of it.
        farewell = spawn("the last commit to the group", self._chores.commit_to_group())
        await asyncio.wait([farewell], timeout=FAREWELL_S)
        # Before the tasks: what is folded cannot be committed until its requests left.
        await self._drop(list(self._owned))
        for task in self._background:
            task.cancel()
        if self._clients is not None:
            await self._clients.stop()

    # -- what health asks for

    @property
    def is_live(self) -> bool:
        """Whether partitions, or none of them, are folded now; see `Host`."""
        return self._live is not None

    def sources(self) -> list[TP]:
        """What is read; of a spare, which reads nothing, the changelog's first."""
        owned = [TP(topic, number) for number in self._owned for topic in self._inputs]
        return owned or [TP(self._topics.changelog.name, 0)]

    async def ask_ends(self, tps: list[TP]) -> Mapping[TP, int]:
        """Ask where these logs end; see `Host`."""
        return await self._ends(tps)

    def looks(self, ends: LogEnds) -> list[Look]:
        """Look at each partition, and at what serves them all; see `Host`."""
        consumer = self._consumer()
        if self._live is None:
            return []
        return [
            self._connected.outbox.look("sending requests"),
            Look("the deadline watch", todo=1, stands=self._watch.turns),
            Look("the housekeeping", todo=1, stands=self._chores.turns),
            *(x for each in self._owned.values() for x in each.looks(ends, consumer)),
        ]

    def clients(self) -> Mapping[str, Any]:
        """Producers of partitions, and what they share; see `Host`."""
        shared = {} if self._clients is None else self._clients.by_name()
        return shared | {
            f"partition {number}'s producer": owned.writer.producer
            for number, owned in self._owned.items()
        }

    # -- taking over

    async def _start_clients(self) -> None:
        if self._clients is not None:
            return
        self._clients = await Clients.start(self._settings)
        self._origins = await Origins.begin(self._clients.monitor, self._topics)
        hanging = HangingTransactions(
            self._clients.monitor,
            [
                TopicPartition(topic.name, number)
                for topic in self._topics.of_transactions()
                for number in range(topic.partitions)
            ],
            lambda: [x.task.commit for x in self._owned.values()],
        )
        self._background = [
            spawn("sending requests", self._clients.outbox.run()),
            spawn("sending events", self._clients.events.run()),
            spawn("the deadline watch", self._watch.run()),
            spawn("the watch over topics", self._origins.run()),
            spawn("the housekeeping", self._chores.run()),
            spawn("the watch over transactions", hanging.run()),
        ]

    @property
    def _connected(self) -> Clients:
        if self._clients is None:
            raise RuntimeError("nothing has been assigned yet")
        return self._clients

    @property
    def _known(self) -> Origins:
        if self._origins is None:
            raise RuntimeError("nothing has been assigned yet")
        return self._origins

    async def _whole(self, assigned: frozenset[TP]) -> set[int]:
        """The partitions of which all sources are ours.

        An assignment that was made while a topic was missing lacks it, and a static
        member gets the same one again when it comes back: nobody would read the topic.
        """
        present = Counter(tp.partition for tp in assigned)
        count = len(self._topics.sources)
        whole = {number for number, topics in present.items() if topics == count}
        if partial := present.keys() - whole:
            logger.warning("partitions %s lack a topic: joining again", partial)
            await asyncio.sleep(REJOIN_S)
            self._consumer().rejoin()
        return whole

    def _lost(self, wanted: set[int], generation: int) -> list[int]:
        # Kept: owned in the generation just before this one, so nobody else can have
        # owned it in between; its producer's epoch fences if that were wrong.
        if generation != self._generation + 1:
            return list(self._owned)
        return [number for number in self._owned if number not in wanted]

    async def _drop(self, numbers: list[int]) -> None:
        dropped = [self._owned.pop(number) for number in numbers]
        await asyncio.gather(*[owned.close() for owned in dropped])

    async def _open(self, numbers: set[int]) -> int:
        new = {number: self._prepare(number) for number in numbers}
        writers = [owned.writer for owned in new.values()]
        try:
            # Fence: the former owners can commit no more.
            await asyncio.gather(*[writer.fence() for writer in writers])
            await self._known.open(numbers)
            await asyncio.gather(*[writer.take_over() for writer in writers])
            tables = {number: owned.state.tables for number, owned in new.items()}
            for number, each in tables.items():
                each.stamps = self._known.stamps(number)
            name = self._topics.changelog.name
            rows = await replay(self._settings, name, tables) if new else 0
        except BaseException:
            await asyncio.gather(*[writer.producer.stop() for writer in writers])
            raise
        self._owned |= new
        return rows

    def _prepare(self, number: int) -> Owned:
        transactional_id = f"{self._settings.coordinator_app_id}-{number}"
        changelog = TopicPartition(self._topics.changelog.name, number)
        writer = Writer(
            transactional_producer(self._settings, transactional_id),
            transactional_id,
            changelog,
            self._connected.monitor._client,
        )
        state = PartitionState(number, self._terms)
        commit = GroupCommit(
            writer,
            changelog,
            CommitTerms.of(self._settings),
            lambda record: self._locate(record, number),
            lambda events: self._emit(events, number),
        )
        task = PartitionTask(
            state,
            commit,
            send=lambda records: self._send(records, number),
            clock=now_ms,
            throttle=lambda plans, others: self._throttle(number, plans, others),
        )
        return Owned(writer, state, task)

    async def _offsets(self, assigned: frozenset[TP]) -> dict[TP, int]:
        positions = {
            tp: self._owned[tp.partition].state.tables.positions.get(tp.topic)
            for tp in sorted(assigned)
        }
        # A partition that was kept has been checked, unless it was never started.
        stands = {tp: self._owned[tp.partition].task.next for tp in assigned}
        fresh = [tp for tp in positions if not stands[tp]]
        begins = await self._check({tp: positions[tp] for tp in fresh})
        # Nothing was folded of a topic without a position: we stand where we began.
        begins |= {tp: stand[tp.topic] for tp, stand in stands.items() if stand}
        return {
            tp: begins[tp] if offset is None else offset
            for tp, offset in positions.items()
        }

    async def _check(self, positions: dict[TP, int | None]) -> dict[TP, int]:
        monitor, grouped = self._connected.monitor, self._consumer().kafka
        begins = await check_positions(monitor, grouped, positions)
        for tp, position in positions.items():
            tables = self._owned[tp.partition].state.tables
            found = tables.origins.get(tp.topic, "")
            check_origin(tp, position, found, tables.stamps[tp.topic])
            if position is None:
                # Kept from now on: else a changelog that is lost soon is not missed.
                tables.put_position(tp.topic, begins[tp])
        return begins

    async def on_lost_position(self, tp: TP, position: int) -> None:
        """Say what became of a log, and stop; see `Host`."""
        monitor, grouped = self._connected.monitor, self._consumer().kafka
        await check_positions(monitor, grouped, {tp: position})
        die(f"{tp} was out of its log at {position}, and no longer is")

    # -- sending

    def _send(self, records: list[Outgoing], number: int) -> list[Acknowledgement]:
        return self._put(self._connected.outbox, records, number)

    def _put(
        self, outbox: Outbox, records: list[Outgoing], number: int
    ) -> list[Acknowledgement]:
        rounds = set()
        for record in records:
            topic, partition = self._locate(record, number)
            rounds.add(outbox.add(topic, partition, record))
        return list(rounds)

    async def _send_commands(self, number: int, commands: list[Outgoing]) -> None:
        for acknowledgement in self._send(commands, number):
            await acknowledgement

    def _emit(self, events: list[Outgoing], number: int) -> None:
        outbox = self._connected.events
        if outbox.waiting > EVENTS_KEPT:
            logger.warning("%d outcome events were dropped: too many wait", len(events))
            return
        for acknowledgement in self._put(outbox, events, number):
            acknowledgement.add_done_callback(report_unsent)

    # -- asking and telling the consumer

    async def _ends(self, tps: list[TP]) -> Mapping[TP, int]:
        ends = await self._connected.monitor.end_offsets(
            [TopicPartition(*tp) for tp in tps]
        )
        return {TP(*tp): end for tp, end in ends.items()}

    def _is_folded(self, task: PartitionTask, tp: TP, end: int) -> bool:
        # The log may end in transaction markers, which are no records.
        return reached(self._consumer(), tp, task.next.get(tp.topic, 0)) >= end

    def _throttle(self, number: int, plans: bool, others: bool) -> None:
        consumer, topics = self._consumer(), self._topics
        for pause, names in (
            (plans, [topics.plans.name]),
            (others, [topics.step_outcomes.name, topics.commands.name]),
        ):
            for name in names:
                turn = consumer.on_buffer_full if pause else consumer.on_buffer_drop
                turn(TP(name, number))

    def live_tasks(self) -> list[PartitionTask]:
        """The tasks of the partitions that are folded now."""
        if self._live is None:
            return []
        return [owned.task for owned in self._owned.values()]
