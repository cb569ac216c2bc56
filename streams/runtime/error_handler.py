"""The error handler's host: failures in, calls out, offsets behind the calls."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition
from faust.types import TP

from agents.effects import Outgoing, SourceRecord
from agents.error_calls import ErrorCalls
from agents.error_handler import ErrorHandler, ErrorPolicy
from streams.config import Settings
from streams.runtime.delivery import ChunkConsumer, reached
from streams.runtime.exits import EXIT_IN_DOUBT, die, spawn
from streams.runtime.host import LogEnds
from streams.runtime.lanes import Lane, LaneClosed
from streams.runtime.origins import TopicWatch
from streams.runtime.producers import idempotent_producer, send_entries
from streams.runtime.progress import Look
from streams.topics import Topics

logger = logging.getLogger("planstream.error_handler")

COMMIT_S = 0.5
"""How often offsets are committed: what a killed process may hand over again."""
LEAVE_S = 3.0
"""What a stop keeps for committing and leaving the group."""


@dataclass(frozen=True, slots=True)
class _Parts:
    """What there is from the first assignment on."""

    producer: AIOKafkaProducer
    monitor: AIOKafkaConsumer

    async def stop(self) -> None:
        await self.producer.stop()
        await self.monitor.stop()


class ErrorHandlerHost:
    """Hands the failures of the partitions that are assigned to a user's function.

    Each partition is a lane: its failures come in order, and one that is retried holds
    up those behind it alone.

    Args:
        settings: of this process.
        topics: the installation's topics.
        calls: makes the calls.
        consumer: gives the app's consumer, once it is there.
        on_ready: called after each take-over with the partitions that are read.
    """

    def __init__(
        self,
        settings: Settings,
        topics: Topics,
        calls: ErrorCalls,
        consumer: Callable[[], ChunkConsumer],
        on_ready: Callable[[Iterable[TP]], None],
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._consumer = consumer
        self._on_ready = on_ready
        self._handler = ErrorHandler(
            calls, _policy(settings), self._reject, self._pause
        )
        self._parts: _Parts | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._generation = -1
        self._live: int | None = None
        self._lanes: dict[TP, Lane] = {}
        self._committed: dict[TP, int] = {}
        self._committing = asyncio.Lock()
        self._turns = 0
        self._closing = asyncio.Event()

    # -- Host

    async def assign(self, assigned: frozenset[TP], generation: int) -> dict[TP, int]:
        """Drop what was lost, find where to read on; see `Host`."""
        is_first = self._parts is None
        await self._start_parts()
        if is_first and not assigned:
            # A static member gets the assignment that it had, also one that was made
            # while the topic was away.
            self._consumer().rejoin()
        # Kept: ours in the generation just before this one, so nobody else's between.
        is_next = generation == self._generation + 1
        kept = assigned & self._lanes.keys() if is_next else frozenset()
        await self._close_lanes(self._lanes.keys() - kept, 0)
        await self._open_lanes(assigned - kept)
        self._generation = generation
        return {tp: lane.taken for tp, lane in self._lanes.items()}

    def start(self, generation: int, offsets: Mapping[TP, int]) -> None:
        """Begin to read; see `Host`."""
        self._live = generation
        for tp in self._lanes:
            self._throttle(tp)
        self._on_ready(offsets)

    def deliver(self, generation: int, tp: TP, records: list[Any]) -> None:
        """Queue a chunk in its partition's lane; see `Host`."""
        if generation == self._live and tp in self._lanes:
            self._lanes[tp].take(records)
            self._throttle(tp)

    async def on_lost_position(self, tp: TP, position: int) -> None:
        """Stop: the next start finds where the log begins; see `Host`."""
        die(f"{tp.topic}/{tp.partition} does not reach {position} any longer")

    async def quiesce(self) -> None:
        """Commit what is finished; calls go on; see `Host`."""
        self._live = None
        await self._commit()

    async def close(self) -> None:
        """Let calls end within the limit, commit, leave; see `Host`."""
        self._live = None
        self._closing.set()
        limit_s = self._settings.shutdown_timeout_ms / 1000
        lanes = dict(self._lanes)
        # Kept in sight until it is committed how far they came.
        await self._close_lanes(lanes, max(limit_s - LEAVE_S, limit_s / 2))
        self._lanes = lanes
        await self._commit()
        for task in list(self._background):
            task.cancel()
        if self._parts is not None:
            await self._parts.stop()

    # -- what health asks for

    @property
    def is_live(self) -> bool:
        """Whether partitions, or none of them, are read now; see `Host`."""
        return self._live is not None

    def sources(self) -> list[TP]:
        """What is read; of a spare, which reads nothing, the first; see `Host`."""
        return list(self._lanes) or [TP(self._topics.failure.name, 0)]

    async def ask_ends(self, tps: list[TP]) -> Mapping[TP, int]:
        """Ask where these logs end; see `Host`."""
        wanted = [TopicPartition(*tp) for tp in tps]
        ends = await self._started.monitor.end_offsets(wanted)
        return {TP(*tp): end for tp, end in ends.items()}

    def looks(self, ends: LogEnds) -> list[Look]:
        """Look at the reading of failures, and at the commits behind it; see `Host`.

        Not at how long a failure takes: its attempts and pauses are bounded already.
        """
        if self._live is None:
            return []
        consumer = self._consumer()
        return [
            Look("committing offsets", todo=1, stands=self._turns),
            *(
                ends.look(
                    tp,
                    reached(consumer, tp, lane.taken),
                    "the lane is full" if lane.is_full else None,
                )
                for tp, lane in self._lanes.items()
            ),
        ]

    def clients(self) -> Mapping[str, Any]:
        """What sends and asks; see `Host`."""
        if self._parts is None:
            return {}
        return {
            "the dead letters' producer": self._parts.producer,
            "the monitor": self._parts.monitor,
        }

    # -- taking over

    async def _start_parts(self) -> None:
        if self._parts is not None:
            return
        producer = idempotent_producer(self._settings)
        await producer.start()
        monitor = AIOKafkaConsumer(**self._settings.connection())
        await monitor.start()
        names = [self._topics.failure.name]
        watch = TopicWatch(monitor, names, EXIT_IN_DOUBT, "Start it again.")
        await watch.begin()
        self._parts = _Parts(producer, monitor)
        self._keep(spawn("the watch over topics", watch.run()))
        self._keep(spawn("committing offsets", self._commit_often()))

    @property
    def _started(self) -> _Parts:
        if self._parts is None:
            raise RuntimeError("nothing has been assigned yet")
        return self._parts

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _close_lanes(self, tps: Iterable[TP], timeout_s: float) -> None:
        lanes = [self._lanes.pop(tp) for tp in list(tps)]
        await asyncio.gather(*[lane.close(timeout_s) for lane in lanes])

    async def _open_lanes(self, tps: frozenset[TP]) -> None:
        for tp, position in (await self._positions(tps)).items():
            self._committed[tp] = position
            self._lanes[tp] = Lane(
                f"{tp.topic}/{tp.partition}",
                position,
                self._handler.finish,
                on_room=functools.partial(self._throttle, tp),
            )

    async def _positions(self, new: frozenset[TP]) -> dict[TP, int]:
        """Ask where the group stands; what has no position yet begins at its start."""
        tps = [TopicPartition(*tp) for tp in new]
        if not tps:
            return {}
        begins = await self._started.monitor.beginning_offsets(tps)
        ends = await self._started.monitor.end_offsets(tps)
        positions = {}
        for tp in tps:
            committed = await self._consumer().kafka.committed(tp)
            positions[TP(*tp)] = _position(tp, committed, begins[tp], ends[tp])
        return positions

    def _throttle(self, tp: TP) -> None:
        """Fetch no more for a lane that is full, until it has room."""
        lane = self._lanes.get(tp)
        if self._live is None or lane is None:
            return
        if lane.is_full:
            self._consumer().on_buffer_full(tp)
        else:
            self._consumer().on_buffer_drop(tp)

    # -- what the handler needs

    async def _reject(self, record: SourceRecord, letter: Outgoing) -> None:
        topic = self._topics.failure_rejected
        partition = record.partition % topic.partitions
        producer = self._started.producer
        sent = await send_entries(producer, topic.name, partition, [letter])
        await asyncio.gather(*sent)

    async def _pause(self, seconds: float) -> None:
        """Wait before another attempt, which a stop leaves to the next process."""
        try:
            await asyncio.wait_for(self._closing.wait(), seconds)
        except TimeoutError:
            return
        raise LaneClosed

    # -- offsets

    async def _commit_often(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_S)
            self._turns += 1
            if self._live is not None:
                await self._commit()

    async def _commit(self) -> None:
        async with self._committing:
            consumer = self._consumer()
            moved = {
                tp: offset
                for tp, lane in self._lanes.items()
                if (offset := reached(consumer, tp, lane.finished))
                > self._committed[tp]
            }
            try:
                await consumer.commit_offsets(moved)
            except Exception as exc:  # noqa: BLE001 - those may be handed over again
                logger.warning("offsets were not committed: %s", exc)
            else:
                self._committed |= moved


def _policy(settings: Settings) -> ErrorPolicy:
    return ErrorPolicy(
        max_attempts=settings.error_handler_max_attempts,
        backoff_ms=settings.error_handler_backoff_ms,
        max_backoff_ms=settings.error_handler_max_backoff_ms,
        max_bytes=settings.max_request_bytes,
    )


def _position(tp: TopicPartition, committed: int | None, begin: int, end: int) -> int:
    if committed is not None and committed > end:
        logger.warning("%s was made anew: reading it from its start", tp)
        return begin
    if committed is not None and committed < begin:
        logger.error(
            "%s begins at %d: failures from %d on are gone", tp, begin, committed
        )
    return max(committed or 0, begin)
