"""Asks coordinators and step workers what they know, and gathers their answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import cast
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from agents.partitioner import partition_of
from schemas.codec import DecodeError, Format, decode, encode
from schemas.status import PlanAnswer, Question, WorkAnswer
from streams.broker import CONNECTION_ERRORS, connect, reason_of
from streams.config import Settings
from streams.exceptions import NotAsked
from streams.results import assign, new_consumer
from streams.runtime.membership import Member, members
from streams.status import PlanResources, PlanStatus, WorkerHoldings
from streams.topics import WORK_PARTITION, Topics

Answer = PlanAnswer | WorkAnswer
REPEAT_S = 1.0
"""How long an answer is waited for before the same is asked again: whoever was about to
take a partition over has heard nothing yet."""


class Asking:
    """Asks questions; its answers come to one partition, whose end is followed.

    Args:
        settings: Where the broker is, and what the topics are called.
        producer: Started; it sends the questions.
    """

    def __init__(self, settings: Settings, producer: AIOKafkaProducer) -> None:
        self._settings = settings
        self._topics = Topics.of(settings)
        self._producer = producer
        self._reply_to = str(uuid4())
        self._consumer: AIOKafkaConsumer | None = None
        self._reading: asyncio.Task[None] | None = None
        self._asked: dict[str, asyncio.Queue[Answer]] = {}

    async def start(self) -> None:
        """Begin to read answers.

        Raises:
            BrokerUnreachable: The broker does not answer.
            NotAsked: It does not say where the topic ends.
        """
        consumer = new_consumer(self._settings)
        await connect(consumer, self._settings)
        topic = self._topics.answers
        number = partition_of(self._reply_to.encode(), topic.partitions)
        try:
            await assign(consumer, [TopicPartition(topic.name, number)], since=None)
        except CONNECTION_ERRORS as error:
            await consumer.stop()
            raise NotAsked(reason_of(error)) from error
        self._consumer = consumer
        self._reading = asyncio.create_task(self._read(consumer), name="read answers")

    async def stop(self) -> None:
        """Leave; who waits gets what there is."""
        if self._reading is not None:
            self._reading.cancel()
            with suppress(asyncio.CancelledError):
                await self._reading
        if self._consumer is not None:
            await self._consumer.stop()

    async def status(self, asked_for: str, timeout: float) -> PlanStatus:
        """Ask what is known of a plan.

        The partition is asked first that the plan has if the id is a plan's; then all,
        as it may be an execution's.

        Raises:
            NotAsked: The broker has not taken the questions.
        """
        answer, away = await self._find(asked_for, timeout)
        return PlanStatus.of(asked_for, answer, away)

    async def resources(self, asked_for: str, timeout: float) -> PlanResources:
        """Ask what an execution holds; first coordinators, then all step workers.

        Raises:
            NotAsked: The broker has not taken the questions.
        """
        answer, away = await self._find(asked_for, timeout)
        known = PlanStatus.of(asked_for, answer, away)
        workers, missing = await self._ask_workers(asked_for, timeout)
        holdings = None if answer is None else answer.holdings
        return PlanResources.gathered(known, holdings, workers, missing)

    # -- coordinators

    async def _find(
        self, asked_for: str, timeout: float
    ) -> tuple[PlanAnswer | None, set[int]]:
        """The answer of who knows the plan, else the partitions without an answer."""
        count = self._topics.questions.partitions
        everywhere = set(range(count))
        wanted = {partition_of(asked_for.encode(), count)}
        heard: dict[int, PlanAnswer] = {}
        give_up_at = _now() + timeout
        pause_s = min(REPEAT_S, timeout / 2)
        async with self._answers() as (question_id, queue):
            question = self._question(question_id, asked_for)
            while everywhere - heard.keys() and _now() < give_up_at:
                await self._send(question, wanted - heard.keys())
                end = min(_now() + pause_s, give_up_at)
                while wanted - heard.keys() and (each := await _next(queue, end)):
                    if isinstance(each, PlanAnswer):
                        heard[each.partition] = each
                        if each.running or each.ended:
                            return each, set()
                wanted = everywhere
        self._check()
        return _holding(heard), everywhere - heard.keys()

    # -- step workers

    async def _ask_workers(
        self, asked_for: str, timeout: float
    ) -> tuple[tuple[WorkerHoldings, ...], tuple[str, ...]]:
        """What each worker holds, and who of their group has not answered."""
        group = await members(self._settings, self._settings.worker_app_id)
        heard: dict[str, WorkAnswer] = {}
        give_up_at = _now() + timeout
        async with self._answers() as (question_id, queue):
            question = self._question(question_id, asked_for, to_workers=True)
            while _silent(group, heard) and _now() < give_up_at:
                await self._send(question, {WORK_PARTITION})
                end = min(_now() + REPEAT_S, give_up_at)
                while _silent(group, heard) and (each := await _next(queue, end)):
                    if isinstance(each, WorkAnswer):
                        heard[each.worker] = each
        self._check()
        found = [WorkerHoldings.of(heard[name]) for name in sorted(heard)]
        return tuple(found), _silent(group, heard)

    # -- both

    def _question(
        self, question_id: str, asked_for: str, *, to_workers: bool = False
    ) -> Question:
        return Question(
            question_id=question_id,
            reply_to=self._reply_to,
            asked_for=asked_for,
            to_workers=to_workers,
        )

    async def _send(self, question: Question, partitions: Iterable[int]) -> None:
        name, key = self._topics.questions.name, question.question_id.encode()
        value = encode(question, Format(self._settings.format))
        sending = [
            self._producer.send_and_wait(name, value, key=key, partition=number)
            for number in sorted(partitions)
        ]
        try:
            await asyncio.gather(*sending)
        except CONNECTION_ERRORS as error:
            raise NotAsked(reason_of(error)) from error

    @asynccontextmanager
    async def _answers(self) -> AsyncIterator[tuple[str, asyncio.Queue[Answer]]]:
        """Give a new question's id, and where its answers come."""
        question_id = str(uuid4())
        queue = self._asked[question_id] = asyncio.Queue[Answer]()
        try:
            yield question_id, queue
        finally:
            del self._asked[question_id]

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                for record in records:
                    with suppress(DecodeError):  # a stranger's, and no answer
                        self._take(_decode(record.value))

    def _check(self) -> None:
        """Do not call anybody silent to whom nobody listens."""
        if self._reading is not None and self._reading.done():
            error = self._reading.exception()
            reason = "answers have ended" if error is None else reason_of(error)
            raise NotAsked(f"{reason}; start another client")

    def _take(self, answer: Answer) -> None:
        if queue := self._asked.get(answer.question_id):
            queue.put_nowait(answer)


def _decode(value: bytes | None) -> Answer:
    return cast(Answer, decode(value, PlanAnswer, WorkAnswer))


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _next(queue: asyncio.Queue[Answer], end: float) -> Answer | None:
    """The next answer; None if none comes until an instant of the loop's clock."""
    try:
        async with asyncio.timeout_at(end):
            return await queue.get()
    except TimeoutError:
        return None


def _holding(heard: dict[int, PlanAnswer]) -> PlanAnswer | None:
    """An answer that knows no plan and yet holds something: a child that is to come."""
    return next((each for each in heard.values() if each.holdings.rows), None)


def _silent(group: list[Member], heard: dict[str, WorkAnswer]) -> tuple[str, ...]:
    """Which workers have not answered.

    Members that are not static have names that no worker knows: they are counted.
    """
    static = {each.name for each in group if each.instance_id is not None}
    others = [each.name for each in group if each.instance_id is None]
    answered = len(heard.keys() - static)
    return (*sorted(static - heard.keys()), *others[answered:])
