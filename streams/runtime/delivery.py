"""Delivers records in chunks of one partition, on the application's own loop.

Stock Faust makes an event, four tasks and an acknowledgement of every record,
commits on a timer past what is unfinished, and runs its consumer in a thread of
its own, which costs a hand-over a hop. And it takes one event in each turn of the loop,
which made records of 32 partitions wait for up to a second. Here one event carries up
to `CHUNK` records of what a fetch brought of a topic, nothing is acknowledged, and
Faust commits nothing.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import NoOffsetForPartitionError, OffsetOutOfRangeError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.events import Event
from faust.transport.drivers.aiokafka import (
    AIOKafkaConsumerThread,
    Consumer,
    Transport,
)
from faust.types import TP
from mode import Service
from mode.utils.futures import maybe_async

from streams.runtime.exits import die
from streams.runtime.fetching import hand_over_first

CHUNK = 500
"""Most records in one chunk, and in one event: bounds how long a fold, or a hand-over,
may hold the loop."""

Chunk = tuple[TP, list[Any]]
"""Consecutive records of a partition; what an event carries is a list of these."""

POLL_S = 0.25
IDLE_S = 0.02


class LoopConsumerService(AIOKafkaConsumerThread):
    """Faust's consumer service, on the application's loop instead of a thread."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, thread_loop=asyncio.get_event_loop(), **kwargs)
        self._close_thread_loop_on_stop = False

    def _create_worker_consumer(self, transport: Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Faust hard-codes 1500 ms. aiokafka keeps one fetch in flight per node and
        # leaves partitions with unread data out of it, so a partition that comes out
        # of back-pressure would wait that long.
        consumer._fetch_max_wait_ms = self.app.planstream.fetch_max_wait_ms
        # plans, outcomes and halts hold transactional records (R36, R39).
        consumer._isolation_level = "read_committed"
        # A position that is out of its log is no reason to jump to the log's start:
        # records would be left out, or later ones be taken for known ones.
        consumer._auto_offset_reset = "none"
        return consumer

    async def start(self) -> None:
        """Start as a plain service."""
        self._thread_started.set()
        await self._default_start()
        await self.on_thread_started()
        hand_over_first(self._ensure_consumer())

    async def stop(self) -> None:
        """Stop as a plain service."""
        if self._started.is_set():
            await self.on_thread_stop()
            self.set_shutdown()
            await Service.stop(self)

    async def call_thread(self, fun: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        """Call it here: there is no thread."""
        return await maybe_async(fun(*args, **kw))

    async def cast_thread(self, fun: Callable[..., Any], *args: Any, **kw: Any) -> None:
        """Call it here: there is no thread."""
        fun(*args, **kw)


class ChunkConsumer(Consumer):
    """Puts chunks into the agents' queues; remembers how far it has handed out."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.handed: dict[TP, int] = {}
        self.fetch_idle = asyncio.Event()
        self.fetch_idle.set()

    def _new_consumer_thread(self) -> LoopConsumerService:
        return LoopConsumerService(self, loop=self.loop, beacon=self.beacon)

    @property
    def kafka(self) -> AIOKafkaConsumer:
        """The aiokafka consumer below."""
        return cast(LoopConsumerService, self._thread)._ensure_consumer()

    async def commit(self, *_: Any, **__: Any) -> bool:
        """Commit nothing: positions are rows of the changelog, or the worker's own."""
        return False

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's livelock detector only knows Faust's commits."""

    def rejoin(self) -> None:
        """Ask for another assignment."""
        self.kafka._coordinator.request_rejoin()

    async def commit_offsets(self, offsets: dict[TP, int]) -> None:
        """Commit group offsets, of partitions that are assigned now.

        It waits for a broker for as long as there is none.
        """
        assigned = self.kafka.assignment()
        current = {
            TopicPartition(*tp): OffsetAndMetadata(offset, "")
            for tp, offset in offsets.items()
            if TopicPartition(*tp) in assigned
        }
        if current:
            await self.kafka.commit(current)

    async def seek_exactly(self, offsets: dict[TP, int]) -> None:
        """Seek every partition, also to 0.

        Faust's own seek to the committed offset skips 0 and None, so records that
        were fetched and dropped on a fresh partition would be gone.
        """
        # A fetch of the old assignment must not outlive the seek: it would return
        # records of the new generation from before it.
        await self.fetch_idle.wait()
        self.handed = dict(offsets)
        await self.seek_wait(offsets)

    def read_to(self, tp: TP) -> int:
        """The offset up to which this partition is handed out; -1 if not known.

        Unlike the last record's offset it also passes transaction markers.
        """
        if not self.flow_active:  # what a fetch brings now is read, and dropped
            return -1
        assignment = self.kafka._subscription.subscription
        if assignment is None or assignment.assignment is None:
            return -1
        state = assignment.assignment.state_value(TopicPartition(*tp))
        return -1 if state is None or not state.has_valid_position else state.position

    async def _drain_messages(self, fetcher: Service) -> None:
        try:
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):
                if self.flow_active:
                    await self._fetch_and_hand_out()
                else:
                    await self.wait(self.can_resume_flow)
        except self.consumer_stopped_errors:
            if not self.app.should_stop:
                raise
        except asyncio.CancelledError:
            # Told to stop while it waited for an assignment. Faust would take that
            # for a crash if the group is rebalancing, and the process would exit 1.
            if not fetcher._stopped.is_set():
                raise

    async def _fetch_and_hand_out(self) -> None:
        generation = self.app.consumer_generation_id
        # A copy: pausing empties the set under aiokafka's hands, and an empty set
        # means "all partitions" to it.
        active = {
            tp for tp in self._get_active_partitions() if not self._is_changelog_tp(tp)
        }
        if not active:
            # Else an error of the group's would wait for a fetch to raise it, and
            # the group's task with it.
            self.kafka._coordinator.check_errors()
            await asyncio.sleep(IDLE_S)
            return
        self.fetch_idle.clear()
        try:
            fetched = await self._getmany(active, timeout=POLL_S)
        except NoOffsetForPartitionError:
            return  # of an assignment that has not been seeked yet
        except OffsetOutOfRangeError as error:
            (((topic, partition), position),) = error.args[0].items()
            await self.app.host.on_lost_position(TP(topic, partition), position)
            return
        finally:
            self.fetch_idle.set()
        # The seek after recovery waits for fetch_idle: dropping here loses nothing.
        if self.flow_active and self.app.consumer_generation_id == generation:
            self._hand_out(fetched, generation)
        await asyncio.sleep(0)

    def _hand_out(self, fetched: Mapping[Any, list[Any]], generation: int) -> None:
        by_topic: dict[str, list[Chunk]] = defaultdict(list)
        for topic_partition, records in fetched.items():
            tp = TP(*topic_partition)
            by_topic[tp.topic] += [(tp, chunk) for chunk in _chunks(records)]
            self.handed[tp] = records[-1].offset + 1
        for chunks in by_topic.values():
            for load in _loads(chunks):
                self._put(load, generation)

    def _put(self, load: list[Chunk], generation: int) -> None:
        tp, records = load[-1]
        for channel in self.app.topics._tp_index[tp]:
            message = self._to_message(tp, records[-1])
            message.refcount, message.generation_id = 1, generation
            channel.queue.put_nowait(Event(self.app, None, load, None, message))


def reached(consumer: ChunkConsumer, tp: TP, done: int) -> int:
    """How far a partition is done with, transaction markers included.

    Args:
        consumer: which has handed the partition's records out.
        tp: the partition.
        done: the offset after the last record that was processed.
    """
    if done < consumer.handed.get(tp, 0):
        return done
    return max(done, consumer.read_to(tp))


async def hand_over(stream: Any, deliver: Callable[[int, TP, list[Any]], None]) -> None:
    """Hand on the chunks that a stream's events carry, each of one partition.

    Args:
        stream: of an agent.
        deliver: takes the generation that they were fetched in, and a chunk.
    """
    async for event in stream.noack().events():
        generation = event.message.generation_id
        for tp, records in event.value:
            try:
                deliver(generation, tp, records)
            except Exception as exc:  # noqa: BLE001 - Faust would pass it over
                die(f"a chunk of {tp} could not be taken", exc)


class ChunkTransport(Transport):
    """Faust's aiokafka transport with the chunk consumer."""

    Consumer = ChunkConsumer


def _loads(chunks: Iterable[Chunk]) -> Iterator[list[Chunk]]:
    """Group chunks into loads of at most `CHUNK` records."""
    load: list[Chunk] = []
    count = 0
    for chunk in chunks:
        count += len(chunk[1])
        if load and count > CHUNK:
            yield load
            load, count = [], len(chunk[1])
        load.append(chunk)
    if load:
        yield load


def _chunks(records: list[Any]) -> Iterable[list[Any]]:
    if len(records) <= CHUNK:
        return (records,)
    return (records[i : i + CHUNK] for i in range(0, len(records), CHUNK))
