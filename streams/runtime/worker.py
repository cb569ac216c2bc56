"""The step worker's host: requests in, outcomes out, offsets behind both."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition
from faust.types import TP

from agents.core.admission import RejectReason
from agents.dead_letters import reason_headers
from agents.engine import StepEngine
from agents.scheduling import Position
from schemas import codec
from schemas.steps import StepRequest
from streams.config import Settings
from streams.runtime.delivery import ChunkConsumer
from streams.runtime.exits import watched
from streams.runtime.halts import HaltReader
from streams.runtime.outcomes import OutcomeSender
from streams.runtime.producers import Entry, idempotent_producer, send_entries
from streams.topics import Topics

logger = logging.getLogger("planstream.worker")

COMMIT_S = 0.5
"""How often offsets are committed: what a killed worker may run again."""

MakeEngine = Callable[[OutcomeSender], StepEngine]


class WorkerHost:
    """Feeds a step engine from the partitions that are assigned.

    Args:
        settings: of this process.
        topics: the installation's topics.
        make_engine: builds the engine over the sender of outcomes.
        consumer: gives the app's consumer, once it is there.
        on_ready: called after each take-over with the partitions that are read.
    """

    def __init__(
        self,
        settings: Settings,
        topics: Topics,
        make_engine: MakeEngine,
        consumer: Callable[[], ChunkConsumer],
        on_ready: Callable[[Iterable[TP]], None],
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._make_engine = make_engine
        self._consumer = consumer
        self._on_ready = on_ready
        self._engine: StepEngine | None = None
        self._producer: AIOKafkaProducer | None = None
        self._monitor: AIOKafkaConsumer | None = None
        self._halts: HaltReader | None = None
        self._background: list[asyncio.Task[None]] = []
        self._generation = -1
        self._live: int | None = None
        self._next: dict[TP, int] = {}
        self._old_below: dict[TP, int] = {}
        self._paused: set[TP] = set()

    @property
    def engine(self) -> StepEngine:
        """The step engine; there from the first assignment on."""
        if self._engine is None:
            raise RuntimeError("no partition has been assigned yet")
        return self._engine

    # -- Host

    async def assign(self, assigned: frozenset[TP], generation: int) -> dict[TP, int]:
        """Drop what was lost, find where to read on; see `Host`."""
        await self._start_clients()
        kept = (
            set(self._next) & assigned if generation == self._generation + 1 else set()
        )
        self.engine.revoke(
            {(tp.topic, tp.partition) for tp in self._next.keys() - kept}
        )
        self._next = {tp: self._next[tp] for tp in kept}
        self._old_below = {tp: self._old_below[tp] for tp in kept}
        await self._find_positions(assigned - kept)
        self._generation = generation
        return dict(self._next)

    def start(self, generation: int, offsets: Mapping[TP, int]) -> None:
        """Begin to read; see `Host`."""
        self._live = generation
        self._paused = set()
        self._throttle()
        self._on_ready(offsets)

    def deliver(self, generation: int, tp: TP, records: list[Any]) -> None:
        """Offer a chunk of requests to the engine; see `Host`."""
        if generation != self._live or tp not in self._next:
            return
        arrived = time.monotonic()
        for record in records:
            if record.offset >= self._next[tp]:
                self._offer(tp, record, arrived)
                self._next[tp] = record.offset + 1
        self._throttle()

    async def quiesce(self) -> None:
        """Commit what is finished; attempts go on running; see `Host`."""
        self._live = None
        await self._commit()

    async def close(self) -> None:
        """Finish what runs within the limit, commit, leave; see `Host`."""
        self._live = None
        if self._engine is not None:
            # Time to commit and to leave the group must be left.
            limit_s = self._settings.shutdown_timeout_ms / 1000
            await self._engine.stop(max(limit_s - 3.0, limit_s / 2))
            await self._commit()
        for task in self._background:
            task.cancel()
        for client in (self._producer, self._monitor, self._halts):
            if client is not None:
                await client.stop()

    # -- taking over

    async def _start_clients(self) -> None:
        if self._engine is not None:
            return
        self._producer = idempotent_producer(self._settings)
        await self._producer.start()
        self._monitor = AIOKafkaConsumer(**self._settings.connection())
        await self._monitor.start()
        sender = OutcomeSender(self._producer, self._settings, self._topics)
        self._engine = self._make_engine(sender)
        halts = self._topics.halts.name
        self._halts = HaltReader(self._settings, halts, self._engine.halt)
        await self._halts.start()
        await self._engine.start()
        self._background = [
            asyncio.create_task(watched("sending outcomes", sender.run())),
            asyncio.create_task(watched("reading halts", self._halts.run())),
            asyncio.create_task(watched("committing offsets", self._commit_often())),
        ]

    async def _find_positions(self, new: frozenset[TP] | set[TP]) -> None:
        """Ask where the group stands and where the logs end.

        What lies below the end now may have been started by a former owner.
        """
        assert self._monitor is not None
        tps = [TopicPartition(*tp) for tp in new]
        if not tps:
            return
        begins = await self._monitor.beginning_offsets(tps)
        ends = await self._monitor.end_offsets(tps)
        for tp in tps:
            committed = await self._consumer().kafka.committed(tp)
            self._next[TP(*tp)] = max(committed or 0, begins[tp])
            self._old_below[TP(*tp)] = ends[tp]

    # -- requests

    def _offer(self, tp: TP, record: Any, arrived: float) -> None:
        position = Position(tp.topic, tp.partition, record.offset)
        try:
            _, request = codec.decode_fields(record.value, StepRequest)
        except codec.DecodeError as error:
            self._reject(position, record, error)
            return
        redelivered = record.offset < self._old_below[tp]
        self.engine.offer(position, request, arrived, redelivered=redelivered)

    def _reject(
        self, position: Position, record: Any, error: codec.DecodeError
    ) -> None:
        logger.error("a step request at %s is unreadable: %s", position, error)
        task = asyncio.create_task(self._dead_letter(position, record, error))
        self._background.append(task)

    async def _dead_letter(
        self, position: Position, record: Any, error: codec.DecodeError
    ) -> None:
        assert self._producer is not None
        reason = RejectReason(error.reason)
        headers = [*record.headers, *reason_headers(record, reason, str(error))]
        topic = self._topics.rejected
        partition = position.partition % topic.partitions
        entry = Entry(record.key, record.value, headers)
        for future in await send_entries(
            self._producer, topic.name, partition, [entry]
        ):
            await future
        self.engine.skip(position)

    def _throttle(self) -> None:
        """Pause fetching while the window is full; the engine has room again later."""
        full = self.engine.room() <= 0
        consumer = self._consumer()
        if full and not self._paused:
            self._paused = set(self._next)
            for tp in self._paused:
                consumer.on_buffer_full(tp)
        elif not full and self._paused:
            for tp in self._paused:
                consumer.on_buffer_drop(tp)
            self._paused = set()

    def on_room(self) -> None:
        """Called by the engine when its window has room again."""
        if self._live is not None:
            self._throttle()

    # -- offsets

    async def _commit_often(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_S)
            if self._live is not None:
                await self._commit()

    async def _commit(self) -> None:
        if self._engine is None:
            return
        offsets = {TP(*key): at for key, at in self._engine.committable().items()}
        try:
            await self._consumer().commit_offsets(offsets)
        except Exception as exc:
            # The requests behind these offsets run again: at least once.
            logger.warning("offsets were not committed: %s", exc)
