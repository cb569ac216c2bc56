"""The step worker's host: requests in, outcomes out, offsets behind both."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition
from faust.types import TP

from agents.core.admission import RejectReason
from agents.dead_letters import dead_letter
from agents.engine import Held, StepEngine
from agents.environments import ReadSubmission
from agents.nested import depth_of
from agents.scheduling import Partition, Position
from agents.submitting import REQUEST_DEPTH
from schemas import codec
from schemas.steps import StepRequest
from streams.config import Settings
from streams.runtime.delivery import ChunkConsumer, reached
from streams.runtime.exits import EXIT_IN_DOUBT, die, spawn
from streams.runtime.halts import HaltReader
from streams.runtime.host import LogEnds
from streams.runtime.origins import TopicWatch
from streams.runtime.outbox import Outbox
from streams.runtime.outcomes import OutcomeSender
from streams.runtime.producers import doubt_silence, idempotent_producer
from streams.runtime.progress import Look
from streams.runtime.submission_reader import SubmissionReader
from streams.topics import Topics

logger = logging.getLogger("planstream.worker")

LAST_S = 1.0
"""How long each of the last words to a broker may take, after all is answered."""
COMMIT_S = 0.5
"""How often offsets are committed: what a killed worker may run again."""

MakeEngine = Callable[[OutcomeSender, ReadSubmission], StepEngine]


@dataclass(frozen=True, slots=True)
class _Parts:
    """What there is from the first assignment on."""

    engine: StepEngine
    producer: AIOKafkaProducer
    outbox: Outbox
    monitor: AIOKafkaConsumer
    halts: HaltReader
    submissions: SubmissionReader

    async def stop(self) -> None:
        await self.producer.stop()
        await self.monitor.stop()
        await self.halts.stop()
        await self.submissions.stop()


class WorkerHost:
    """Feeds a step engine from the partitions that are assigned.

    Args:
        settings: of this process.
        topics: the installation's topics.
        make_engine: builds the engine over the sender of outcomes, and what reads the
            submissions that requests refer to.
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
        self._parts: _Parts | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._generation = -1
        self._live: int | None = None
        self._next: dict[TP, int] = {}
        self._old_below: dict[TP, int] = {}
        self._paused: set[TP] = set()
        self._finished: dict[TP, int] = {}
        self._committing = asyncio.Lock()
        self._turns = self._commits = 0

    @property
    def _started(self) -> _Parts:
        if self._parts is None:
            raise RuntimeError("nothing has been assigned yet")
        return self._parts

    # -- Host

    async def assign(self, assigned: frozenset[TP], generation: int) -> dict[TP, int]:
        """Drop what was lost, find where to read on; see `Host`."""
        is_first = self._parts is None
        await self._start_parts()
        if is_first:
            self._insist(assigned)
        # Kept: ours in the generation just before this one, so nobody else's between.
        is_next = generation == self._generation + 1
        kept = assigned & self._next.keys() if is_next else frozenset()
        lost = self._next.keys() - kept
        self._started.engine.revoke({(tp.topic, tp.partition) for tp in lost})
        self._finished = {tp: at for tp, at in self._finished.items() if tp in kept}
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

    async def on_lost_position(self, tp: TP, position: int) -> None:
        """Stop: the next start finds where the log begins; see `Host`."""
        die(f"{tp.topic}/{tp.partition} does not reach {position} any longer")

    async def quiesce(self) -> None:
        """Commit what is finished; attempts go on running; see `Host`."""
        self._live = None
        await self._commit()

    async def close(self) -> None:
        """Finish what runs within the limit, commit, leave; see `Host`."""
        self._live = None
        parts = self._parts
        if parts is not None:
            # Time to commit and to leave must remain.
            limit_s = self._settings.shutdown_timeout_ms / 1000
            await parts.engine.stop(max(limit_s - 3.0, limit_s / 2))
            await _in_time("committing offsets", self._commit())
        for task in list(self._background):
            task.cancel()
        if parts is not None:
            await _in_time("leaving the broker", parts.stop())

    # -- what health asks for

    @property
    def is_live(self) -> bool:
        """Whether partitions, or none of them, are read now; see `Host`."""
        return self._live is not None

    def sources(self) -> list[TP]:
        """What is read; of a spare, which reads nothing, the halts; see `Host`."""
        return list(self._next) or [TP(self._topics.halts.name, 0)]

    async def ask_ends(self, tps: list[TP]) -> Mapping[TP, int]:
        """Ask where these logs end; see `Host`."""
        wanted = [TopicPartition(*tp) for tp in tps]
        ends = await self._started.monitor.end_offsets(wanted)
        return {TP(*tp): end for tp, end in ends.items()}

    def looks(self, ends: LogEnds) -> list[Look]:
        """Look at requests on their way to an outcome, and an offset; see `Host`."""
        if self._live is None:
            return []
        parts, consumer = self._started, self._consumer()
        load = parts.engine.load()
        excuse = "the window is full" if parts.engine.is_full else None
        return [
            parts.outbox.look("sending outcomes"),
            Look("reading halts", todo=1, stands=parts.halts.turns),
            parts.submissions.look("reading submissions"),
            Look("committing offsets", todo=1, stands=self._turns),
            Look("offsets of what is finished", len(self._finished), self._commits),
            Look("starting attempts", load.startable, load.started),
            *(
                ends.look(tp, reached(consumer, tp, at), excuse)
                for tp, at in self._next.items()
            ),
        ]

    def clients(self) -> Mapping[str, Any]:
        """What sends and asks; see `Host`."""
        if self._parts is None:
            return {}
        return {
            "the outcomes' producer": self._parts.producer,
            "the monitor": self._parts.monitor,
            "the halts' consumer": self._parts.halts.consumer,
            "the submissions' consumer": self._parts.submissions.consumer,
        }

    def held(self, asked_for: str) -> Held | None:
        """What the engine holds for an execution; None while there is none (U3)."""
        return None if self._parts is None else self._parts.engine.held(asked_for)

    # -- taking over

    async def _start_parts(self) -> None:
        if self._parts is not None:
            return
        settings, topics = self._settings, self._topics
        producer = idempotent_producer(settings)
        await producer.start()
        monitor = AIOKafkaConsumer(**settings.connection())
        doubt_silence(monitor._client)
        await monitor.start()
        outbox = Outbox(producer)
        submissions = SubmissionReader(settings, topics.plans.name)
        sender = OutcomeSender(outbox, settings, topics)
        engine = self._make_engine(sender, submissions.read)
        await engine.start()
        names = [topics.requests[queue].name for queue in settings.queues]
        watch = TopicWatch(monitor, names, EXIT_IN_DOUBT, "Start it again.")
        await watch.begin()
        halts = HaltReader(settings, topics.halts.name, engine.halt)
        await halts.start()
        self._parts = _Parts(engine, producer, outbox, monitor, halts, submissions)
        self._keep(spawn("sending outcomes", outbox.run()))
        self._keep(spawn("the watch over topics", watch.run()))
        self._keep(spawn("reading halts", halts.run()))
        self._keep(spawn("committing offsets", self._commit_often()))

    def _insist(self, assigned: frozenset[TP]) -> None:
        """Join again if nothing of a topic is ours: it may have been missing.

        A static member that comes back gets the assignment that it had, also one that
        was made while a topic was away. Nothing changes if others have its partitions.
        """
        topics = {self._topics.requests[each].name for each in self._settings.queues}
        if topics - {tp.topic for tp in assigned}:
            self._consumer().rejoin()

    def _keep(self, task: asyncio.Task[None]) -> asyncio.Task[None]:
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def _find_positions(self, new: frozenset[TP]) -> None:
        """Ask where the group stands and where the logs end.

        What lies below the end now may have been started by a former owner.
        """
        tps = [TopicPartition(*tp) for tp in sorted(new)]
        if not tps:
            return
        monitor = self._started.monitor
        begins = await monitor.beginning_offsets(tps)
        ends = await monitor.end_offsets(tps)
        for tp in tps:
            committed = await self._consumer().kafka.committed(tp) or 0
            if committed > ends[tp]:
                logger.warning("%s was made anew: reading it from its start", tp)
                committed = 0
            self._next[TP(*tp)] = max(committed, begins[tp])
            self._old_below[TP(*tp)] = ends[tp]

    # -- requests

    def _offer(self, tp: TP, record: Any, arrived: float) -> None:
        position = Position(tp.topic, tp.partition, record.offset)
        try:
            _, request = codec.decode_fields(record.value, StepRequest)
        except codec.DecodeError as error:
            self._reject(position, record, error)
            return
        if record.headers and (depth := depth_of(record.headers)):
            request[REQUEST_DEPTH] = depth
        redelivered = record.offset < self._old_below[tp]
        self._started.engine.offer(position, request, arrived, redelivered=redelivered)

    def _reject(
        self, position: Position, record: Any, error: codec.DecodeError
    ) -> None:
        logger.error("a step request at %s is unreadable: %s", position, error)
        sending = self._dead_letter(position, record, error)
        sent = self._keep(spawn("sending a dead letter", sending))
        # Told now, in order: else what lies behind it would be committed before it.
        self._started.engine.skip(position, after=sent)

    async def _dead_letter(
        self, position: Position, record: Any, error: codec.DecodeError
    ) -> None:
        reason = RejectReason(error.reason)
        largest = self._settings.max_request_bytes
        letter = dead_letter(record, reason, str(error), largest)
        topic = self._topics.rejected
        partition = position.partition % topic.partitions
        await self._started.outbox.add(topic.name, partition, letter)

    def _throttle(self) -> None:
        """Pause fetching while the window is full; the engine has room again later."""
        full = self._started.engine.room() <= 0
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
            self._turns += 1
            if self._live is not None:
                await self._commit()

    async def _commit(self) -> None:
        # One at a time: the end of one must not forget what another has failed with.
        async with self._committing:
            if self._parts is not None:
                await self._commit_finished(self._parts.engine.committable())

    async def _commit_finished(self, moved: Mapping[Partition, int]) -> None:
        self._finished |= {TP(*key): offset for key, offset in moved.items()}
        try:
            await self._consumer().commit_offsets(self._finished)
        except Exception as exc:  # noqa: BLE001 - those requests may run again
            logger.warning("offsets were not committed: %s", exc)
        else:
            self._finished = {}
            self._commits += 1


async def _in_time(what: str, last_words: Awaitable[None]) -> None:
    """Say something to a broker that a stop does not depend on.

    A group that has put this worker out, or a broker that is away, keeps aiokafka
    trying. What is not committed then runs again, as after a kill (at least once).
    """
    try:
        await asyncio.wait_for(last_words, LAST_S)
    except TimeoutError:
        logger.warning("%s took longer than %.0f s: left as it is", what, LAST_S)
