"""Answers questions on what a process knows, beside its work (U1, U3).

Questions and answers are plain records, so that nothing else has to run or to listen
(docs/adr/0012). Whatever happens here, the process's work goes on: what cannot be read
is counted, what fails is begun again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from agents.engine import Held
from agents.partitioner import partition_of
from schemas import codec
from schemas.status import PlanAnswer, Question, WorkAnswer
from streams.broker import connect, disconnect
from streams.config import Settings
from streams.results import assign, partitions_of
from streams.runtime.client_tasks import dead_tasks
from streams.runtime.clients import FAREWELL_S
from streams.runtime.counts import IGNORED, QUESTIONS
from streams.runtime.partition import PartitionTask
from streams.runtime.producers import best_effort_producer, doubt_silence
from streams.submissions import now_ms
from streams.topics import WORK_PARTITION, Topics

logger = logging.getLogger("planstream.questions")

Answer = PlanAnswer | WorkAnswer

IDLE_FETCH_MS = 5000
"""How long a broker holds a fetch while nobody asks: less than `UNANSWERED_MS`."""
POLL_MS = 5000
AGAIN_S = 5.0
"""The pause before it is begun again after it has failed."""
ANSWER_S = 10.0
"""How long an answer may wait for what it says to be committed."""
AT_ONCE = 16
"""Questions that are being answered; more are ignored, and asked again."""


class Answerer(Protocol):
    """What a process can say."""

    async def answer(self, question: Question, partition: int) -> Answer | None:
        """Answer a question that lay on this partition; None: others know."""


class CoordinatorAnswers:
    """Answers for the partitions that a coordinator owns.

    Args:
        name: the coordinator's.
        tasks: gives those of the partitions that are folded now.
    """

    def __init__(self, name: str, tasks: Callable[[], Sequence[PartitionTask]]) -> None:
        self._name = name
        self._tasks = tasks

    async def answer(self, question: Question, partition: int) -> PlanAnswer | None:
        """Tell what is committed of a plan; see `Answerer`."""
        tasks = {task.state.partition: task for task in self._tasks()}
        task = None if question.to_workers else tasks.get(partition)
        if task is None:
            return None
        known = await task.view(question.asked_for)
        return PlanAnswer(
            question_id=question.question_id,
            coordinator=self._name,
            partition=partition,
            at=now_ms(),
            running=known.running,
            ended=known.ended,
            holdings=known.holdings,
        )


class WorkerAnswers:
    """Answers for a step worker.

    Args:
        name: the worker's.
        held: tells what it holds for an id; None before its engine has started.
    """

    def __init__(self, name: str, held: Callable[[str], Held | None]) -> None:
        self._name = name
        self._held = held

    async def answer(self, question: Question, partition: int) -> WorkAnswer | None:
        """Tell what runs and waits here of an execution; see `Answerer`."""
        is_ours = question.to_workers and partition == WORK_PARTITION
        held = self._held(question.asked_for) if is_ours else None
        if held is None:
            return None
        return WorkAnswer(
            question_id=question.question_id,
            worker=self._name,
            at=now_ms(),
            running_attempts=held.attempts,
            window_slots=held.slots,
        )


class Desk:
    """Reads all questions from when it starts, and sends what the answerer says.

    It reads every partition, whoever owns them: an owner that has just taken over reads
    already. An idle one costs a fetch every few seconds; the producer is made for the
    first answer.
    """

    def __init__(self, settings: Settings, topics: Topics, answerer: Answerer) -> None:
        self._settings = settings
        self._topics = topics
        self._answerer = answerer
        self._answering: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in the background."""
        self._task = asyncio.create_task(self._run(), name="answering questions")

    async def stop(self) -> None:
        """Leave; what is not answered yet will not be."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=FAREWELL_S)

    async def _run(self) -> None:
        while True:
            # In a task of its own, so that nothing that happens in there is ours.
            following = asyncio.create_task(self._follow())
            try:
                await asyncio.wait({following})
            finally:
                if following.cancel():
                    await asyncio.wait({following})
            if not following.cancelled() and (error := following.exception()):
                logger.warning("questions are not answered: %r", error)
            await asyncio.sleep(AGAIN_S)

    async def _follow(self) -> None:
        topic = self._topics.questions
        consumer = AIOKafkaConsumer(
            **self._settings.connection(),
            enable_auto_commit=False,
            auto_offset_reset="latest",
            fetch_max_wait_ms=IDLE_FETCH_MS,
        )
        doubt_silence(consumer._client)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(_connected(consumer, self._settings))
            await assign(consumer, partitions_of([topic]), since=None)
            producer: AIOKafkaProducer | None = None
            stack.push_async_callback(self._forget)
            while True:
                records = await consumer.getmany(timeout_ms=POLL_MS)
                questions = [each for batch in records.values() for each in batch]
                if questions and producer is None:
                    producer = best_effort_producer(self._settings)
                    connected = _connected(producer, self._settings)
                    await stack.enter_async_context(connected)
                for record in questions:
                    self._take(record, producer)
                self._check(consumer, producer)

    def _check(self, *clients: Any) -> None:
        named = {type(each).__name__: each for each in clients if each is not None}
        if dead := dead_tasks(named):
            raise RuntimeError("; ".join(dead))

    def _take(self, record: Any, producer: AIOKafkaProducer | None) -> None:
        try:
            question = codec.decode(record.value, Question)
        except codec.DecodeError as error:
            IGNORED.labels(record.topic, error.reason).inc()
            return
        if len(self._answering) >= AT_ONCE:
            IGNORED.labels(record.topic, "too many at once").inc()
            return
        answering = self._answer(question, record.partition, producer)
        task = asyncio.create_task(answering)
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, question: Question, partition: int, producer: Any) -> None:
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await self._answerer.answer(question, partition)
                if answer is not None:
                    await self._send(question, answer, producer)
                    QUESTIONS.inc()
        except Exception as error:  # noqa: BLE001 - who asked will ask again
            logger.warning("%s was not answered: %r", question.question_id, error)

    async def _send(self, question: Question, answer: Answer, producer: Any) -> None:
        topic, key = self._topics.answers, question.reply_to.encode()
        value = codec.encode(answer, codec.Format(self._settings.format))
        partition = partition_of(key, topic.partitions)
        await producer.send_and_wait(topic.name, value, key=key, partition=partition)

    async def _forget(self) -> None:
        for task in self._answering:
            task.cancel()
        if self._answering:
            await asyncio.wait(self._answering)


@asynccontextmanager
async def _connected(client: Any, settings: Settings) -> AsyncIterator[None]:
    await connect(client, settings)
    try:
        yield
    finally:
        await disconnect(client)
